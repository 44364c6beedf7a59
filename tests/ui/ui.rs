//! Programs that must compile, and programs that must not, with what the compiler says about them.
//!
//! One folder per topic. A package of its own, because each program is compiled with all dependencies of the package:
//! the host is not among these.
//!
//! The messages are those of the newest stable compiler. When they change, look at each, then write them anew with
//! `TRYBUILD=overwrite cargo test -p lunatic-ui-tests`.

#[test]
fn ui() {
    let tests = trybuild::TestCases::new();
    tests.pass("*/pass/*.rs");
    tests.compile_fail("*/fail/*.rs");
}
