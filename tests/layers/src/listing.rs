//! The lists that the rules find in ARCHITECTURE.md: fenced blocks whose first line is, say, ```` ```text unsafe ````.

use crate::Tree;

/// The document that has the lists.
pub(crate) const DOCUMENT: &str = "ARCHITECTURE.md";

/// A line of a list, without the blanks around it.
pub(crate) struct Entry<'a> {
    pub(crate) line: usize,
    pub(crate) text: &'a str,
}

/// The lines of the list with this title, empty ones left out.
///
/// # Errors
///
/// A sentence for whoever runs the tests, if there is no such list.
pub(crate) fn read<'a>(tree: &'a Tree, title: &str) -> Result<Vec<Entry<'a>>, String> {
    let mut lines = tree.text(DOCUMENT).lines().zip(1..);
    let is_title = |line: &str| {
        line.trim_start()
            .strip_prefix("```")
            .is_some_and(|info| info.split(' ').any(|word| word == title))
    };
    if !lines.any(|(line, _)| is_title(line)) {
        return Err(format!(
            "{DOCUMENT}: has no list `{title}`: write it into a block that begins with ```text {title}"
        ));
    }
    Ok(lines
        .take_while(|(line, _)| !line.trim_start().starts_with("```"))
        .map(|(line, number)| Entry {
            line: number,
            text: line.trim(),
        })
        .filter(|entry| !entry.text.is_empty())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_with_its_block() {
        let tree = Tree::made_up(&[(
            DOCUMENT,
            "```text other\nx\n```\n\n```text unsafe\na.rs\n\n  b.rs\n```\nc.rs\n",
        )]);
        let entries: Vec<_> = read(&tree, "unsafe")
            .unwrap()
            .iter()
            .map(|entry| (entry.line, entry.text))
            .collect();
        assert_eq!(entries, [(6, "a.rs"), (8, "b.rs")]);
    }

    #[test]
    fn a_missing_list_is_a_violation() {
        let error = read(&Tree::made_up(&[(DOCUMENT, "unsafe")]), "unsafe").err().unwrap();
        assert_eq!(
            error,
            "ARCHITECTURE.md: has no list `unsafe`: write it into a block that begins with ```text unsafe"
        );
    }
}
