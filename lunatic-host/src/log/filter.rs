//! Decides which records are logged: sets a level for each target.

use std::fmt;
use std::str::FromStr;

use ::log::{Level, Metadata};

/// Which records are logged, in the syntax of `RUST_LOG`: `info,shop::stock=debug` selects all records at level `info`
/// and above, and records at `debug` and above whose target begins with `shop::stock`. The longest matching prefix
/// counts.
#[derive(Clone)]
pub struct Filter {
    text: String,
    filter: env_filter::Filter,
}

/// The longest filter, in bytes.
const LEN_MAX: usize = 4096;

/// A text that is not a valid [`Filter`]; says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError(String);

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(why) = self;
        write!(
            f,
            "{why}: give levels (off, error, warn, info, debug, trace), such as `info,shop::stock=debug`"
        )
    }
}

impl std::error::Error for FilterError {}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let wrong = |why: String| Err(FilterError(why));
        if text.trim().is_empty() {
            return wrong("it is empty".into());
        }
        if text.len() > LEN_MAX {
            return wrong(format!("it has more than {LEN_MAX} bytes"));
        }
        // `RUST_LOG` would look for this pattern in each message.
        if text.contains('/') {
            return wrong("records cannot be filtered by a part of their text".into());
        }
        let mut builder = env_filter::Builder::new();
        if builder.try_parse(text).is_err() {
            return wrong(format!("`{text}` is not a filter"));
        }
        Ok(Self {
            text: text.to_owned(),
            filter: builder.build(),
        })
    }
}

impl Default for Filter {
    /// Records at level `info` and above.
    fn default() -> Self {
        "info".parse().expect("it is a filter")
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({:?})", self.text)
    }
}

/// All levels, the most verbose first.
const LEVELS: [Level; 5] = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error];

impl Filter {
    /// The most verbose level that is logged for any target, as a number from 0 (none) to 5.
    pub(super) fn most(&self) -> i32 {
        self.filter.filter() as i32
    }

    /// The most verbose level that is logged for a target.
    pub(super) fn level(&self, target: &str) -> i32 {
        let is_written = |level: &Level| {
            let metadata = Metadata::builder().level(*level).target(target).build();
            self.filter.enabled(&metadata)
        };
        LEVELS.into_iter().find(is_written).map_or(0, |level| level as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_part_that_fits_counts() {
        let filter: Filter = "info,shop::stock=debug,shop::stock::old=off".parse().unwrap();
        assert_eq!(
            (
                filter.level("shop"),
                filter.level("shop::stock"),
                filter.level("shop::stock::old::x")
            ),
            (3, 4, 0)
        );
        assert_eq!(
            (filter.most(), filter.to_string()),
            (4, "info,shop::stock=debug,shop::stock::old=off".into())
        );
        let filter: Filter = "shop=trace".parse().unwrap();
        assert_eq!(
            (filter.level("shop::x"), filter.level("other"), filter.most()),
            (5, 0, 5)
        );
        assert_eq!(
            (Filter::default().level(""), "off".parse::<Filter>().unwrap().most()),
            (3, 0)
        );
    }

    #[test]
    fn what_is_no_filter_is_refused_with_a_reason() {
        for (text, part) in [
            ("", "empty"),
            ("a=b", "`a=b` is not a filter"),
            ("a=b=c", "not a filter"),
            ("info/part", "part of their text"),
            (&"a,".repeat(3000), "4096 bytes"),
        ] {
            let error = text.parse::<Filter>().unwrap_err().to_string();
            assert!(
                error.contains(part) && error.contains("info,shop::stock=debug"),
                "{error}"
            );
        }
    }
}
