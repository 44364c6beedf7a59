//! `lunatic::net`.

pub mod call;
pub mod connect;
mod handover;
mod options;
mod stream;
pub mod tls;
mod udp;
mod unix;
pub mod wait;

use wasmtime::Linker;

use crate::instance::Ctx;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    connect::add(linker)?;
    stream::add(linker)?;
    options::add(linker)?;
    handover::add(linker)?;
    udp::add(linker)?;
    unix::add(linker)?;
    tls::add(linker)?;
    Ok(())
}
