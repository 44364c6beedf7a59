//! The names of exported tests.
//!
//! The name of a test that `#[lunatic::test]` or another compiler has made consists of
//!
//! | part | when |
//! |---|---|
//! | `#lunatic_test_` | always |
//! | `#ignore_` | the test runs only on request |
//! | `#panic_` text `#` | it must panic with a message that contains the text, in which `#` is written `\#` |
//! | path of the module `::` name of the function | always; the path begins with the crate |

use lunatic_host::Module;

const IGNORE: &str = "#ignore_";
const PANIC: &str = "#panic_";

/// A parsed name of an exported test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exported<'a> {
    /// The crate, the modules and the function, as the guest spells them.
    pub(super) path: &'a str,
    pub(super) ignored: bool,
    /// What the panic message of the test must contain; `None` if it must not panic.
    pub(super) should_panic: Option<String>,
}

impl<'a> Exported<'a> {
    /// Parses the name of an export; `None` if it is not a test. Unknown parts count as part of the path.
    pub(super) fn parse(export: &'a str) -> Option<Self> {
        let mut test = Self {
            path: export.strip_prefix(Module::TEST_PREFIX)?,
            ignored: false,
            should_panic: None,
        };
        if let Some(rest) = test.path.strip_prefix(IGNORE) {
            (test.ignored, test.path) = (true, rest);
        }
        if let Some((expected, rest)) = test.path.strip_prefix(PANIC).and_then(expected) {
            (test.should_panic, test.path) = (Some(expected), rest);
        }
        Some(test)
    }
}

/// Splits `text#path` into the text, unescaped, and the path.
///
/// If the text ends in a backslash, its `#` looks escaped. If no other `#` follows, it was not.
fn expected(text: &str) -> Option<(String, &str)> {
    let is_end = |at: &usize| !text[..*at].ends_with('\\');
    let mut places = text.match_indices('#').map(|(at, _)| at);
    let end = places.find(is_end).or_else(|| text.rfind('#'))?;
    Some((text[..end].replace("\\#", "#"), &text[end + 1..]))
}

/// The crate with which all paths begin, with its `::`; `None` if they differ.
pub(super) fn common_crate<'a>(mut paths: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let first = paths.next()?;
    let crate_name = &first[..first.find("::")? + 2];
    paths.all(|path| path.starts_with(crate_name)).then_some(crate_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(export: &str, path: &str, ignored: bool, should_panic: Option<&str>) {
        let should_panic = should_panic.map(str::to_owned);
        assert_eq!(
            Exported::parse(export),
            Some(Exported {
                path,
                ignored,
                should_panic
            }),
            "{export}"
        );
    }

    #[test]
    fn names_tell_all_that_attributes_said() {
        check("#lunatic_test_filter::tests::adds", "filter::tests::adds", false, None);
        check("#lunatic_test_#ignore_a::b", "a::b", true, None);
        check("#lunatic_test_#panic_#a::b", "a::b", false, Some(""));
        check("#lunatic_test_#panic_no luck#a::b", "a::b", false, Some("no luck"));
        check(
            "#lunatic_test_#ignore_#panic_#failing::panic_failed",
            "failing::panic_failed",
            true,
            Some(""),
        );
        check("#lunatic_test_#panic_\\##panic::hash", "panic::hash", false, Some("#"));
        check(
            "#lunatic_test_#panic_a \\#1 and \\#2#a::r#match::b",
            "a::r#match::b",
            false,
            Some("a #1 and #2"),
        );
        assert_eq!(Exported::parse("_start"), None);
    }

    #[test]
    fn odd_names_are_read_as_well_as_can_be() {
        check("#lunatic_test_", "", false, None);
        check("#lunatic_test_#ignore_", "", true, None);
        check("#lunatic_test_#panic_", "#panic_", false, None);
        check("#lunatic_test_#panic_endless", "#panic_endless", false, None);
        check("#lunatic_test_#panic_C:\\#a::b", "a::b", false, Some("C:\\"));
        check("#lunatic_test_#bench_a::b", "#bench_a::b", false, None);
        check("#lunatic_test_#ignore_#ignore_a", "#ignore_a", true, None);
    }

    #[test]
    fn a_crate_is_common_to_all_or_it_is_none() {
        #[track_caller]
        fn check(paths: &[&str], expected: Option<&str>) {
            assert_eq!(common_crate(paths.iter().copied()), expected, "{paths:?}");
        }
        check(&["a::b", "a::c::d"], Some("a::"));
        check(&["a::b"], Some("a::"));
        check(&["a::b", "ab::c"], None);
        check(&["a::b", "c"], None);
        check(&["b"], None);
        check(&[], None);
    }
}
