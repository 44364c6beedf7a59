//! A program of which the system tests make a component that uses the functions of Lunatic.

#[cfg(target_arch = "wasm32")]
mod area;
#[cfg(target_arch = "wasm32")]
mod calls;
#[cfg(target_arch = "wasm32")]
mod channel;
#[cfg(target_arch = "wasm32")]
mod host;
#[cfg(target_arch = "wasm32")]
mod messages;
#[cfg(target_arch = "wasm32")]
mod parts;
#[cfg(target_arch = "wasm32")]
mod scenarios;

fn main() {
    #[cfg(target_arch = "wasm32")]
    scenarios::main();
    #[cfg(not(target_arch = "wasm32"))]
    panic!("this is a program for WebAssembly");
}
