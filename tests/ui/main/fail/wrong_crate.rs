#[lunatic::main(crate = "lunatic")]
fn main() {}
