#[lunatic::test]
mod tests {}

fn main() {}
