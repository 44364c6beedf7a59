//! Each limit that the document about security lists has a test.
//!
//! A table whose last column is called `test` names in each row the functions that check it, in backticks; or hoards, the
//! attacks of a test, by their names: hoard "channels". A row can say `the same` as the one before.

use crate::Tree;
use crate::contract::{functions, is_name};

/// The document.
const SECURITY: &str = "docs/security.md";

/// The list of hoards.
const HOARDS: &str = "tests/src/attackers/hoards.rs";

/// The rule: a message for each row without a test, and for each test that does not exist.
pub fn check(tree: &Tree) -> Vec<String> {
    let Some(text) = tree.files.get(SECURITY) else {
        return vec![format!("{SECURITY} does not exist")];
    };
    let (functions, hoards) = (functions(tree), tree.files.get(HOARDS).map_or("", String::as_str));
    let mut violations = Vec::new();
    for (line, cell) in cells_of_tests(text) {
        let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        let attacks: Vec<&str> = cell.split('"').skip(1).step_by(2).collect();
        if names.is_empty() && attacks.is_empty() && cell != "the same" {
            violations.push(format!(
                "{SECURITY}:{line}: has no test: write one and name it in the last column"
            ));
        }
        // Also the names of programs that consist of several tests.
        let is_there = |name: &str| functions.contains(name) || tree.files.keys().any(|path| is_file(path, name));
        let gone = names.into_iter().filter(|name| !is_name(name) || !is_there(name));
        violations.extend(gone.map(|name| format!("{SECURITY}:{line}: there is no test `{name}`")));
        let gone = attacks
            .into_iter()
            .filter(|name| !hoards.contains(&format!("what: \"{name}\"")));
        violations.extend(gone.map(|name| format!("{SECURITY}:{line}: there is no hoard \"{name}\"")));
    }
    violations
}

/// Whether a path is that of the file of this name.
fn is_file(path: &str, name: &str) -> bool {
    path.rsplit('/').next().and_then(|file| file.strip_suffix(".rs")) == Some(name)
}

/// The last cell of each row of each table that names tests, with the number of its line.
fn cells_of_tests(text: &str) -> Vec<(usize, &str)> {
    let (mut cells, mut names_tests, mut is_inside) = (Vec::new(), false, false);
    for (line, number) in text.lines().zip(1..) {
        let Some(row) = line.strip_prefix('|') else {
            is_inside = false;
            continue;
        };
        let row = row.trim_end().strip_suffix('|').unwrap_or(row);
        let last = row.rsplit('|').next().unwrap_or(row).trim();
        match is_inside {
            false => names_tests = last == "test",
            true if names_tests && !last.starts_with("---") => cells.push((number, last)),
            true => {}
        }
        is_inside = true;
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_rows(rows: &str) -> Vec<String> {
        let text = format!(
            "Text.\n\n| what | at the limit | test |\n|---|---|---|\n{rows}\n\n| a | b |\n|---|---|\n| c | |\n"
        );
        let hoards = "Hoard { what: \"channels\", }";
        check(&Tree::made_up(&[
            (SECURITY, text.as_str()),
            (HOARDS, hoards),
            ("tests/a.rs", "#[test]\nfn it_is_limited() {}"),
        ]))
    }

    #[test]
    fn rows_with_tests_hold() {
        for row in [
            "| x | refused | `it_is_limited` |",
            "| x | | hoard \"channels\", `it_is_limited` |\n| y | `CODE` | the same |",
            "| x | refused | `it_is_limited` of `a` |",
        ] {
            assert_eq!(check_rows(row), [""; 0], "{row}");
        }
    }

    #[test]
    fn rows_without_tests_and_tests_that_are_gone_are_found() {
        for (row, text) in [
            ("| x | refused | |", "security.md:5: has no test"),
            ("| x | `it_is_limited` | |", "security.md:5: has no test"),
            ("| x | refused | `it_is_gone` |", "no test `it_is_gone`"),
            ("| x | refused | hoard \"groups\" |", "no hoard \"groups\""),
        ] {
            let violations = check_rows(row);
            assert!(
                violations.len() == 1 && violations[0].contains(text),
                "{row}: {violations:?}"
            );
        }
    }
}
