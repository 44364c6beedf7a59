//! The list of files with `unsafe` in them is the true one.
//!
//! Blocks, functions, traits and implementations count, also those that macros are given or make; declarations in an
//! `extern` block do not, as whoever calls them is `unsafe`. Programs that only test, measure or show do not count.

use std::collections::BTreeMap;

use crate::Tree;
use crate::listing::{self, DOCUMENT};
use crate::modules::Modules;

/// Folders whose crates are not part of what runs at users'.
const APART: [&str; 3] = ["tests/", "benches/", "examples/"];

/// The rule: a sentence for each file that is missing in the list `unsafe` of ARCHITECTURE.md, or too much in it.
pub fn check(tree: &Tree) -> Vec<String> {
    let entries = match listing::read(tree, "unsafe") {
        Ok(entries) => entries,
        Err(missing) => return vec![missing],
    };
    let found = unsafe_files(tree);
    let mut violations = Vec::new();
    for (file, line) in &found {
        if !entries.iter().any(|entry| entry.text == file) {
            violations.push(format!(
                "{file}:{line}: is `unsafe`, and the list `unsafe` of {DOCUMENT} does not have this file: do without, move \
                 it to a file of that list, or add the line `{file}`"
            ));
        }
    }
    for entry in entries {
        if !found.contains_key(entry.text) {
            violations.push(format!(
                "{DOCUMENT}:{}: nothing in `{}` is `unsafe`: remove the line",
                entry.line, entry.text
            ));
        }
    }
    violations
}

/// The files with `unsafe` in them, and the first line of each that is.
fn unsafe_files(tree: &Tree) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for member in tree
        .crates
        .iter()
        .filter(|member| !APART.iter().any(|apart| member.folder().starts_with(apart)))
    {
        for root in &member.roots {
            for module in Modules::read(tree, root).all {
                if let Some(line) = module.text.unsafe_lines.iter().min() {
                    let first = found.entry(module.file).or_insert(*line);
                    *first = (*first).min(*line);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(plain: &str, list: &str) -> Tree {
        let list = format!("```text unsafe\n{list}\n```");
        Tree::made_up(&[
            (DOCUMENT, &list),
            ("m/src/lib.rs", "mod arena; mod plain;"),
            ("m/src/arena.rs", "fn f() { unsafe { g() } }"),
            ("m/src/plain.rs", plain),
            ("tests/x/src/lib.rs", "unsafe fn f() {}"),
        ])
        .with("lunatic-memory", "m", &[])
        .with("lunatic-x", "tests/x", &[])
    }

    #[test]
    fn a_true_list_holds() {
        assert_eq!(
            check(&tree("#[cfg(test)] mod tests { unsafe fn f() {} }", "m/src/arena.rs")),
            [""; 0]
        );
    }

    #[test]
    fn a_new_place_is_named() {
        assert_eq!(
            check(&tree("struct X;\nunsafe impl Send for X {}", "m/src/arena.rs")),
            [
                "m/src/plain.rs:2: is `unsafe`, and the list `unsafe` of ARCHITECTURE.md does not have this file: do without, \
              move it to a file of that list, or add the line `m/src/plain.rs`"
            ]
        );
    }

    #[test]
    fn an_entry_that_is_true_no_more_is_named() {
        assert_eq!(
            check(&tree("", "m/src/arena.rs\nm/src/plain.rs")),
            ["ARCHITECTURE.md:3: nothing in `m/src/plain.rs` is `unsafe`: remove the line"]
        );
    }
}
