#[lunatic::main]
struct Main;

fn main() {}
