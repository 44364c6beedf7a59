//! Outside of a build for tests, nothing is left of them.
#![deny(warnings)]
#![forbid(unsafe_code)]

#[lunatic::test]
fn nothing() {}

#[lunatic::test]
#[should_panic(expected = "no #1")]
#[ignore = "slow"]
fn panics() {
    panic!("no #1");
}

mod inner {
    #[lunatic::test]
    fn fails() -> Result<(), Box<dyn std::error::Error>> {
        Err("no".into())
    }
}

fn main() {}
