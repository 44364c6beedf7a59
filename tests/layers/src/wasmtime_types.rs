//! Only the modules that are listed in ARCHITECTURE.md name wasmtime.
//!
//! An entry of the list `wasmtime` is a module without `.rs`, with all that is below it, or the folder of a crate.

use crate::Tree;
use crate::listing::{self, DOCUMENT};
use crate::modules::Modules;

/// The crates that the rule is about.
const NAMES: [&str; 3] = ["wasmtime", "wasmtime_wasi", "wiggle"];

/// The rule: a sentence for each file that names wasmtime and may not, and for each entry that names nothing.
pub fn check(tree: &Tree) -> Vec<String> {
    let entries = match listing::read(tree, "wasmtime") {
        Ok(entries) => entries,
        Err(missing) => return vec![missing],
    };
    let mut violations = Vec::new();
    let mut is_used = vec![false; entries.len()];
    for member in tree
        .crates
        .iter()
        .filter(|member| member.folder().starts_with("lunatic-host/"))
    {
        for root in &member.roots {
            for (file, line, path) in mentions(&Modules::read(tree, root)) {
                match entries.iter().position(|entry| is_in(file, entry.text)) {
                    Some(entry) => is_used[entry] = true,
                    None => violations.push(format!(
                        "{file}:{line}: names `{path}`, and is not in the list `wasmtime` of {DOCUMENT}: have a module of \
                         that list do it, or give it a type of the host's own"
                    )),
                }
            }
        }
    }
    for (entry, _) in entries.iter().zip(is_used).filter(|(_, is_used)| !is_used) {
        violations.push(format!(
            "{DOCUMENT}:{}: `{}` does not name wasmtime: remove the line",
            entry.line, entry.text
        ));
    }
    violations
}

/// Where a file first names wasmtime, for each file that does.
fn mentions(modules: &Modules) -> Vec<(&str, usize, String)> {
    let mut found: Vec<(&str, usize, String)> = Vec::new();
    for module in &modules.all {
        let uses = module.text.uses.iter().map(|used| (&used.path, used.line));
        let mentions = module.text.mentions.iter().map(|mention| (&mention.path, mention.line));
        let first = uses
            .chain(mentions)
            // A single word in a body is a variable.
            .filter(|(path, _)| NAMES.contains(&path[0].as_str()))
            .min_by_key(|(_, line)| *line);
        if let Some((path, line)) = first
            && !found.iter().any(|(file, ..)| *file == module.file)
        {
            found.push((&module.file, line, path.join("::")));
        }
    }
    found
}

/// Whether a file is the module of an entry, or below it.
fn is_in(file: &str, entry: &str) -> bool {
    file.strip_prefix(entry.trim_end_matches('/'))
        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(engine: &str, process: &str, list: &str) -> Tree {
        let list = format!("```text wasmtime\n{list}\n```");
        Tree::made_up(&[
            (DOCUMENT, &list),
            ("lunatic-host/src/lib.rs", "mod engine; mod process;"),
            ("lunatic-host/src/engine/mod.rs", engine),
            ("lunatic-host/src/process.rs", process),
        ])
        .with("lunatic-host", "lunatic-host", &[])
    }

    #[test]
    fn listed_modules_may() {
        let tests = "#[cfg(test)] mod tests { use wasmtime::Module; }";
        assert_eq!(
            check(&tree("use wasmtime::Engine;", tests, "lunatic-host/src/engine")),
            [""; 0]
        );
    }

    #[test]
    fn others_may_not() {
        for process in [
            "\nuse wasmtime::Store;",
            "\nuse wasmtime::{Store};",
            "\nfn f(_: &wasmtime::Store) {}",
        ] {
            assert_eq!(
                check(&tree("use wiggle::Engine;", process, "lunatic-host/src/engine")),
                [
                    "lunatic-host/src/process.rs:2: names `wasmtime::Store`, and is not in the list `wasmtime` of \
                  ARCHITECTURE.md: have a module of that list do it, or give it a type of the host's own"
                ]
            );
        }
    }

    #[test]
    fn entries_that_need_it_no_more_are_told() {
        let violations = check(&tree(
            "use wasmtime::Engine;",
            "",
            "lunatic-host/src/engine\nlunatic-host/src/process",
        ));
        assert_eq!(
            violations,
            ["ARCHITECTURE.md:3: `lunatic-host/src/process` does not name wasmtime: remove the line"]
        );
    }
}
