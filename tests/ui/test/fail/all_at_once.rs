#[lunatic::test(slow)]
#[test]
#[should_panic(message = "no")]
async fn adds<T>(number: T) -> [u8; 2] {
    [1, 2]
}

fn main() {}
