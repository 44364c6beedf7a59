//! The only door to a guest's memory: a pointer and a length become a checked slice, or a trap.

use std::fmt;

use wasmtime::{Caller, Extern, Memory};

use crate::instance::Ctx;

/// The guest passed a range that is not in its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfBounds {
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

/// The guest called a function that needs its memory, and exports none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoMemory;

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the module exports no memory named `memory`")
    }
}

impl std::error::Error for NoMemory {}

/// The memory of the caller.
pub(crate) fn memory(caller: &mut Caller<'_, Ctx>) -> Result<Memory, NoMemory> {
    match caller.data().memory {
        Some(memory) => Ok(memory),
        // A start function calls before the instance is known to be made.
        None => caller
            .get_export("memory")
            .and_then(Extern::into_memory)
            .ok_or(NoMemory),
    }
}

/// The whole memory, and what the host knows of the process: for calls that need several parts.
pub(crate) fn all<'a>(caller: &'a mut Caller<'_, Ctx>) -> wasmtime::Result<(&'a mut [u8], &'a mut Ctx)> {
    let memory = memory(caller)?;
    Ok(memory.data_and_store_mut(caller))
}

/// The bytes at `start` of the whole `memory`.
pub(crate) fn part(memory: &mut [u8], start: u32, len: u32) -> Result<&mut [u8], OutOfBounds> {
    let size = memory.len();
    let range = memory
        .get_mut(start as usize..)
        .and_then(|bytes| bytes.get_mut(..len as usize));
    range.ok_or(OutOfBounds { start, len, size })
}

/// The bytes at `start`, and what the host knows of the process.
pub(crate) fn slice<'a>(
    caller: &'a mut Caller<'_, Ctx>,
    start: u32,
    len: u32,
) -> wasmtime::Result<(&'a mut [u8], &'a mut Ctx)> {
    let (memory, ctx) = all(caller)?;
    Ok((part(memory, start, len)?, ctx))
}

/// Copies `bytes` to `start`.
pub(crate) fn write(caller: &mut Caller<'_, Ctx>, start: u32, bytes: &[u8]) -> wasmtime::Result<()> {
    let len = u32::try_from(bytes.len())?;
    slice(caller, start, len)?.0.copy_from_slice(bytes);
    Ok(())
}
