//! Compiles `src/careless.c` for the guest. `cargo lunatic` tells the `cc` crate which compiler makes WebAssembly.

fn main() {
    println!("cargo::rerun-if-changed=src/careless.c");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").as_deref() == Ok("wasm") {
        cc::Build::new().file("src/careless.c").compile("careless");
    }
}
