//! The only access to a guest's memory: turns a pointer and a length into a checked slice, or a trap.
//!
//! Host functions of [extensions](crate::Extension) can use it, too. A range outside of the memory is an error; a host
//! function that returns the error (`?`) ends the process that passed the range.
//!
//! ```no_run
//! use lunatic_host::wasmtime::{Caller, Result};
//! use lunatic_host::{Ctx, guest_memory};
//!
//! /// `shout(text: *const u8, len: usize, to: *mut u8, capacity: usize) -> usize`
//! fn shout(mut caller: Caller<'_, Ctx>, text: u32, len: u32, to: u32, capacity: u32) -> Result<u32> {
//!     let text = guest_memory::read_string(&mut caller, text, len)?;
//!     guest_memory::write_up_to(&mut caller, to, capacity, text.to_uppercase().as_bytes())
//! }
//! ```
//!
//! A slice of the memory cannot be held across an `.await`: read the arguments before it, and write the answer after
//! it.

use std::fmt;

use wasmtime::{Caller, Extern, Memory};

use crate::instance::{Ctx, note_memory};

/// The guest passed a range that is not inside its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfBounds {
    start: u32,
    len: u32,
    size: usize,
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, len, size } = self;
        write!(
            f,
            "out of bounds pointer in a host call: {len} bytes at {start:#x}, the memory has {size:#x} bytes"
        )
    }
}

impl std::error::Error for OutOfBounds {}

/// The guest called a function that needs its memory, but exports none.
#[derive(Debug, Clone, Copy)]
pub struct NoMemory;

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the module exports no memory named `memory`")
    }
}

impl std::error::Error for NoMemory {}

/// The guest passed text that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotText {
    start: u32,
    len: u32,
}

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, len } = self;
        write!(f, "a text in a host call is not UTF-8: {len} bytes at {start:#x}")
    }
}

impl std::error::Error for NotText {}

/// Returns the memory of the caller, which it exports as `memory`.
///
/// # Errors
///
/// [`NoMemory`] if there is no such export.
pub fn memory(caller: &mut Caller<'_, Ctx>) -> Result<Memory, NoMemory> {
    match caller.data().memory {
        Some(memory) => Ok(memory),
        // A start function can call before the instance has been registered.
        None => caller
            .get_export("memory")
            .and_then(Extern::into_memory)
            .ok_or(NoMemory),
    }
}

/// Returns the whole memory, and the data of the process: for calls that access several parts.
///
/// # Errors
///
/// [`NoMemory`].
#[inline]
pub fn all<'a>(caller: &'a mut Caller<'_, Ctx>) -> wasmtime::Result<(&'a mut [u8], &'a mut Ctx)> {
    if !caller.data().window.is_open() {
        return find_all(caller);
    }
    let ctx = caller.data_mut();
    // SAFETY: the window is open. It belongs to the memory of the instance in this store, and lives no longer than the
    // memory. Before a memory grows, `Ctx::memory_growing` is called, which closes the window. And the caller, with the
    // store in it, is borrowed exclusively for `'a`, so nothing else touches the memory meanwhile.
    let memory = unsafe { ctx.window.bytes() };
    Ok((memory, ctx))
}

/// [`all`], if the address of the memory is not known: the first time, and after the memory has grown.
#[cold]
fn find_all<'a>(caller: &'a mut Caller<'_, Ctx>) -> wasmtime::Result<(&'a mut [u8], &'a mut Ctx)> {
    let memory = memory(caller)?;
    note_memory(&mut *caller);
    Ok(memory.data_and_store_mut(caller))
}

/// Returns the `len` bytes at `start` of the whole `memory`.
///
/// # Errors
///
/// [`OutOfBounds`] if the range is not inside the memory.
pub fn part(memory: &mut [u8], start: u32, len: u32) -> Result<&mut [u8], OutOfBounds> {
    let size = memory.len();
    let range = memory
        .get_mut(start as usize..)
        .and_then(|bytes| bytes.get_mut(..len as usize));
    range.ok_or(OutOfBounds { start, len, size })
}

/// Returns the `len` bytes at `start`, and the data of the process.
///
/// # Errors
///
/// [`OutOfBounds`], [`NoMemory`].
pub fn slice<'a>(
    caller: &'a mut Caller<'_, Ctx>,
    start: u32,
    len: u32,
) -> wasmtime::Result<(&'a mut [u8], &'a mut Ctx)> {
    let (memory, ctx) = all(caller)?;
    Ok((part(memory, start, len)?, ctx))
}

/// Reads the `N` bytes at `start`: a number, or one of the [layouts](lunatic_sys::layout).
///
/// # Errors
///
/// [`OutOfBounds`], [`NoMemory`].
pub fn read<const N: usize>(caller: &mut Caller<'_, Ctx>, start: u32) -> wasmtime::Result<[u8; N]> {
    let bytes = &*slice(caller, start, N as u32)?.0;
    Ok(bytes.try_into().expect("a slice has the length that was asked for"))
}

/// Copies the `len` bytes at `start`. The guest chooses the length, up to the size of its memory.
///
/// # Errors
///
/// [`OutOfBounds`], [`NoMemory`].
pub fn read_bytes(caller: &mut Caller<'_, Ctx>, start: u32, len: u32) -> wasmtime::Result<Vec<u8>> {
    Ok(slice(caller, start, len)?.0.to_vec())
}

/// Reads the `len` bytes at `start` as text.
///
/// # Errors
///
/// [`NotText`] if they are not UTF-8; [`OutOfBounds`], [`NoMemory`].
pub fn read_string(caller: &mut Caller<'_, Ctx>, start: u32, len: u32) -> wasmtime::Result<String> {
    let bytes = read_bytes(caller, start, len)?;
    Ok(String::from_utf8(bytes).map_err(|_| NotText { start, len })?)
}

/// Copies `bytes` to `start`.
///
/// # Errors
///
/// [`OutOfBounds`], [`NoMemory`]; nothing is copied then.
pub fn write(caller: &mut Caller<'_, Ctx>, start: u32, bytes: &[u8]) -> wasmtime::Result<()> {
    let len = u32::try_from(bytes.len())?;
    slice(caller, start, len)?.0.copy_from_slice(bytes);
    Ok(())
}

/// Copies `bytes` to the `capacity` bytes at `start`, as far as they fit, and returns the full length of `bytes`. A
/// guest that receives a length above its capacity has not received everything.
///
/// # Errors
///
/// [`OutOfBounds`] if the `capacity` bytes are not all inside the memory, even if fewer are needed; [`NoMemory`].
pub fn write_up_to(caller: &mut Caller<'_, Ctx>, start: u32, capacity: u32, bytes: &[u8]) -> wasmtime::Result<u32> {
    let (to, _) = slice(caller, start, capacity)?;
    let len = bytes.len().min(to.len());
    to[..len].copy_from_slice(&bytes[..len]);
    Ok(u32::try_from(bytes.len())?)
}

#[cfg(test)]
mod tests {
    use lunatic_kernel::exit::ExitReason;

    use crate::runtime::Runtime;
    use crate::system::SystemConfig;

    /// How a guest ends that has called a host function, and then calls one with a pointer behind what its memory was at first.
    fn end_of(runtime: &Runtime, between: &str) -> ExitReason {
        let program = format!(
            r#"(module
                (import "lunatic::process" "this" (func $this (param i32)))
                (memory (export "memory") 1 3)
                (func (export "_start")
                    (call $this (i32.const 64))
                    {between}
                    (call $this (i32.const 65536))
                    (if (i64.ne (i64.load (i32.const 64)) (i64.load (i32.const 65536))) (then unreachable))))"#
        );
        let module = runtime.load(program.as_bytes()).unwrap();
        runtime.start(&module, SystemConfig::default()).unwrap().wait()
    }

    /// Where the memory is, and how large, is forgotten when it grows; also if it cannot.
    #[test]
    fn host_functions_reach_what_a_memory_has_grown_by_and_no_more() {
        let runtime = Runtime::builder().workers(1).cache(None).build().unwrap();
        let grow = |pages: u32| format!("(drop (memory.grow (i32.const {pages})))");
        assert_eq!(end_of(&runtime, &grow(1)), ExitReason::Normal);
        assert_eq!(end_of(&runtime, &grow(1).repeat(3)), ExitReason::Normal);
        for between in [String::new(), grow(0), grow(3)] {
            let end = end_of(&runtime, &between);
            assert_ne!(end, ExitReason::Normal, "{between}");
        }
    }
}
