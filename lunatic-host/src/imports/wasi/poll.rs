//! `poll_oneoff`: waits for clocks, standard streams and files.
//!
//! A file is always ready, so a list that contains one does not wait: a thread that may block determines how much is
//! left of the files, and nothing else is examined.

use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;

use super::blocking::{self, Loan};
use super::{NAMESPACE, ProcessWasi, errno, parts};
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;

/// The most subscriptions of a call: each is set up and taken down separately.
const SUBSCRIPTIONS_MAX: u32 = 4096;

/// The bytes that wasmtime-wasi keeps for a subscription while the process waits. So many are free, as parts of the body
/// of the process: one that has no memory left can sleep.
const SUBSCRIPTION_COST: usize = 1024;
const SUBSCRIPTIONS_FREE: u32 = 4;

/// Layouts of WASI: the sizes of `subscription` and `event`, and the offsets of their members.
const SUBSCRIPTION_SIZE: usize = 48;
const EVENT_SIZE: usize = 32;
const SUBSCRIPTION_TAG: usize = 8;
const SUBSCRIPTION_FD: usize = 16;
const EVENT_TYPE: usize = 10;
const EVENT_BYTES: usize = 16;
const EVENT_FLAGS: usize = 24;
/// Nothing is left to read.
const HANGUP: u8 = 1;

/// A file in a subscription.
struct Wanted {
    userdata: [u8; 8],
    /// The number of the type of event.
    tag: u8,
    fd: i32,
}

impl Wanted {
    const READ: u8 = 1;
    const WRITE: u8 = 2;

    /// `None` for a clock.
    fn of(subscription: &[u8]) -> Option<Self> {
        let tag = subscription[SUBSCRIPTION_TAG];
        let fd = &subscription[SUBSCRIPTION_FD..][..4];
        matches!(tag, Self::READ | Self::WRITE).then(|| Self {
            userdata: subscription[..8].try_into().expect("eight bytes"),
            tag,
            fd: i32::from_le_bytes(fd.try_into().expect("four bytes")),
        })
    }

    /// The event that a file is ready, or an error code.
    fn event(&self, wasi: &mut ProcessWasi) -> Result<[u8; EVENT_SIZE], i32> {
        let mut event = [0; EVENT_SIZE];
        event[..8].copy_from_slice(&self.userdata);
        event[EVENT_TYPE] = self.tag;
        event[EVENT_BYTES] = 1;
        if self.tag == Self::READ && wasi.left(self.fd)? == 0 {
            event[EVENT_FLAGS] = HANGUP;
        }
        Ok(event)
    }
}

impl ProcessWasi {
    /// How many bytes of a file follow the position of the next read, or an error code.
    fn left(&mut self, fd: i32) -> Result<u64, i32> {
        /// The offset of the size in a `filestat`.
        const SIZE: usize = 32;
        let size = self.filestat(fd)?[SIZE..][..8].try_into().expect("eight bytes");
        let mut loan = Loan::default();
        let out = loan.zeros(8);
        match preview1::fd_tell(&mut self.context, &mut loan.memory(), fd, out) {
            Ok(errno::SUCCESS) => {}
            Ok(code) => return Err(code),
            Err(_) => return Err(errno::INVAL),
        }
        let place = loan.read(out, 8).try_into().expect("eight bytes");
        Ok(u64::from_le_bytes(size).saturating_sub(u64::from_le_bytes(place)))
    }
}

pub(super) fn add(linker: &mut Linker<Ctx>) -> Result<()> {
    linker.timed_async(NAMESPACE, "poll_oneoff", |caller, (wanted, events, count, out)| {
        Box::new(poll_oneoff(caller, wanted, events, count, out))
    })?;
    Ok(())
}

async fn poll_oneoff(mut caller: Caller<'_, Ctx>, wanted: i32, events: i32, count: i32, out: i32) -> Result<i32> {
    if count.cast_unsigned() > SUBSCRIPTIONS_MAX {
        return Ok(errno::INVAL);
    }
    let list_size = count.cast_unsigned() * SUBSCRIPTION_SIZE as u32;
    let (memory, ctx) = guest_memory::all(&mut caller)?;
    // A range outside of the memory is refused below.
    let list = guest_memory::part(memory, wanted.cast_unsigned(), list_size).unwrap_or_default();
    let wasi = ProcessWasi::of(ctx);
    if files_of(list, wasi).next().is_some() {
        return poll_files(&mut caller, (wanted.cast_unsigned(), list_size), events, out).await;
    }
    let paid = count.cast_unsigned().saturating_sub(SUBSCRIPTIONS_FREE) as usize * SUBSCRIPTION_COST;
    if let Err(code) = ProcessWasi::of(caller.data_mut()).pay(paid) {
        return Ok(code);
    }
    let (mut memory, wasi) = parts(&mut caller)?;
    // With folders whose files may block the thread, wasmtime-wasi would also let the thread sleep.
    let folders = std::mem::take(wasi.context.ctx().ctx.filesystem());
    let code = preview1::poll_oneoff(&mut wasi.context, &mut memory, wanted, events, count, out).await;
    *wasi.context.ctx().ctx.filesystem() = folders;
    wasi.give_back(paid);
    code
}

/// The files in a list of subscriptions.
fn files_of(list: &[u8], wasi: &ProcessWasi) -> impl Iterator<Item = Wanted> {
    let wanted = list.chunks_exact(SUBSCRIPTION_SIZE).filter_map(Wanted::of);
    wanted.filter(move |wanted| wasi.is_file(wanted.fd))
}

/// Reports which files of a list are ready: all of them.
async fn poll_files(caller: &mut Caller<'_, Ctx>, list: (u32, u32), events: i32, out: i32) -> Result<i32> {
    let permit = blocking::permit(caller).await;
    let (bytes, ctx) = guest_memory::slice(caller, list.0, list.1)?;
    let files: Vec<Wanted> = files_of(bytes, ProcessWasi::of(ctx)).collect();
    let (events, out) = (events.cast_unsigned(), out.cast_unsigned());
    let count = u32::try_from(files.len())?;
    guest_memory::slice(caller, events, count * EVENT_SIZE as u32)?;
    guest_memory::slice(caller, out, 4)?;
    let ready = blocking::run(caller, permit, move |wasi| {
        let events = files.iter().map(|wanted| wanted.event(wasi));
        events.collect::<Result<Vec<_>, i32>>()
    });
    Ok(match ready.await? {
        Ok(ready) => {
            guest_memory::write(caller, events, ready.as_flattened())?;
            guest_memory::write(caller, out, &count.to_le_bytes())?;
            errno::SUCCESS
        }
        Err(code) => code,
    })
}
