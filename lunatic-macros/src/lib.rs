//! The attributes `#[lunatic::main]` and `#[lunatic::test]`. Use them through the crate `lunatic`.
//!
//! Both are implemented in three steps: `args` parses the arguments of the attribute, `check` checks the function and
//! collects all errors, `expand` generates the code.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod args;
mod check;
mod expand;

use proc_macro::TokenStream;

/// Makes a function the entry of the main process, and lets it return an error.
///
/// The function must be `fn main()` without parameters. It returns nothing or a `Result<(), E>`. If it returns an
/// `Err`, the error and its sources are written to standard error as `error: …`, and the program exits with code 1. The
/// error is formatted by the first of these that applies to `E`: it implements `Error`, it is a `Box<dyn Error>` or
/// similar, it implements `Display`, it implements `Debug`.
///
/// A `main` function that returns nothing does not need the attribute.
///
/// # Examples
///
/// ```
/// #[lunatic::main]
/// fn main() -> Result<(), std::num::ParseIntError> {
///     let number: u32 = "17".parse()?;
///     println!("{number}");
///     Ok(())
/// }
/// ```
///
/// If the crate `lunatic` has another name, pass its path: `#[lunatic::main(crate = my::lunatic)]`.
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::main::expand(args.into(), item.into()).into()
}

/// Makes a function a test that runs in its own process, so a test that panics, loops for ever or exhausts its memory
/// fails alone.
///
/// `cargo lunatic test` runs the tests. The function has no parameters and returns nothing or a `Result<(), E>`, as for
/// [`main`](macro@main); an `Err` fails the test. `#[ignore]`, `#[should_panic]` and
/// `#[should_panic(expected = "part of the message")]` have the same meaning as with `#[test]`. As with `#[test]`, the
/// function is compiled only in builds for tests.
///
/// Targets other than wasm32 have no processes. There the function becomes a `#[test]` that is ignored, so that
/// `cargo test` compiles and counts it.
///
/// The test is exported from the module, which the lint `unsafe_code` reports. The expansion allows that lint, but a
/// crate with `#![forbid(unsafe_code)]` does not permit this: use `deny` there.
///
/// # Examples
///
/// ```
/// #[lunatic::test]
/// fn numbers_add_up() {
///     assert_eq!(1 + 1, 2);
/// }
/// ```
///
/// If the crate `lunatic` has another name, pass its path: `#[lunatic::test(crate = my::lunatic)]`.
#[proc_macro_attribute]
pub fn test(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::test::expand(args.into(), item.into()).into()
}
