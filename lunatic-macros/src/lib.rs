//! The attributes `#[lunatic::main]` and `#[lunatic::test]`. Use them through the crate `lunatic`.
//!
//! Each goes the same way: `args` parses what stands in the attribute, `check` looks at the function and collects
//! everything that is wrong with it, `expand` writes the code.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod args;
mod check;
mod expand;

use proc_macro::TokenStream;

/// Makes a function the entry of the main process, and lets it return an error.
///
/// The function is `fn main()`, without arguments. It returns nothing, or a `Result<(), E>`: then an `Err` is printed
/// on stderr as `error: …`, with the errors it comes from, and the program ends with exit code 1. `E` is any type that
/// is an `Error`, a `Box<dyn Error>` or the like, has a `Display`, or a `Debug`; the first of these that holds is used.
///
/// A plain `fn main()` works without the attribute.
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
/// `crate = path` names the crate `lunatic` where it has another name: `#[lunatic::main(crate = my::lunatic)]`.
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::main::expand(args.into(), item.into()).into()
}

/// Makes a function a test that runs in a process of its own: one that panics, loops for ever or exhausts its memory
/// fails alone.
///
/// `cargo lunatic test` runs it. The function takes no arguments and returns nothing, or a `Result<(), E>` as
/// [`main`](macro@main) does, whose `Err` fails the test. `#[ignore]`, `#[should_panic]` and
/// `#[should_panic(expected = "part of the message")]` mean what they mean to `#[test]`; like `#[test]`, it leaves
/// nothing behind in a build that is not for tests.
///
/// On other targets than wasm32 there are no processes. There it becomes a `#[test]` that is ignored, so that
/// `cargo test` compiles and counts it.
///
/// The test is exported from the module, which the lint `unsafe_code` counts as unsafe. The expansion allows that lint,
/// which a crate with `#![forbid(unsafe_code)]` does not permit: say `deny` there.
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
/// `crate = path` names the crate `lunatic` where it has another name: `#[lunatic::test(crate = my::lunatic)]`.
#[proc_macro_attribute]
pub fn test(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::test::expand(args.into(), item.into()).into()
}
