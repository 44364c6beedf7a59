#[lunatic::test]
#[should_panic(expected = "no")]
fn refuses() -> Result<(), String> {
    Ok(())
}

fn main() {}
