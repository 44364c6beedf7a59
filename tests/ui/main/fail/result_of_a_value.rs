#[lunatic::main]
fn main() -> Result<u32, String> {
    Ok(1)
}
