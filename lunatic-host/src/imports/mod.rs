//! The functions that guests import: a thin layer with one file per namespace, which mirrors `lunatic-sys`.
//!
//! Public for extensions that are part of Lunatic, and not stable.

mod buffer;
mod channel;
mod code;
pub(crate) mod component;
mod configuration;
mod elsewhere;
mod handle;
mod inspect;
mod log;
mod mailbox;
mod members;
mod metrics;
pub mod module;
pub mod net;
mod node;
mod outputs;
pub mod pieces;
mod process;
mod registry;
mod rights;
mod signal;
mod spawn;
mod timed;
mod timer;
mod trace;
mod upgrade;
pub mod wait;
pub mod wasi;

use wasmtime::Linker;

use crate::instance::Ctx;

/// Defines everything that a guest of Lunatic's own interface can import.
pub(crate) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    buffer::add(linker)?;
    channel::add(linker)?;
    code::add(linker)?;
    inspect::add(linker)?;
    log::add(linker)?;
    mailbox::add(linker)?;
    metrics::add(linker)?;
    module::add(linker)?;
    net::add(linker)?;
    node::add(linker)?;
    process::add(linker)?;
    registry::add(linker)?;
    rights::add(linker)?;
    signal::add(linker)?;
    spawn::add(linker)?;
    timer::add(linker)?;
    trace::add(linker)?;
    upgrade::add(linker)?;
    wasi::add(linker)
}
