//! The functions of `lunatic:process`, as the canonical ABI of the component model passes their arguments and results. Tools
//! generate such code from the WIT file; this is written by hand, so that the tests need no such tool.

use super::area::Area;
pub(super) use super::area::{Address, Mail, Refusal};

#[link(wasm_import_module = "lunatic:process/process@0.1.0")]
unsafe extern "C" {
    fn this() -> u32;
    fn parent(out: *mut Area);
    #[link_name = "[static]process.of-address"]
    fn of_address(id: u64, key: u64, out: *mut Area);
    #[link_name = "[method]process.address"]
    fn address(process: u32, out: *mut Area);
    #[link_name = "[method]process.is-alive"]
    fn is_alive(process: u32) -> u32;
    #[link_name = "[method]process.join"]
    fn join(process: u32, has_timeout: u32, timeout: u64, out: *mut Area);
    #[link_name = "[method]process.link"]
    fn link(process: u32, out: *mut Area);
    #[link_name = "[method]process.unlink"]
    fn unlink(process: u32);
    #[link_name = "[method]process.monitor"]
    fn monitor(process: u32, tag: u64, out: *mut Area);
    #[link_name = "[method]process.exit-signal"]
    fn exit_signal(process: u32, kind: u32, a: u32, b: u32, c: u32, out: *mut Area);
    #[link_name = "[method]process.kill"]
    fn kill(process: u32, out: *mut Area);
    #[link_name = "[resource-drop]process"]
    fn drop_process(process: u32);
    #[link_name = "spawn"]
    fn spawn_raw(
        name: *const u8,
        name_len: usize,
        argument: *const u8,
        argument_len: usize,
        flags: u32,
        is_monitored: u32,
        monitor: u64,
        has_name: u32,
        own_name: *const u8,
        own_name_len: usize,
        has_memory_max: u32,
        memory_max: u64,
        has_mailbox_max: u32,
        mailbox_max: u64,
        config: *const Entry,
        config_len: usize,
        out: *mut Area,
    );
    fn demonitor(reference: u64, flush: u32) -> u32;
    #[link_name = "trap-exits"]
    fn trap_exits_raw(on: u32) -> u32;
    fn exit(kind: u32, a: u32, b: u32, c: u32);
}

#[link(wasm_import_module = "lunatic:process/mailbox@0.1.0")]
unsafe extern "C" {
    #[link_name = "send"]
    fn send_raw(to: u32, tag: u64, body: *const u8, len: usize, out: *mut Area);
    #[link_name = "receive"]
    fn receive_raw(tags: *const u64, len: usize, has_timeout: u32, timeout: u64, out: *mut Area);
    #[link_name = "rest"]
    fn rest_raw(len: u32, out: *mut Area);
    #[link_name = "reference"]
    fn reference_raw() -> u64;
    #[link_name = "close"]
    fn close_raw(reference: u64);
}

#[link(wasm_import_module = "lunatic:process/registry@0.1.0")]
unsafe extern "C" {
    #[link_name = "register"]
    fn register_raw(name: *const u8, len: usize, process: u32, out: *mut Area);
    #[link_name = "unregister"]
    fn unregister_raw(name: *const u8, len: usize, out: *mut Area);
    #[link_name = "lookup"]
    fn lookup_raw(name: *const u8, len: usize, out: *mut Area);
    #[link_name = "join-group"]
    fn join_group_raw(name: *const u8, len: usize, process: u32, out: *mut Area);
    #[link_name = "leave-group"]
    fn leave_group_raw(name: *const u8, len: usize, process: u32, out: *mut Area);
    #[link_name = "members"]
    fn members_raw(name: *const u8, len: usize, out: *mut Area);
    #[link_name = "broadcast"]
    fn broadcast_raw(name: *const u8, len: usize, tag: u64, body: *const u8, body_len: usize, out: *mut Area);
}

#[link(wasm_import_module = "lunatic:process/timer@0.1.0")]
unsafe extern "C" {
    #[link_name = "send-after"]
    fn send_after_raw(
        to: u32,
        tag: u64,
        body: *const u8,
        len: usize,
        delay: u64,
        is_repeated: u32,
        interval: u64,
        out: *mut Area,
    );
    #[link_name = "cancel"]
    fn cancel_raw(timer: u64) -> u32;
}

/// The host allocates results here.
#[unsafe(export_name = "cabi_realloc")]
unsafe extern "C" fn realloc(old: *mut u8, old_len: usize, align: usize, len: usize) -> *mut u8 {
    use std::alloc::{Layout, alloc, handle_alloc_error, realloc};
    let layout = |len| Layout::from_size_align(len, align).expect("the host asks for a valid layout");
    // SAFETY: the host passes what it got here before, or no memory; and no layout is empty.
    let made = unsafe {
        match (old_len, len) {
            (0, 0) => return std::ptr::without_provenance_mut(align),
            (0, _) => alloc(layout(len)),
            _ => realloc(old, layout(old_len), len),
        }
    };
    if made.is_null() {
        handle_alloc_error(layout(len));
    }
    made
}

/// A handle.
#[derive(Debug)]
pub(super) struct Process(u32);

impl Drop for Process {
    fn drop(&mut self) {
        // SAFETY: the handle belongs to this value.
        unsafe { drop_process(self.0) }
    }
}

/// The numbers of the reasons that a program may pass.
pub(super) enum Reason<'a> {
    Normal,
    Killed,
    Error(&'a str),
}

impl Reason<'_> {
    fn flat(&self) -> (u32, u32, u32, u32) {
        match self {
            Self::Normal => (0, 0, 0, 0),
            Self::Killed => (4, 0, 0, 0),
            Self::Error(text) => (7, text.as_ptr().expose_provenance() as u32, text.len() as u32, 0),
        }
    }
}

#[derive(Default)]
pub(super) struct Options<'a> {
    pub(super) link: bool,
    pub(super) monitor: Option<u64>,
    pub(super) trap_exits: bool,
    pub(super) new_names: bool,
    pub(super) name: Option<&'a str>,
    pub(super) memory_max: Option<u64>,
    pub(super) mailbox_max: Option<u64>,
    pub(super) config: &'a [&'a str],
}

/// A string in a list.
#[repr(C)]
struct Entry(*const u8, usize);

/// An optional number as the host gets it.
pub(super) fn option(value: Option<u64>) -> (u32, u64) {
    (u32::from(value.is_some()), value.unwrap_or(0))
}

// SAFETY of all calls below: each pointer is that of the value it is made of, with its length, or of an area that is large
// enough for the result.
impl Process {
    /// The number of the handle.
    pub(super) fn handle(&self) -> u32 {
        self.0
    }

    pub(super) fn this() -> Self {
        // SAFETY: as above.
        Self(unsafe { this() })
    }

    fn optional(area: &Area) -> Option<Self> {
        (area.0[0] != 0).then(|| Self(area.number(4)))
    }

    pub(super) fn parent() -> Option<Self> {
        // SAFETY: as above.
        Self::optional(&Area::of(|out| unsafe { parent(out) }))
    }

    pub(super) fn of_address((id, key): Address) -> Option<Self> {
        // SAFETY: as above.
        Self::optional(&Area::of(|out| unsafe { of_address(id, key, out) }))
    }

    pub(super) fn address(&self) -> Address {
        // SAFETY: as above.
        Area::of(|out| unsafe { address(self.0, out) }).address(0)
    }

    pub(super) fn is_alive(&self) -> bool {
        // SAFETY: as above.
        unsafe { is_alive(self.0) != 0 }
    }

    pub(super) fn join(&self, timeout: Option<u64>) -> Option<String> {
        let (has_timeout, timeout) = option(timeout);
        // SAFETY: as above.
        let area = Area::of(|out| unsafe { join(self.0, has_timeout, timeout, out) });
        (area.0[0] != 0).then(|| area.reason(4))
    }

    pub(super) fn link(&self) -> Result<(), Refusal> {
        // SAFETY: as above.
        Area::of(|out| unsafe { link(self.0, out) }).refused(4)
    }

    pub(super) fn unlink(&self) {
        // SAFETY: as above.
        unsafe { unlink(self.0) }
    }

    pub(super) fn monitor(&self, tag: u64) -> Result<u64, Refusal> {
        // SAFETY: as above.
        let area = Area::of(|out| unsafe { monitor(self.0, tag, out) });
        area.refused(8).map(|()| area.long(8))
    }

    pub(super) fn exit_signal(&self, reason: &Reason<'_>) -> Result<(), Refusal> {
        let (kind, a, b, c) = reason.flat();
        // SAFETY: as above.
        Area::of(|out| unsafe { exit_signal(self.0, kind, a, b, c, out) }).refused(4)
    }

    pub(super) fn kill(&self) -> Result<(), Refusal> {
        // SAFETY: as above.
        Area::of(|out| unsafe { kill(self.0, out) }).refused(4)
    }

    pub(super) fn send(&self, tag: u64, body: &[u8]) -> Result<(), Refusal> {
        // SAFETY: as above.
        Area::of(|out| unsafe { send_raw(self.0, tag, body.as_ptr(), body.len(), out) }).refused(4)
    }

    pub(super) fn send_after(&self, tag: u64, body: &[u8], delay: u64, interval: Option<u64>) -> Result<u64, Refusal> {
        let (is_repeated, interval) = option(interval);
        // SAFETY: as above.
        let area = Area::of(|out| unsafe {
            send_after_raw(
                self.0,
                tag,
                body.as_ptr(),
                body.len(),
                delay,
                is_repeated,
                interval,
                out,
            )
        });
        area.refused(8).map(|()| area.long(8))
    }
}

/// Spawns a process; also returns the reference of the monitor.
pub(super) fn spawn(name: &str, argument: &[u8], options: &Options<'_>) -> Result<(Process, Option<u64>), Refusal> {
    let (is_monitored, monitor) = option(options.monitor);
    let (has_memory_max, memory_max) = option(options.memory_max);
    let (has_mailbox_max, mailbox_max) = option(options.mailbox_max);
    let own_name = options.name.unwrap_or("");
    let entry = |entry: &&str| Entry(entry.as_ptr(), entry.len());
    let config: Vec<_> = options.config.iter().map(entry).collect();
    // SAFETY: as above.
    let area = Area::of(|out| unsafe {
        spawn_raw(
            name.as_ptr(),
            name.len(),
            argument.as_ptr(),
            argument.len(),
            u32::from(options.link) | u32::from(options.trap_exits) << 1 | u32::from(options.new_names) << 2,
            is_monitored,
            monitor,
            u32::from(options.name.is_some()),
            own_name.as_ptr(),
            own_name.len(),
            has_memory_max,
            memory_max,
            has_mailbox_max,
            mailbox_max,
            config.as_ptr(),
            config.len(),
            out,
        );
    });
    area.refused(8)?;
    Ok((Process(area.number(8)), (area.0[16] != 0).then(|| area.long(24))))
}

pub(super) fn remove_monitor(reference: u64, flush: bool) -> bool {
    // SAFETY: as above.
    unsafe { demonitor(reference, u32::from(flush)) != 0 }
}

pub(super) fn trap_exits(on: bool) -> bool {
    // SAFETY: as above.
    unsafe { trap_exits_raw(u32::from(on)) != 0 }
}

pub(super) fn end(reason: &Reason<'_>) -> ! {
    let (kind, a, b, c) = reason.flat();
    // SAFETY: as above.
    unsafe { exit(kind, a, b, c) }
    unreachable!("the process has exited")
}

pub(super) fn receive(tags: &[u64], timeout: Option<u64>) -> Option<Mail> {
    let (has_timeout, timeout) = option(timeout);
    // SAFETY: as above.
    let area = Area::of(|out| unsafe { receive_raw(tags.as_ptr(), tags.len(), has_timeout, timeout, out) });
    (area.0[0] != 0).then(|| match area.0[8] {
        0 => Mail::Message {
            tag: area.long(16),
            body: area.bytes(24),
            more: area.long(32),
        },
        1 => Mail::Exit {
            sender: area.address(16),
            reason: area.reason(32),
        },
        _ => Mail::Down {
            process: area.address(16),
            reference: area.long(32),
            tag: area.long(40),
            reason: area.reason(48),
        },
    })
}

pub(super) fn rest(len: u32) -> Vec<u8> {
    // SAFETY: as above.
    Area::of(|out| unsafe { rest_raw(len, out) }).bytes(0)
}

pub(super) fn reference() -> u64 {
    // SAFETY: as above.
    unsafe { reference_raw() }
}

pub(super) fn close(reference: u64) {
    // SAFETY: as above.
    unsafe { close_raw(reference) }
}

pub(super) fn register(name: &str, process: &Process) -> Result<(), Refusal> {
    // SAFETY: as above.
    Area::of(|out| unsafe { register_raw(name.as_ptr(), name.len(), process.0, out) }).refused(4)
}

pub(super) fn unregister(name: &str) -> Result<(), Refusal> {
    // SAFETY: as above.
    Area::of(|out| unsafe { unregister_raw(name.as_ptr(), name.len(), out) }).refused(4)
}

pub(super) fn lookup(name: &str) -> Option<Process> {
    // SAFETY: as above.
    Process::optional(&Area::of(|out| unsafe { lookup_raw(name.as_ptr(), name.len(), out) }))
}

pub(super) fn cancel(timer: u64) -> bool {
    // SAFETY: as above.
    unsafe { cancel_raw(timer) != 0 }
}

pub(super) fn join_group(name: &str, process: &Process) -> Result<(), Refusal> {
    // SAFETY: as above.
    Area::of(|out| unsafe { join_group_raw(name.as_ptr(), name.len(), process.0, out) }).refused(4)
}

pub(super) fn leave_group(name: &str, process: &Process) -> Result<(), Refusal> {
    // SAFETY: as above.
    Area::of(|out| unsafe { leave_group_raw(name.as_ptr(), name.len(), process.0, out) }).refused(4)
}

pub(super) fn members(name: &str) -> Vec<Address> {
    // SAFETY: as above.
    Area::of(|out| unsafe { members_raw(name.as_ptr(), name.len(), out) }).addresses()
}

pub(super) fn broadcast(name: &str, tag: u64, body: &[u8]) -> Result<u32, Refusal> {
    // SAFETY: as above.
    let area = Area::of(|out| unsafe { broadcast_raw(name.as_ptr(), name.len(), tag, body.as_ptr(), body.len(), out) });
    area.refused(4).map(|()| area.number(4))
}
