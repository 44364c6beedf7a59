//! What the expansions of the macros call. Not for anybody else: it changes without notice.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::io::{self, Write};

use crate::report::lines;

/// Ends the main process with an error and exit code 1.
#[cold]
pub fn fail_main(error: String) -> ! {
    // As one write, so that lines of other processes do not come between. There is nobody to tell if stderr is gone.
    let _ = io::stderr().write_all(format!("error: {error}\n").as_bytes());
    std::process::exit(1)
}

/// Ends a test with an error.
#[cold]
#[track_caller]
pub fn fail_test(error: String) -> ! {
    panic!("the test returned an error: {error}")
}

/// Writes out what a test printed without a newline at its end.
pub fn end_test() {
    // Nobody is left to tell.
    let _ = io::stdout().flush();
}

/// An error to be described, by the first of the traits below that its type allows.
///
/// Rust has no specialisation, but a method call looks at references first: the macros call `(&&&&Described(&e)).text()`
/// and get the implementation with the most references that holds for the type.
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

/// `Box<dyn Error>` and the like, which are no `Error` themselves.
pub trait ByAsError {
    /// The description.
    fn text(&self) -> String;
}

impl<E: AsRef<dyn Error>> ByAsError for &&&Described<'_, E> {
    fn text(&self) -> String {
        lines(self.0.as_ref())
    }
}

/// `Box<dyn Error + Send + Sync>` and the like.
pub trait ByAsSyncError {
    /// The description.
    fn text(&self) -> String;
}

impl<E: AsRef<dyn Error + Send + Sync>> ByAsSyncError for &&Described<'_, E> {
    fn text(&self) -> String {
        lines(self.0.as_ref())
    }
}

/// A type with a text of its own, such as `String`.
pub trait ByDisplay {
    /// The description.
    fn text(&self) -> String;
}

impl<E: Display> ByDisplay for &Described<'_, E> {
    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// Anything that can be printed at all. Found for every type, so that the compiler can say what is missing of it.
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

/// The least that an error must be.
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
            "a message of 3 bytes is not a `u16`\n  caused by: left over behind it: 1 byte"
        );
    }
}
