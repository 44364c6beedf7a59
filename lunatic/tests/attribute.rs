//! The attribute `#[lunatic::test]` itself: run with `cargo lunatic test`.

use std::num::ParseIntError;

// ANCHOR: attribute
#[lunatic::test]
fn a_test_may_return_a_result() -> Result<(), ParseIntError> {
    assert_eq!("17".parse::<u8>()?, 17);
    Ok(())
}

#[lunatic::test]
#[should_panic]
fn any_panic_may_be_expected() {
    panic!();
}

#[lunatic::test]
#[should_panic(expected = "part of #1")]
fn an_expected_message_may_have_a_hash() {
    panic!("this is part of #1, as expected");
}
// ANCHOR_END: attribute

#[lunatic::test]
#[ignore = "shows that it is left out"]
fn ignored_tests_do_not_run() {
    unreachable!("this test is ignored");
}

mod inner {
    /// Only code of this module can name it, so a test that was moved out of its module would not compile.
    fn place() -> &'static str {
        module_path!()
    }

    #[lunatic::test]
    fn tests_may_be_in_modules() {
        assert_eq!(place(), "attribute::inner");
    }
}
