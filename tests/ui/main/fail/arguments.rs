#[lunatic::main]
fn main(argument: u32, other: u32) {}
