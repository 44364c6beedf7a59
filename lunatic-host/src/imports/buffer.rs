//! `lunatic::buffer`.

use wasmtime::{Caller, Linker};

use crate::guest_memory;
use crate::instance::Ctx;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::buffer";
    linker.func_wrap(namespace, "len", |caller: Caller<'_, Ctx>| {
        caller.data().buffer_len() as u32
    })?;
    linker.func_wrap(namespace, "take", take)?;
    Ok(())
}

fn take(mut caller: Caller<'_, Ctx>, to: u32, len: u32) -> wasmtime::Result<()> {
    let buffer = caller.data_mut().take_buffer();
    if buffer.len() != len as usize {
        let text = format!(
            "lunatic::buffer::take was asked for {len} bytes, the buffer holds {}",
            buffer.len()
        );
        return Err(wasmtime::Error::msg(text));
    }
    guest_memory::write(&mut caller, to, &buffer)
}
