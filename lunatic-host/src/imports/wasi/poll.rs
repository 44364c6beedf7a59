//! `poll_oneoff`: waiting for clocks, standard streams and files.
//!
//! A file is always ready, so a list with one in it waits for nothing: files are asked what is left of them, on a thread that may
//! block, and nobody else is.

use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;

use super::blocking::{self, Loan};
use super::{NAMESPACE, ProcessWasi, errno, parts};
use crate::guest_memory;
use crate::instance::Ctx;

/// The most things that are waited for at once: each is set up and taken down by itself.
const SUBSCRIPTIONS_MAX: u32 = 4096;

/// Layouts of WASI: `subscription` and `event`, and where their members are.
const SUBSCRIPTION_SIZE: usize = 48;
const EVENT_SIZE: usize = 32;
const SUBSCRIPTION_TAG: usize = 8;
const SUBSCRIPTION_FD: usize = 16;
const EVENT_TYPE: usize = 10;
const EVENT_BYTES: usize = 16;
const EVENT_FLAGS: usize = 24;
/// Nothing is left to be read.
const HANGUP: u8 = 1;

/// A file that is waited for.
struct Wanted {
    userdata: [u8; 8],
    /// What for: the number of the type of event.
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

    /// The event that a file is ready; or a code.
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
    /// How many bytes of a file come after the place where it is read next; or a code.
    fn left(&mut self, fd: i32) -> Result<u64, i32> {
        /// Where a `filestat` says how large the file is.
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
    linker.func_wrap_async(NAMESPACE, "poll_oneoff", |caller, (wanted, events, count, out)| {
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
    // What is not in the memory is refused below.
    let list = guest_memory::part(memory, wanted.cast_unsigned(), list_size).unwrap_or_default();
    let wasi = ProcessWasi::of(ctx);
    let files: Vec<Wanted> = list
        .chunks_exact(SUBSCRIPTION_SIZE)
        .filter_map(Wanted::of)
        .filter(|wanted| wasi.is_file(wanted.fd))
        .collect();
    if !files.is_empty() {
        return poll_files(&mut caller, files, events, out).await;
    }
    let (mut memory, wasi) = parts(&mut caller)?;
    // With folders whose files may block the thread, wasmtime-wasi would let the thread sleep, too.
    let folders = std::mem::take(wasi.context.ctx().ctx.filesystem());
    let code = preview1::poll_oneoff(&mut wasi.context, &mut memory, wanted, events, count, out).await;
    *wasi.context.ctx().ctx.filesystem() = folders;
    code
}

/// Says which files are ready: all.
async fn poll_files(caller: &mut Caller<'_, Ctx>, files: Vec<Wanted>, events: i32, out: i32) -> Result<i32> {
    let (events, out) = (events.cast_unsigned(), out.cast_unsigned());
    let count = u32::try_from(files.len())?;
    guest_memory::slice(caller, events, count * EVENT_SIZE as u32)?;
    guest_memory::slice(caller, out, 4)?;
    let ready = blocking::run(caller, move |wasi| {
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
