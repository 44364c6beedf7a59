struct Silent;

#[lunatic::main]
fn main() -> Result<(), Silent> {
    Err(Silent)
}
