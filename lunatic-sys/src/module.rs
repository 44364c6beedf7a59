//! `lunatic::module`: modules that guests compile at run time.

use crate::layout::{RawHandle, SpawnOptions, Spawned};

crate::imports! {
    namespace "lunatic::module";

    /// Compiles a module, in the binary or the text format, and writes its handle to `out`. Waits for the compilation.
    /// The module belongs to the caller and is dropped when the caller exits; processes that run in it go on.
    ///
    /// Returns [`codes::OK`](crate::codes::OK); or [`codes::DENIED`](crate::codes::DENIED),
    /// [`codes::BAD_MODULE`](crate::codes::BAD_MODULE) or [`codes::LIMIT`](crate::codes::LIMIT), each with the reason
    /// as text in the buffer.
    fn compile(wasm: *const u8, wasm_len: usize, out: *mut RawHandle) -> i32;

    /// Drops a module that the caller has compiled. Returns [`codes::OK`](crate::codes::OK),
    /// [`codes::CLOSED`](crate::codes::CLOSED) if it is not the caller's, or [`codes::INVALID`](crate::codes::INVALID).
    fn drop(id: u64, key: u64) -> i32;

    /// Spawns a process as `process::spawn` does, but in this module: the process calls an exported function that has
    /// no parameters and no results. Any process that has the handle of the module can do this.
    ///
    /// Returns the same as `process::spawn`; also [`codes::CLOSED`](crate::codes::CLOSED),
    /// [`codes::INVALID`](crate::codes::INVALID), and [`codes::BAD_MODULE`](crate::codes::BAD_MODULE) if there is no
    /// such function.
    fn spawn_export(id: u64, key: u64, export: *const u8, export_len: usize, options: *const SpawnOptions, out: *mut Spawned) -> i32;
}
