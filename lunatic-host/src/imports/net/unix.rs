//! Unix sockets.

use std::io;

use lunatic_net::cost;
use lunatic_net::handles::Charge;
use lunatic_net::unix;
use lunatic_sys::codes::{DENIED, OK};
use wasmtime::{Caller, Linker};

use super::call::{Failure, NAMESPACE, acts, answer, open};
use crate::guest_memory;
use crate::imports::handle::check_handle;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;
use crate::rights::denial;
use crate::rights::files::Place;

/// The longest path of a guest in bytes.
const PATH_LEN_MAX: usize = 4096;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.timed(NAMESPACE, "unix_listen", unix_listen)?;
    linker.timed(NAMESPACE, "unix_connect", unix_connect)?;
    linker.timed(NAMESPACE, "unix_pair", unix_pair)?;
    Ok(())
}

/// Resolves a path of the guest in one of its folders; `changes` says whether something is created there.
fn place(caller: &mut Caller<'_, Ctx>, path: u32, len: u32, changes: bool) -> wasmtime::Result<Result<Place, Failure>> {
    let (bytes, ctx) = guest_memory::slice(caller, path, len)?;
    if let Err(failure) = acts(ctx) {
        return Ok(Err(failure));
    }
    // The length first: the path may be as long as the memory.
    let path = (bytes.len() <= PATH_LEN_MAX).then(|| std::str::from_utf8(bytes).ok());
    let Some(path) = path.flatten().filter(|path| !path.contains('\0')) else {
        return Ok(Err(io::Error::from(io::ErrorKind::InvalidInput).into()));
    };
    let path = path.to_owned();
    Ok(ctx.process().local.rights.wasi.place(&path).map_err(|error| {
        if error.kind() != io::ErrorKind::PermissionDenied {
            return error.into();
        }
        let what = if changes {
            "may not make a socket at"
        } else {
            "may not connect to the socket"
        };
        denial::log(ctx.process(), what, &path, "--dir HOST::GUEST");
        Failure::Text(
            DENIED,
            format!("the process {what} {path}: the path is in no folder that the process may write to (`--dir HOST::GUEST` gives it one)"),
        )
    }))
}

fn unix_listen(mut caller: Caller<'_, Ctx>, path: u32, len: u32, out: u32) -> wasmtime::Result<i32> {
    check_handle(&mut caller, out)?;
    let made = place(&mut caller, path, len, true)?.and_then(|place| {
        let ctx = caller.data();
        let charge = Charge::of(ctx.process(), cost::UNIX_LISTENER)?;
        Ok((unix::listen(&ctx.kernel.host.net.reactor, &place.new_path()?)?, charge))
    });
    super::connect::finish(&mut caller, made, out)
}

/// Connecting writes to the socket's file, so it requires a folder that is not read-only.
fn unix_connect(mut caller: Caller<'_, Ctx>, path: u32, len: u32, out: u32) -> wasmtime::Result<i32> {
    check_handle(&mut caller, out)?;
    let made = place(&mut caller, path, len, false)?.and_then(|place| {
        let ctx = caller.data();
        let charge = Charge::of(ctx.process(), cost::UNIX_STREAM)?;
        let there = place.existing()?;
        Ok((unix::connect(&ctx.kernel.host.net.reactor, &there.path())?, charge))
    });
    super::connect::finish(&mut caller, made, out)
}

fn unix_pair(mut caller: Caller<'_, Ctx>, one: u32, other: u32) -> wasmtime::Result<i32> {
    check_handle(&mut caller, one)?;
    check_handle(&mut caller, other)?;
    let process = caller.data().process();
    let charge = || Charge::of(process, cost::UNIX_STREAM);
    let charges = || charge().and_then(|first| Ok([first, charge()?]));
    let made = acts(caller.data())
        .and_then(|()| Ok(charges()?))
        .and_then(|charges| Ok((unix::pair(&caller.data().kernel.host.net.reactor)?, charges)));
    let ([first, second], [first_charge, second_charge]) = match made {
        Ok(made) => made,
        Err(failure) => return Ok(failure.code(caller.data_mut())),
    };
    let opened = match open(&mut caller, first, first_charge, one)? {
        Ok(id) => match open(&mut caller, second, second_charge, other)? {
            Ok(_) => Ok(OK),
            Err(failure) => {
                let ctx = caller.data();
                let worker = ctx.kernel.worker();
                // The caller has opened it just now.
                let _ = ctx.kernel.host.net.handles.close(worker, ctx.process(), id);
                Err(failure)
            }
        },
        Err(failure) => Err(failure),
    };
    Ok(answer(&mut caller, opened))
}
