//! The files that documents name exist.
//!
//! A name in backticks that ends with `.rs` is the end of some file's path: `state.rs`, `process/state.rs` or
//! `imports/{signal,timer}.rs`. A link to a file has its whole path, from the folder of the document.

use crate::Tree;

/// The rule: a sentence for each file that a document names and that does not exist.
pub fn check(tree: &Tree) -> Vec<String> {
    let mut violations = Vec::new();
    for (document, text) in tree.files.iter().filter(|(path, _)| path.ends_with(".md")) {
        let mut is_code = false;
        for (line, number) in text.lines().zip(1..) {
            if line.trim_start().starts_with("```") {
                is_code = !is_code;
            } else if !is_code {
                let broken = missing_files(tree, line)
                    .into_iter()
                    .chain(missing_targets(tree, document, line));
                violations.extend(broken.map(|file| {
                    format!("{document}:{number}: names `{file}`, which does not exist: name the file that is meant")
                }));
            }
        }
    }
    violations
}

/// The names in backticks on a line that are the end of no file's path.
fn missing_files(tree: &Tree, line: &str) -> Vec<String> {
    // Between two backticks is every second part.
    let quoted = line.split('`').skip(1).step_by(2);
    let names = quoted.filter(|text| text.ends_with(".rs") && !text.contains([' ', '*', '…', '<']));
    names
        .flat_map(alternatives)
        .filter(|name| !is_end_of_path(tree, name))
        .collect()
}

/// `a/{b,c}.rs` is `a/b.rs` and `a/c.rs`.
fn alternatives(name: &str) -> Vec<String> {
    match name
        .split_once('{')
        .and_then(|(start, rest)| Some((start, rest.split_once('}')?)))
    {
        Some((start, (choices, end))) => choices
            .split(',')
            .map(|choice| format!("{start}{}{end}", choice.trim()))
            .collect(),
        None => vec![name.to_owned()],
    }
}

fn is_end_of_path(tree: &Tree, name: &str) -> bool {
    tree.files.keys().any(|path| {
        path.strip_suffix(name)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    })
}

/// The targets of links on a line that are neither files nor folders.
fn missing_targets(tree: &Tree, document: &str, line: &str) -> Vec<String> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let is_file =
        |target: &&str| !target.contains("://") && !target.starts_with(['#', '/', '<']) && !target.contains(' ');
    targets
        .filter(is_file)
        .filter(|target| !is_target(tree, document, target))
        .map(str::to_owned)
        .collect()
}

fn is_target(tree: &Tree, document: &str, target: &str) -> bool {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in target
        .split('#')
        .next()
        .unwrap_or_default()
        .trim_end_matches('/')
        .split('/')
    {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            _ => parts.push(part),
        }
    }
    let path = parts.join("/");
    let folder = format!("{path}/");
    tree.files.contains_key(&path) || tree.files.keys().any(|file| file.starts_with(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> Vec<String> {
        let files = [
            ("docs/internals/x.md", text),
            ("host/src/process/state.rs", ""),
            ("host/src/timer.rs", ""),
            ("a.md", ""),
        ];
        check(&Tree::made_up(&files))
    }

    #[test]
    fn names_of_files_hold() {
        for text in [
            "see `process/state.rs` and `state.rs`",
            "`src/{timer,process/state}.rs`",
            "[a](../../a.md#section), [b](../../host/src), [c](https://example.org/x.rs), [d](#below)",
            "```rust\n// `gone.rs`\n```",
            "`cargo run x.rs`",
        ] {
            assert_eq!(check_text(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn names_of_no_file_are_told() {
        for (text, name) in [
            ("\nsee `process/gone.rs`", "process/gone.rs"),
            ("\nsee `s/state.rs`", "s/state.rs"),
            ("\n`src/{timer,clock}.rs`", "src/clock.rs"),
            ("\n[a](a.md)", "a.md"),
        ] {
            assert_eq!(
                check_text(text),
                [format!(
                    "docs/internals/x.md:2: names `{name}`, which does not exist: name the file that is meant"
                )]
            );
        }
    }
}
