//! Selects tests by libtest's rules.

use super::discover::Test;
use crate::TestArgs;

/// A test that passes the filters.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) test: Test,
    /// If false, the test is only counted, as ignored.
    pub(super) runs: bool,
}

/// The tests that `args` select, in the order of their names, and the number of those that were filtered out.
pub(super) fn select(tests: Vec<Test>, args: &TestArgs) -> (Vec<Selected>, usize) {
    let total = tests.len();
    let wanted = tests
        .into_iter()
        .filter(|test| is_wanted(test, args) && (test.ignored || !args.ignored));
    let runs = |test: &Test| !test.ignored || args.ignored || args.include_ignored;
    let mut selected: Vec<_> = wanted
        .map(|test| Selected {
            runs: runs(&test),
            test,
        })
        .collect();
    selected.sort_by(|a, b| a.test.name.cmp(&b.test.name));
    let filtered_out = total - selected.len();
    (selected, filtered_out)
}

fn is_wanted(test: &Test, args: &TestArgs) -> bool {
    let wanted = args.filters.iter().any(|filter| matches(test, filter, args.exact));
    (wanted || args.filters.is_empty()) && !args.skip.iter().any(|skip| matches(test, skip, args.exact))
}

/// Whether the name is or contains `filter`. A filter that begins with the test's crate may also mean the path with the
/// crate.
fn matches(test: &Test, filter: &str, exact: bool) -> bool {
    let is_match = |name: &str| match exact {
        true => name == filter,
        false => name.contains(filter),
    };
    let crate_name = test.path.strip_suffix(&test.name).filter(|name| !name.is_empty());
    is_match(&test.name) || crate_name.is_some_and(|name| filter.starts_with(name)) && is_match(&test.path)
}

#[cfg(test)]
mod tests {
    use super::super::discover::Origin;
    use super::*;

    fn test(path: &str, ignored: bool) -> Test {
        let name = path.strip_prefix("demo::").unwrap_or(path).to_owned();
        Test {
            name,
            path: path.to_owned(),
            ignored,
            reason: None,
            should_panic: None,
            origin: Origin::Export(path.to_owned()),
        }
    }

    /// Selects among five tests; the names of those that are ignored come out in brackets.
    #[track_caller]
    fn check(args: TestArgs, expected: &str) {
        let tests = [
            ("demo::sort::up", false),
            ("demo::sort::down", true),
            ("demo::sort", false),
            ("map", false),
        ];
        let tests = tests.into_iter().map(|(path, ignored)| test(path, ignored)).collect();
        let (selected, filtered_out) = select(tests, &args);
        let names = selected.iter().map(|selected| match selected.runs {
            true => selected.test.name.clone(),
            false => format!("[{}]", selected.test.name),
        });
        assert_eq!(names.collect::<Vec<_>>().join(" "), expected, "{args:?}");
        assert_eq!(filtered_out, 4 - selected.len());
    }

    /// `filters` are separated by blanks.
    fn args(filters: &str, exact: bool, skip: &[&str]) -> TestArgs {
        TestArgs {
            filters: filters.split_whitespace().map(str::to_owned).collect(),
            exact,
            skip: skip.iter().map(|skip| skip.to_string()).collect(),
            ..TestArgs::default()
        }
    }

    #[test]
    fn filters_are_parts_of_names_or_whole_names() {
        check(args("", false, &[]), "map sort [sort::down] sort::up");
        check(args("sort", false, &[]), "sort [sort::down] sort::up");
        check(args("sort", true, &[]), "sort");
        check(args("sort::up", true, &[]), "sort::up");
        check(args("none", false, &[]), "");
        check(args("up down", false, &[]), "[sort::down] sort::up");
        check(args("map none sort", true, &[]), "map sort");
    }

    #[test]
    fn skipping_goes_before_filters() {
        check(args("", false, &["sort"]), "map");
        check(args("sort", false, &["up", "down"]), "sort");
        check(args("", true, &["sort"]), "map [sort::down] sort::up");
    }

    #[test]
    fn the_crate_can_be_named() {
        check(args("demo::sort::up", true, &[]), "sort::up");
        check(args("demo::sort::", false, &[]), "[sort::down] sort::up");
        check(args("demo", false, &[]), "");
        check(args("", false, &["demo::sort"]), "map");
    }

    #[test]
    fn ignored_tests_run_when_asked_for() {
        let ignored = TestArgs {
            ignored: true,
            ..TestArgs::default()
        };
        check(ignored.clone(), "sort::down");
        check(
            TestArgs {
                filters: vec!["up".into()],
                ..ignored
            },
            "",
        );
        check(
            TestArgs {
                include_ignored: true,
                ..TestArgs::default()
            },
            "map sort sort::down sort::up",
        );
    }
}
