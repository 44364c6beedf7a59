//! Handles in the memory of guests.

use lunatic_sys::layout::{RAW_HANDLE_SIZE, RawHandle};
use wasmtime::Caller;

use crate::guest_memory;
use crate::instance::Ctx;

/// Traps unless a handle can be written to `out`: for calls with an effect before they write it.
pub(crate) fn check_handle(caller: &mut Caller<'_, Ctx>, out: u32) -> wasmtime::Result<()> {
    guest_memory::slice(caller, out, RAW_HANDLE_SIZE as u32).map(drop)
}

pub(crate) fn write_handle(caller: &mut Caller<'_, Ctx>, out: u32, handle: RawHandle) -> wasmtime::Result<()> {
    guest_memory::write(caller, out, &handle_bytes(handle))
}

/// A handle as guests hold it.
pub(crate) fn handle_bytes(handle: RawHandle) -> [u8; RAW_HANDLE_SIZE] {
    let mut bytes = [0; RAW_HANDLE_SIZE];
    bytes[..8].copy_from_slice(&handle.id.to_le_bytes());
    bytes[8..].copy_from_slice(&handle.key.to_le_bytes());
    bytes
}
