//! `lunatic::buffer`.

use wasmtime::{Caller, Linker};

use super::pieces::{self, PIECE};
use crate::guest_memory;
use crate::instance::Ctx;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::buffer";
    linker.func_wrap(namespace, "len", |caller: Caller<'_, Ctx>| {
        caller.data().buffer().len() as u32
    })?;
    linker.func_wrap_async(namespace, "take", |caller, (to, len)| Box::new(take(caller, to, len)))?;
    Ok(())
}

async fn take(mut caller: Caller<'_, Ctx>, to: u32, len: u32) -> wasmtime::Result<()> {
    let held = caller.data().buffer().len();
    if held != len as usize {
        let text = format!("lunatic::buffer::take was asked for {len} bytes, the buffer holds {held}");
        return Err(wasmtime::Error::msg(text));
    }
    guest_memory::slice(&mut caller, to, len)?;
    // The bytes stay in the buffer, and are paid for, until all have been copied.
    for at in (0..held).step_by(PIECE) {
        if at > 0 {
            pieces::pause(&mut caller).await;
        }
        let (memory, ctx) = guest_memory::all(&mut caller)?;
        let end = held.min(at + PIECE);
        guest_memory::part(memory, to, len)?[at..end].copy_from_slice(&ctx.buffer()[at..end]);
    }
    drop(caller.data_mut().take_buffer());
    Ok(())
}
