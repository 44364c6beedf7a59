//! The files that documents name exist.
//!
//! A name in backticks that ends with `.rs` is the end of some file's path: `state.rs`, `process/state.rs` or
//! `imports/{signal,timer}.rs`. A link to a file has its whole path, from the folder of the document. A link to a heading
//! ends with `#` and the heading in lower case, with hyphens for spaces and without punctuation, as GitHub makes it.

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
                violations.extend(missing_headings(tree, document, line).map(|link| {
                    format!("{document}:{number}: links to `{link}`, where no heading has this name: name the one that is meant")
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
    links(line)
        .filter(|target| !target.starts_with('#') && !is_target(tree, document, target))
        .map(str::to_owned)
        .collect()
}

/// The targets of links on a line, but for those outside of the checkout.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with(['/', '<']) && !target.contains(' '))
}

/// The targets of links on a line to headings that documents do not have.
fn missing_headings<'a>(tree: &'a Tree, document: &'a str, line: &'a str) -> impl Iterator<Item = &'a str> {
    links(line).filter(move |target| {
        let Some((file, heading)) = target.split_once('#') else {
            return false;
        };
        let path = if file.is_empty() {
            document.to_owned()
        } else {
            path_from(document, file)
        };
        let text = tree.files.get(&path).filter(|_| path.ends_with(".md"));
        text.is_some_and(|text| !has_heading(text, heading))
    })
}

/// Whether a document has a heading of this name.
fn has_heading(text: &str, name: &str) -> bool {
    let mut is_code = false;
    text.lines().any(|line| {
        is_code ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        !is_code && heading.len() < line.len() && heading.starts_with(' ') && name_of(heading.trim()) == name
    })
}

/// The name of a heading in links.
fn name_of(heading: &str) -> String {
    let characters = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    characters
        .flat_map(char::to_lowercase)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn is_target(tree: &Tree, document: &str, target: &str) -> bool {
    let path = path_from(document, target);
    let folder = format!("{path}/");
    tree.files.contains_key(&path) || tree.files.keys().any(|file| file.starts_with(&folder))
}

/// The path of what a link in a document leads to.
fn path_from(document: &str, target: &str) -> String {
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
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> Vec<String> {
        let files = [
            ("docs/internals/x.md", text),
            ("host/src/process/state.rs", ""),
            ("host/src/timer.rs", ""),
            ("a.md", "# A\n\n```\n# Code\n```\n## 7. How `x` ends, in short\n"),
        ];
        check(&Tree::made_up(&files))
    }

    #[test]
    fn names_of_files_hold() {
        for text in [
            "see `process/state.rs` and `state.rs`",
            "`src/{timer,process/state}.rs`",
            "[a](../../a.md#a), [a](../../a.md#7-how-x-ends-in-short), [b](../../host/src), [c](https://example.org/x.rs), [d](#below)\n# Below",
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

    #[test]
    fn links_to_no_heading_are_told() {
        for (text, link) in [
            ("\n[a](../../a.md#b)", "../../a.md#b"),
            ("\n[a](../../a.md#code)", "../../a.md#code"),
            ("\n[x](#x)", "#x"),
        ] {
            let expected = format!(
                "docs/internals/x.md:2: links to `{link}`, where no heading has this name: name the one that is meant"
            );
            assert_eq!(check_text(text), [expected]);
        }
    }
}
