//! `fd_readdir`: lists a folder, in as many calls as the guest's buffer requires.
//!
//! wasmtime-wasi reads the whole folder for each call, and examines each file in it. Where the operating system can
//! continue at a position in a folder, a call reads no more than it returns (`linux`). Elsewhere, wasmtime-wasi's
//! function is used (`elsewhere`).

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
use elsewhere as system;
#[cfg(target_os = "linux")]
use linux as system;
pub(super) use system::Listing;
use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;

use super::blocking::{self, Loan};
use super::{NAMESPACE, ProcessWasi, parts};
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;

/// The arguments of the guest: the folder, the address and length of its buffer, the position at which to continue, and
/// the address for the number of bytes.
type Arguments = (i32, i32, i32, i64, i32);

pub(super) fn add(linker: &mut Linker<Ctx>) -> Result<()> {
    linker.timed_async(NAMESPACE, "fd_readdir", |caller, arguments| {
        Box::new(fd_readdir(caller, arguments))
    })?;
    Ok(())
}

async fn fd_readdir(mut caller: Caller<'_, Ctx>, arguments: Arguments) -> Result<i32> {
    let (fd, to, len, cookie, out) = arguments;
    if ProcessWasi::of(caller.data_mut()).is_file(fd) {
        return system::list(&mut caller, arguments).await;
    }
    let (mut memory, wasi) = parts(&mut caller)?;
    preview1::fd_readdir(&mut wasi.context, &mut memory, fd, to, len, cookie, out).await
}

/// Lists a folder with wasmtime-wasi.
async fn list_all(caller: &mut Caller<'_, Ctx>, (fd, to, len, cookie, out): Arguments) -> Result<i32> {
    let mut loan = Loan::default();
    let (to, out) = (loan.output(caller, to, len)?, loan.output(caller, out, 4)?);
    blocking::call(caller, loan, async move |context, memory| {
        preview1::fd_readdir(context, memory, fd, to, len, cookie, out).await
    })
    .await
}
