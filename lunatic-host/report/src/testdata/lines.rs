//! The source of lines.wasm, a module with debug information that is small enough to keep. Made with
//!
//! rustc --edition 2024 --target wasm32-wasip1 --crate-type=lib --emit=obj -O -g -Cpanic=abort \
//!     --remap-path-prefix=$PWD=/src lines.rs
//! rust-lld -flavor wasm lines.o --no-entry --export=_start -o lines.wasm
#![no_std]

#[inline(never)]
fn divide(a: u32, b: u32) -> u32 {
    if core::hint::black_box(b) == 0 {
        core::arch::wasm32::unreachable()
    }
    a - b
}

#[inline(always)]
fn half(a: u32) -> u32 {
    divide(a, 0) + 1
}

#[unsafe(no_mangle)]
pub extern "C" fn _start() {
    core::hint::black_box(half(core::hint::black_box(7)));
}
