//! What the expansions of the macros call. Not part of the public interface: it changes without notice.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::io::{self, Write};

use crate::report::lines;

/// Exits the main process with an error message and exit code 1.
#[cold]
pub fn fail_main(error: String) -> ! {
    // One write, so that no output of other processes gets in between. If stderr is closed, the message is lost.
    let _ = io::stderr().write_all(format!("error: {error}\n").as_bytes());
    std::process::exit(1)
}

/// Fails a test with an error message.
#[cold]
#[track_caller]
pub fn fail_test(error: String) -> ! {
    panic!("the test returned an error: {error}")
}

/// Flushes the output of a test that does not end with a newline.
pub fn end_test() {
    // A failure cannot be reported anywhere.
    let _ = io::stdout().flush();
}

/// An error to be described, through the first of the traits below that its type allows.
///
/// Rust has no specialisation, but method lookup prefers receivers with more references. The macros call
/// `(&&&&Described(&e)).text()` and so get the implementation with the most references that applies to the type.
pub struct Described<'a, E>(pub &'a E);

/// An error with its sources.
pub trait ByError {
    /// The description.
    fn text(&self) -> String;
}

impl<E: Error> ByError for &&&&Described<'_, E> {
    fn text(&self) -> String {
        lines(self.0)
    }
}

/// For `Box<dyn Error>` and similar types, which do not implement `Error` themselves.
pub trait ByAsError {
    /// The description.
    fn text(&self) -> String;
}

impl<E: AsRef<dyn Error>> ByAsError for &&&Described<'_, E> {
    fn text(&self) -> String {
        lines(self.0.as_ref())
    }
}

/// For `Box<dyn Error + Send + Sync>` and similar types.
pub trait ByAsSyncError {
    /// The description.
    fn text(&self) -> String;
}

impl<E: AsRef<dyn Error + Send + Sync>> ByAsSyncError for &&Described<'_, E> {
    fn text(&self) -> String {
        lines(self.0.as_ref())
    }
}

/// For types that implement `Display`, such as `String`.
pub trait ByDisplay {
    /// The description.
    fn text(&self) -> String;
}

impl<E: Display> ByDisplay for &Described<'_, E> {
    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// The fallback. It is found for every type, so that the compiler can report what the type lacks.
pub trait ByDebug<E> {
    /// The description.
    fn text(&self) -> String
    where
        E: Describable;
}

impl<E> ByDebug<E> for Described<'_, E> {
    fn text(&self) -> String
    where
        E: Describable,
    {
        format!("{:?}", self.0)
    }
}

/// The minimum that an error type must implement.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned as an error: there is no way to print it",
    label = "the error type cannot be printed",
    note = "add `#[derive(Debug)]` to it, or implement `Display` or `std::error::Error` for it"
)]
pub trait Describable: Debug {}

#[diagnostic::do_not_recommend]
impl<E: Debug> Describable for E {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Plain;

    macro_rules! check {
        ($error:expr, $expected:literal) => {
            let error = $error;
            assert_eq!((&&&&Described(&error)).text(), $expected);
        };
    }

    #[test]
    fn every_kind_is_described() {
        let number = || "x".parse::<u8>().unwrap_err();
        check!(number(), "invalid digit found in string");
        check!(Box::<dyn Error>::from(number()), "invalid digit found in string");
        check!(
            Box::<dyn Error + Send + Sync>::from(number()),
            "invalid digit found in string"
        );
        check!("text", "text");
        check!(String::from("text"), "text");
        check!(Plain, "Plain");
        let sourced = crate::codec::decode::<crate::codec::DefaultCodec, u16>(&[1, 2, 3]).unwrap_err();
        check!(
            sourced,
            "a message of 3 bytes is not a `u16`\n  caused by: left over after it: 1 byte"
        );
    }
}
