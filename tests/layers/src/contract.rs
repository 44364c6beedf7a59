//! Each sentence of the contract has a test.
//!
//! The contract is a document of numbered sentences, each followed by the names of its tests in backticks, or by (–). A test is a function,
//! or a folder of tests (`ui`). This rule finds sentences without either, and names of tests that are gone.

use std::collections::HashSet;

use crate::Tree;

/// The document.
const CONTRACT: &str = "docs/semantics.md";

/// A name of at least so many words, joined by underscores, is that of a test.
const WORDS_OF_A_TEST: usize = 3;

/// The rule: a message for each sentence without a test, and for each name of a test that does not exist.
pub fn check(tree: &Tree) -> Vec<String> {
    let Some(text) = tree.files.get(CONTRACT) else {
        return vec![format!("{CONTRACT} does not exist")];
    };
    let functions = functions(tree);
    let mut violations = Vec::new();
    for (line, sentence) in sentences(text) {
        let names: Vec<&str> = sentence
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| is_name(name))
            .collect();
        let has_test = names
            .iter()
            .any(|name| functions.contains(name) || is_folder_of_tests(tree, name));
        if !has_test && !sentence.contains("–)") {
            violations.push(format!(
                "{CONTRACT}:{line}: has no test: write one and name it, or mark the sentence with (–)"
            ));
        }
        let tests = names.iter().filter(|name| name.split('_').count() >= WORDS_OF_A_TEST);
        let gone = tests.filter(|name| !functions.contains(*name));
        violations.extend(
            gone.map(|name| format!("{CONTRACT}:{line}: no function is called `{name}`: name the test that is meant")),
        );
    }
    violations
}

/// The numbered sentences, each with the number of its first line.
fn sentences(text: &str) -> Vec<(usize, String)> {
    let mut sentences: Vec<(usize, String)> = Vec::new();
    let mut is_inside = false;
    for (line, number) in text.lines().zip(1..) {
        let begins = line
            .split_once(". ")
            .is_some_and(|(start, _)| start.parse::<u32>().is_ok());
        is_inside = begins || is_inside && line.starts_with(' ');
        match sentences.last_mut() {
            _ if begins => sentences.push((number, line.to_owned())),
            Some((_, sentence)) if is_inside => sentence.extend(["\n", line]),
            _ => {}
        }
    }
    sentences
}

pub(crate) fn functions(tree: &Tree) -> HashSet<&str> {
    let sources = tree.files.iter().filter(|(path, _)| path.ends_with(".rs"));
    sources
        .flat_map(|(_, text)| text.split("fn ").skip(1))
        .filter_map(name_at_start)
        .collect()
}

fn name_at_start(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    Some(&text[..end])
}

pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn is_folder_of_tests(tree: &Tree, name: &str) -> bool {
    let folder = format!("tests/{name}/");
    tree.files.keys().any(|path| path.starts_with(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> Vec<String> {
        let test = "#[test]\nfn it_is_as_it_says() {}\nfn nested() {}";
        check(&Tree::made_up(&[
            (CONTRACT, text),
            ("tests/a.rs", test),
            ("tests/ui/x.rs", ""),
        ]))
    }

    #[test]
    fn sentences_with_tests_hold() {
        for text in [
            "1. It is so. `it_is_as_it_says`",
            "1. It is so.\n   More. `nested`\n\nOther text.",
            "1. It is so. (–)\n2. It is so, too. (from a guest: –)",
            "12. Others do not compile. `ui`",
            "Not numbered.\n- Not numbered.",
        ] {
            assert_eq!(check_text(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn sentences_without_tests_and_tests_that_are_gone_are_found() {
        for (text, line) in [
            ("1. It is so.", 1),
            ("1. It is `so`.\n\n`it_is_as_it_says`", 1),
            ("# 1\n\n1. Yes. `nested`\n2. Yes. `nested` `it_is_gone_now`", 4),
        ] {
            let violations = check_text(text);
            assert_eq!(violations.len(), 1, "{text}: {violations:?}");
            assert!(
                violations[0].starts_with(&format!("{CONTRACT}:{line}: ")),
                "{violations:?}"
            );
        }
    }
}
