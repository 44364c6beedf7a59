//! Finds the tests of a module.

use std::collections::HashSet;

use lunatic_host::ExitReason;

use super::libtest;
use super::names::{Exported, common_crate};
use super::program::Program;
use super::verdict::Ended;

/// How a test is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// By calling this export.
    Export(String),
    /// By libtest.
    Libtest,
}

/// A test of the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Test {
    /// The name as libtest would print it: without the crate if all tests are of the same crate.
    pub(super) name: String,
    /// The name in the guest.
    pub(super) path: String,
    /// Whether it is marked `#[ignore]`.
    pub(super) ignored: bool,
    /// The reason given with `#[ignore]`.
    pub(super) reason: Option<String>,
    /// What its panic message must contain; `None` if it must not panic.
    pub(super) should_panic: Option<String>,
    pub(super) origin: Origin,
}

/// What a module contains to run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) tests: Vec<Test>,
    /// Whether `_start` is a test program of its own (`harness = false`) in place of libtest.
    pub(super) own_main: bool,
}

/// Finds the tests of a program, for which it may have to ask libtest.
pub(super) fn discover(program: &Program) -> Found {
    let module = &program.module;
    let libtest = if module.has_start() {
        list(program)
    } else {
        Some(Vec::new())
    };
    let mut tests = exported(module.tests(), module.has_start());
    let own_main = libtest.is_none();
    tests.extend(libtest.unwrap_or_default());
    Found { tests, own_main }
}

/// The tests with these exports. If there is a `_start`, all belong to one crate.
fn exported(exports: &[String], has_start: bool) -> Vec<Test> {
    let read: Vec<_> = exports
        .iter()
        .filter_map(|export| Exported::parse(export).map(|test| (export.clone(), test)))
        .collect();
    let crate_name = common_crate(read.iter().map(|(_, test)| test.path))
        .filter(|_| has_start)
        .unwrap_or("");
    let test = |(export, test): (String, Exported<'_>)| Test {
        name: test.path[crate_name.len()..].to_owned(),
        path: test.path.to_owned(),
        ignored: test.ignored,
        reason: None,
        should_panic: test.should_panic,
        origin: Origin::Export(export),
    };
    read.into_iter().map(test).collect()
}

/// Asks libtest for its tests; `None` if `_start` is not libtest.
fn list(program: &Program) -> Option<Vec<Test>> {
    let ask = |ignored| match program.ask(libtest::list_args(ignored)) {
        (Ended::Reason(ExitReason::Normal), list) => libtest::parse_list(&list),
        _ => None,
    };
    let names = ask(false)?;
    let ignored: HashSet<_> = if names.is_empty() {
        HashSet::new()
    } else {
        ask(true)?.into_iter().collect()
    };
    let reasons = match ignored.is_empty() {
        true => Vec::new(),
        false => program.ask(libtest::reasons_args(ignored.iter().map(String::as_str))).1,
    };
    let reasons = String::from_utf8_lossy(&reasons);
    let test = |name: String| {
        let ignored = ignored.contains(&name);
        Test {
            ignored,
            reason: if ignored {
                libtest::reason(&reasons, &name)
            } else {
                None
            },
            path: name.clone(),
            should_panic: None,
            origin: Origin::Libtest,
            name,
        }
    };
    Some(names.into_iter().map(test).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exported_tests_lose_the_crate_they_share() {
        #[track_caller]
        fn check(exports: &[&str], has_start: bool, names: &[&str]) {
            let exports: Vec<_> = exports.iter().map(|export| export.to_string()).collect();
            let tests = exported(&exports, has_start);
            assert_eq!(tests.iter().map(|test| test.name.as_str()).collect::<Vec<_>>(), names);
            assert!(tests.iter().all(|test| test.path.ends_with(&test.name)));
        }
        let two = ["#lunatic_test_demo::tests::a", "#lunatic_test_#ignore_demo::b"];
        check(&two, true, &["tests::a", "b"]);
        check(&two, false, &["demo::tests::a", "demo::b"]);
        check(
            &["#lunatic_test_one::a", "#lunatic_test_two::a"],
            true,
            &["one::a", "two::a"],
        );
        check(&["#lunatic_test_a"], true, &["a"]);
    }
}
