//! A corpus of attackers: guests that make the host keep as much as they can, that try to take the host down, or that
//! make calls that take long.
//!
//! Tests check that each attacker stays within the promised bounds.
//! `cargo run --release -p lunatic-tests --example beside` measures how much it disturbs others
//! ([`beside`](crate::beside)).

pub mod attacks;
pub mod hoards;
mod long_calls;

use crate::fuzz::HAS_COMPAT;

/// A guest that others have to be protected from.
#[derive(Debug, Clone)]
pub struct Attacker {
    /// What it does, as a phrase for reports.
    pub what: String,
    /// The program, in the binary format.
    pub wasm: Vec<u8>,
}

impl Attacker {
    fn new(what: &str, wasm: Vec<u8>) -> Self {
        let what = what.to_owned();
        Self { what, wasm }
    }
}

/// All attackers.
pub fn all() -> Vec<Attacker> {
    let hoards = hoards::HOARDS.iter();
    let compat = hoards::COMPAT_HOARDS.iter().filter(|_| HAS_COMPAT);
    let attacks = attacks::ATTACKS.iter();
    hoards
        .map(|hoard| Attacker::new(hoard.what, hoards::module(hoard)))
        .chain(compat.map(|hoard| Attacker::new(hoard.what, hoards::compat_module(hoard))))
        .chain(attacks.map(|(what, _, attack)| Attacker::new(what, attacks::module(attack))))
        .chain(long_calls::all())
        .collect()
}

/// An attacker that only time slices protect against: this many processes that never wait.
pub fn loops(count: u32) -> Attacker {
    let text = format!(
        r#"(module
        (import "lunatic::process" "spawn_closure" (func $spawn (param i32 i32 i32 i32) (result i32)))
        (import "lunatic::process" "next" (func (result i32)))
        (memory (export "memory") 1)
        (table funcref (elem $burn))
        (func $burn (loop $again (br $again)))
        (func (export "_start") (local $left i32)
            (local.set $left (i32.const {count}))
            (loop $again
                (if (i32.gt_u (local.tee $left (i32.sub (local.get $left) (i32.const 1))) (i32.const 0)) (then
                    (drop (call $spawn (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64)))
                    (br $again))))
            (call $burn)))"#
    );
    let wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("loops: {error}"));
    Attacker::new("plain endless loops", wasm)
}
