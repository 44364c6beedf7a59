//! Errors as text for people.

use std::error::Error;
use std::fmt::Write;

/// An error and its sources, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    joined(error, ": ")
}

/// An error and its sources, one per line.
pub(crate) fn lines(error: &dyn Error) -> String {
    joined(error, "\n  caused by: ")
}

fn joined(error: &dyn Error, between: &str) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Writing to a `String` does not fail.
        let _ = write!(text, "{between}{error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct Step(&'static str, Option<Box<Step>>);

    impl fmt::Display for Step {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Step {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|step| step as _)
        }
    }

    #[test]
    fn sources_follow() {
        let step = |text, source: Option<Step>| Step(text, source.map(Box::new));
        let one = step("one", None);
        assert_eq!((chain(&one), lines(&one)), ("one".into(), "one".into()));
        let three = step("one", Some(step("two", Some(step("three", None)))));
        assert_eq!(chain(&three), "one: two: three");
        assert_eq!(lines(&three), "one\n  caused by: two\n  caused by: three");
    }
}
