//! Documents are written in plain English.
//!
//! The rule knows phrases that read like a translation, or that readers can understand in two ways, and what to write in place of each.
//! It looks at documents outside their code, line by line.

use crate::Tree;

/// A phrase in lower case, and what to write.
const PHRASES: [(&str, &str); 21] = [
    ("is to be", "must be, will be or is, as is meant"),
    ("are to be", "must be, will be or are, as is meant"),
    ("has to be had", "is needed"),
    ("nothing but", "only"),
    ("none but", "only"),
    ("hears of", "is notified of"),
    ("hear of", "are notified of"),
    ("is told", "is notified, is reported or is informed, as is meant"),
    ("are told", "are notified, are reported or are informed, as is meant"),
    ("at once", "immediately, or at the same time, as is meant"),
    ("and the like", "the things that are meant"),
    ("as ever", "as before"),
    ("so many", "the number"),
    ("so long", "the time"),
    ("not any more", "no longer"),
    ("to and fro", "back and forth"),
    ("less rights", "fewer rights"),
    ("less processes", "fewer processes"),
    ("less messages", "fewer messages"),
    ("informations", "information"),
    ("unless said otherwise", "by default"),
];

/// The rule: a sentence for each phrase that a document should not contain.
pub fn check(tree: &Tree) -> Vec<String> {
    let mut violations = Vec::new();
    for (document, text) in tree.files.iter().filter(|(path, _)| path.ends_with(".md")) {
        let mut is_code = false;
        for (line, number) in text.lines().zip(1..) {
            if line.trim_start().starts_with("```") {
                is_code = !is_code;
            } else if !is_code {
                let words = words(line);
                let found = PHRASES
                    .iter()
                    .filter(|(phrase, _)| words.contains(&format!(" {phrase} ")));
                violations.extend(
                    found.map(|(phrase, instead)| format!("{document}:{number}: says \"{phrase}\": write {instead}")),
                );
            }
        }
    }
    violations
}

/// The words of a line in lower case, with a space before and after each. What is quoted in backticks is left out.
fn words(line: &str) -> String {
    let prose = line.split('`').step_by(2).collect::<Vec<_>>().join(" · ");
    let words = prose.split_whitespace().map(|word| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '·');
        word.to_lowercase() + " "
    });
    std::iter::once(" ".to_owned()).chain(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> Vec<String> {
        check(&Tree::made_up(&[("a.md", text)]))
    }

    #[test]
    fn phrases_are_found() {
        for (text, phrase) in [
            ("The process is to be killed.", "is to be"),
            ("(Nothing but output.)", "nothing but"),
            ("it stops **at once**, and ends", "at once"),
        ] {
            let [violation] = &check_text(text)[..] else {
                panic!("{text}")
            };
            assert!(
                violation.starts_with(&format!("a.md:1: says \"{phrase}\": write ")),
                "{violation}"
            );
        }
    }

    #[test]
    fn code_and_other_words_are_not() {
        for text in [
            "this is tolder",
            "```\nis to be\n```",
            "`is to be`",
            "is `x` to be",
            "at Once-Only",
        ] {
            assert_eq!(check_text(text), [""; 0], "{text}");
        }
    }
}
