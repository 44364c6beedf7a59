#[lunatic::main]
fn main() {}
