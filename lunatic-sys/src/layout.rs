//! Types that cross the boundary as bytes.

/// A handle of a process or of a channel: 16 bytes, two little-endian `u64`s.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct RawHandle {
    /// Which process or channel. For people too: this is the number that reports show.
    pub id: u64,
    /// Proof that the handle was given out by the host: a keyed hash of the id, not guessable.
    pub key: u64,
}

/// The size of [`RawHandle`] in guest memory, in bytes.
pub const RAW_HANDLE_SIZE: usize = 16;
const _: () = assert!(size_of::<RawHandle>() == RAW_HANDLE_SIZE);

/// How `process::spawn` makes a process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct SpawnOptions {
    /// Bits of [`codes::spawn`](crate::codes::spawn); other bits are not looked at.
    pub flags: u32,
    /// The length of the name in bytes, 0 for none.
    pub name_len: u32,
    /// Where the name is.
    pub name: u64,
    /// The largest memory in bytes, 0: as the parent.
    pub max_memory: u64,
    /// The largest number of entries in its mailbox, 0: as the parent.
    pub mailbox_max: u64,
    /// The tag of the message about its end if it is monitored, 0: the monitor's reference.
    pub monitor_tag: u64,
    /// Where the configuration is: entries `KEY=VALUE`, a zero byte behind each.
    pub config: u64,
    /// The length of the configuration in bytes, 0: the child has the rights of its parent.
    pub config_len: u32,
    /// Not looked at.
    pub reserved: u32,
}

/// What `process::spawn` answers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Spawned {
    /// The child; or the process that has the name.
    pub process: RawHandle,
    /// The monitor's reference, 0 if there is none.
    pub reference: u64,
}

/// How much is used of a budget.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Living processes.
    pub processes: u64,
    /// Bytes of linear memory.
    pub memory: u64,
    /// Open sockets.
    pub sockets: u64,
    /// Time on a core so far, in nanoseconds.
    pub cpu_ns: u64,
}

/// What `mailbox::receive` says of an entry beside its body.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Header {
    /// One of [`codes::mail`](crate::codes::mail).
    pub kind: u32,
    /// The length of the body in bytes.
    pub len: u32,
    /// Under which tag it came.
    pub tag: u64,
    /// The monitor's reference, for DOWN.
    pub reference: u64,
    /// Who ended, for EXIT and DOWN.
    pub from: RawHandle,
}

/// One thing that `mailbox::select` waits for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Source {
    /// One of [`codes::source`](crate::codes::source).
    pub kind: u32,
    /// The number of tags, for the mailbox.
    pub tags_len: u32,
    /// A channel's id, or where the tags are.
    pub a: u64,
    /// A channel's key.
    pub b: u64,
}

/// An address on the network.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SocketAddress {
    /// 4 or 6; 0 for none.
    pub family: u32,
    /// The port, at most 65,535.
    pub port: u32,
    /// The bytes of the IP address in the order of the network; of an IPv4 address, the first four.
    pub ip: [u8; 16],
    /// Of an IPv6 address, else not looked at.
    pub flow_info: u32,
    /// Of an IPv6 address, else not looked at.
    pub scope_id: u32,
}

/// The size of [`SpawnOptions`] in guest memory, in bytes.
pub const SPAWN_OPTIONS_SIZE: usize = 56;
/// The size of [`Usage`] in guest memory, in bytes.
pub const USAGE_SIZE: usize = 32;
/// The size of [`Spawned`] in guest memory, in bytes.
pub const SPAWNED_SIZE: usize = 24;
/// The size of [`Header`] in guest memory, in bytes.
pub const HEADER_SIZE: usize = 40;
/// The size of [`Source`] in guest memory, in bytes.
pub const SOURCE_SIZE: usize = 24;
/// The size of [`SocketAddress`] in guest memory, in bytes.
pub const SOCKET_ADDRESS_SIZE: usize = 32;
const _: () = assert!(size_of::<SocketAddress>() == SOCKET_ADDRESS_SIZE);
const _: () = assert!(size_of::<SpawnOptions>() == SPAWN_OPTIONS_SIZE);
const _: () = assert!(size_of::<Usage>() == USAGE_SIZE);
const _: () = assert!(size_of::<Spawned>() == SPAWNED_SIZE);
const _: () = assert!(size_of::<Header>() == HEADER_SIZE);
const _: () = assert!(size_of::<Source>() == SOURCE_SIZE);
