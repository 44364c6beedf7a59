//! The functions that guests import: thin, one file a namespace, the mirror of `lunatic-sys`.

mod buffer;
mod channel;
mod mailbox;
mod module;
pub(crate) mod net;
pub(crate) mod process;
mod registry;
mod rights;
pub(crate) mod signal;
mod timer;
pub(crate) mod wait;
pub(crate) mod wasi;

use wasmtime::{Engine, Linker};

use crate::instance::Ctx;

/// Everything a guest can import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Ctx>> {
    let mut linker = Linker::new(engine);
    buffer::add(&mut linker)?;
    channel::add(&mut linker)?;
    mailbox::add(&mut linker)?;
    module::add(&mut linker)?;
    net::add(&mut linker)?;
    process::add(&mut linker)?;
    registry::add(&mut linker)?;
    rights::add(&mut linker)?;
    signal::add(&mut linker)?;
    timer::add(&mut linker)?;
    wasi::add(&mut linker)?;
    Ok(linker)
}
