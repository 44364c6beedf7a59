//! `lunatic::module`: modules that guests bring along.

use crate::layout::{RawHandle, SpawnOptions, Spawned};

crate::imports! {
    namespace "lunatic::module";

    /// Compiles a module, in the binary or the text format, and writes its handle to `out`. Waits. The module belongs to the
    /// caller, and goes when that ends; processes that run in it go on.
    ///
    /// [`codes::OK`](crate::codes::OK); [`codes::DENIED`](crate::codes::DENIED),
    /// [`codes::BAD_MODULE`](crate::codes::BAD_MODULE), [`codes::LIMIT`](crate::codes::LIMIT), each with the reason as text.
    fn compile(wasm: *const u8, wasm_len: usize, out: *mut RawHandle) -> i32;

    /// Lets a module go that the caller compiled: [`codes::OK`](crate::codes::OK),
    /// [`codes::CLOSED`](crate::codes::CLOSED) if it is not one of the caller's, [`codes::INVALID`](crate::codes::INVALID).
    fn drop(id: u64, key: u64) -> i32;

    /// As `process::spawn`, but the process runs in this module and calls an exported function that takes and returns
    /// nothing. Who knows the handle may spawn in it.
    ///
    /// Also [`codes::CLOSED`](crate::codes::CLOSED), [`codes::INVALID`](crate::codes::INVALID), and
    /// [`codes::BAD_MODULE`](crate::codes::BAD_MODULE) if there is no such function.
    fn spawn_export(id: u64, key: u64, export: *const u8, export_len: usize, options: *const SpawnOptions, out: *mut Spawned) -> i32;
}
