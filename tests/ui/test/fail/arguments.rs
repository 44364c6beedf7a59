#[lunatic::test]
fn adds(number: u32) {}

fn main() {}
