//! The programs that the README and the book show are compiled: each is part of a source file.
//!
//! A chapter of the book includes a program with mdBook's `{{#include PATH}}` or `{{#include PATH:ANCHOR}}`, whose path begins in the
//! folder of the chapter. An anchor is two lines of the file, `// ANCHOR: name` and `// ANCHOR_END: name`. What the README and chapters
//! show without that stands line by line in an example or a test.

use crate::Tree;

const README: &str = "README.md";
/// The folder of the book's chapters.
const CHAPTERS: &str = "docs/book/src/";
/// The list of all chapters.
const SUMMARY: &str = "docs/book/src/SUMMARY.md";
/// Programs that are compiled by `cargo test --workspace`, and so may be shown.
const SHOWN: [&str; 3] = ["examples/", "tests/", "lunatic/tests/"];

/// The rule: a sentence for each include that leads nowhere, program that is compiled nowhere, and chapter that is not listed.
pub fn check(tree: &Tree) -> Vec<String> {
    let mut violations = Vec::new();
    for (document, text) in &tree.files {
        let is_chapter = document.starts_with(CHAPTERS) && document.ends_with(".md");
        if is_chapter {
            violations.extend(wrong_includes(tree, document, text));
            violations.extend(unlisted(tree, document));
        }
        if is_chapter || document == README {
            violations.extend(unknown_programs(tree, document, text));
        }
    }
    violations
}

/// The directives of a document that mdBook could not follow.
fn wrong_includes(tree: &Tree, document: &str, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        for rest in line.split("{{#").skip(1) {
            let directive = rest.split("}}").next().unwrap_or_default();
            let wrong = match directive.strip_prefix("include ") {
                Some(target) => wrong_target(tree, document, target.trim()),
                None => Some("is no `include`, and nothing checks other directives".to_owned()),
            };
            violations.extend(wrong.map(|wrong| format!("{document}:{number}: `{directive}` {wrong}")));
        }
    }
    violations
}

/// What is wrong with the target of an include.
fn wrong_target(tree: &Tree, document: &str, target: &str) -> Option<String> {
    let (path, anchor) = target
        .split_once(':')
        .map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let path = resolve(document, path);
    let Some(text) = tree.files.get(&path) else {
        return Some(format!(
            "includes {path}, which does not exist: name the file that is meant"
        ));
    };
    let anchor = anchor?;
    let mut lines = text.lines().map(str::trim_end);
    let is_found = lines.any(|line| line.ends_with(&format!(" ANCHOR: {anchor}")))
        && lines.any(|line| line.ends_with(&format!(" ANCHOR_END: {anchor}")));
    (!is_found).then(|| {
        format!("includes an anchor that {path} does not have: write `// ANCHOR: {anchor}` and `// ANCHOR_END: {anchor}` there")
    })
}

/// A path from the folder of a document, as one from the root of the checkout.
fn resolve(document: &str, path: &str) -> String {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// A chapter that the summary does not link to: mdBook leaves it out.
fn unlisted(tree: &Tree, chapter: &str) -> Option<String> {
    let path = chapter.strip_prefix(CHAPTERS)?;
    let is_listed = chapter == SUMMARY || tree.text(SUMMARY).contains(&format!("]({path})"));
    (!is_listed).then(|| format!("{chapter}: {SUMMARY} does not list this chapter: add a line for it"))
}

/// The Rust programs in a document that stand in no file.
fn unknown_programs(tree: &Tree, document: &str, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let block = lines
            .by_ref()
            .map(|(line, _)| line)
            .take_while(|line| !line.trim_start().starts_with("```"));
        let block: Vec<&str> = block.collect();
        let is_rust = info.split(',').next() == Some("rust");
        let is_included = block.iter().any(|line| line.contains("{{#include "));
        if is_rust && !is_included && !is_shown_anywhere(tree, &block) {
            violations.push(format!(
                "{document}:{number}: shows a program that stands in no example and no test: copy it from there line by line"
            ));
        }
    }
    violations
}

fn is_shown_anywhere(tree: &Tree, block: &[&str]) -> bool {
    let mut files = tree
        .files
        .iter()
        .filter(|(path, _)| path.ends_with(".rs") && SHOWN.iter().any(|folder| path.starts_with(folder)));
    files.any(|(_, text)| has_lines(text, block))
}

/// Whether these lines follow each other in a text, all of them indented by the same blanks more than in the block.
fn has_lines(text: &str, block: &[&str]) -> bool {
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains(" ANCHOR")).collect();
    let Some(first) = block.first() else {
        return false;
    };
    lines.windows(block.len()).any(|window| {
        let Some(indent) = window[0].strip_suffix(*first) else {
            return false;
        };
        indent.trim().is_empty()
            && window.iter().zip(block).all(|(line, shown)| {
                let is_blank = line.is_empty() && shown.is_empty();
                is_blank || line.strip_prefix(indent) == Some(*shown)
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = "fn main() {\n    // ANCHOR: work\n    let x = 1;\n\n    f(x);\n    // ANCHOR_END: work\n}\n";

    fn check_chapter(text: &str) -> Vec<String> {
        let files = [
            (SUMMARY, "- [One](one.md)\n- [Two](more/two.md)\n"),
            ("docs/book/src/one.md", ""),
            ("docs/book/src/more/two.md", text),
            ("examples/x.rs", PROGRAM),
            ("examples/x.txt", ""),
        ];
        check(&Tree::made_up(&files))
    }

    #[test]
    fn programs_that_are_compiled_may_be_shown() {
        for text in [
            "```rust,ignore\n{{#include ../../../../examples/x.rs}}\n```",
            "```rust,ignore\n{{#include ../../../../examples/x.rs:work}}\n```",
            "```text\n{{#include ../../../../examples/x.txt}}\n```",
            "```rust\nlet x = 1;\n\nf(x);\n```",
            "```rust\nfn main() {\n    let x = 1;\n```",
            "```text\nlet y = 1;\n```",
        ] {
            assert_eq!(check_chapter(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn includes_that_lead_nowhere_are_told() {
        for (directive, wrong) in [
            ("include ../x.rs", "includes docs/book/src/x.rs, which does not exist"),
            (
                "include ../../../../examples/x.rs:play",
                "includes an anchor that examples/x.rs does not have",
            ),
            (
                "include ../../../../examples/x.rs:2:3",
                "includes an anchor that examples/x.rs does not have",
            ),
            ("playground ../../../../examples/x.rs", "is no `include`"),
        ] {
            let found = check_chapter(&format!("\n{{{{#{directive}}}}}\n"));
            assert_eq!(found.len(), 1, "{directive}: {found:?}");
            let place = format!("docs/book/src/more/two.md:2: `{directive}` {wrong}");
            assert!(found[0].starts_with(&place), "{}", found[0]);
        }
    }

    #[test]
    fn programs_that_nothing_compiles_are_told() {
        for text in ["```rust\nlet y = 1;\n```", "```rust,ignore\nlet x = 1;\nf(x);\n```"] {
            assert_eq!(
                check_chapter(text),
                [
                    "docs/book/src/more/two.md:1: shows a program that stands in no example and no test: copy it from there \
                     line by line"
                ],
                "{text}"
            );
        }
    }

    #[test]
    fn a_chapter_that_is_not_listed_is_told() {
        let tree = Tree::made_up(&[(SUMMARY, "- [One](one.md)\n"), ("docs/book/src/two.md", "")]);
        assert_eq!(
            check(&tree),
            ["docs/book/src/two.md: docs/book/src/SUMMARY.md does not list this chapter: add a line for it"]
        );
    }
}
