//! `lunatic::buffer`.

use wasmtime::{Caller, Linker};

use super::pieces;
use crate::instance::Ctx;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::buffer";
    linker.func_wrap(namespace, "len", |caller: Caller<'_, Ctx>| {
        caller.data().buffer.len() as u32
    })?;
    linker.func_wrap_async(namespace, "take", |caller, (to, len)| Box::new(take(caller, to, len)))?;
    Ok(())
}

async fn take(mut caller: Caller<'_, Ctx>, to: u32, len: u32) -> wasmtime::Result<()> {
    let buffer = std::mem::take(&mut caller.data_mut().buffer);
    if buffer.len() != len as usize {
        let text = format!(
            "lunatic::buffer::take was asked for {len} bytes, the buffer holds {}",
            buffer.len()
        );
        return Err(wasmtime::Error::msg(text));
    }
    pieces::write(&mut caller, to, &buffer).await
}
