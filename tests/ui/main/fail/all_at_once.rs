#[lunatic::main(fast)]
async unsafe fn start<T>(argument: T) -> (u8, u8) {
    (1, 2)
}
