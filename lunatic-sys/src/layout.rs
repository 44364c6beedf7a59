//! Types that cross the boundary between guest and host as bytes.
//!
//! Each type is `repr(C)` and has no padding. Guests pass pointers to values; the host writes and reads the same bytes
//! with `encode`, `decode` and, for lists, `decode_all`.

use crate::codec::{Field, codec};

/// A handle of a process, a channel or a socket: 16 bytes, two little-endian `u64`s.
///
/// Guests pass the bytes on unchanged. They can only read [`slot`](Self::slot) and [`number`](Self::number) from a
/// handle, to show it to people; the meaning of all other bits may change with the host.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct RawHandle {
    /// Identifies the process, channel or socket on its node: its slot, the use of the slot, and a part of the node's
    /// number.
    pub id: u64,
    /// Proves that the host gave the handle out: a keyed hash of `id`, and the other part of the node's number.
    pub key: u64,
}

impl RawHandle {
    /// The number of bits of `id` that are the slot: the lowest ones.
    pub const SLOT_BITS: u32 = 26;
    /// The number of bits of `id`, above the slot, that are the use of the slot.
    pub const USE_BITS: u32 = 26;
    /// The number of bits of `key` that are the hash: the lowest ones.
    pub const KEY_BITS: u32 = 56;

    /// Returns the slot of the host's table, shown in reports as the 17 in `#17.2`.
    #[inline]
    #[must_use]
    pub fn slot(self) -> u32 {
        low_bits(self.id, Self::SLOT_BITS)
    }

    /// Returns how often the slot was used before, shown in reports as the 2 in `#17.2`, unless it is 0.
    #[inline]
    #[must_use]
    pub fn number(self) -> u32 {
        low_bits(self.id >> Self::SLOT_BITS, Self::USE_BITS)
    }

    /// Returns whether both handles were given out by the same node, if they are valid.
    #[inline]
    #[must_use]
    pub fn is_of_node_of(self, other: Self) -> bool {
        // The parts of the node's number.
        (self.id ^ other.id) >> (Self::SLOT_BITS + Self::USE_BITS) == 0 && (self.key ^ other.key) >> Self::KEY_BITS == 0
    }
}

/// The lowest bits of a number, at most 32.
fn low_bits(number: u64, bits: u32) -> u32 {
    (number & ((1 << bits) - 1)) as u32
}

/// The size of [`RawHandle`] in guest memory, in bytes.
pub const RAW_HANDLE_SIZE: usize = 16;

/// The options of `process::spawn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SpawnOptions {
    /// Bits of [`codes::spawn`](crate::codes::spawn); other bits are ignored.
    pub flags: u32,
    /// The length of the name in bytes, 0 for none.
    pub name_len: u32,
    /// A pointer to the name.
    pub name: u64,
    /// The largest memory in bytes; 0 for the limit of the parent.
    pub max_memory: u64,
    /// The largest number of entries in the mailbox; 0 for the limit of the parent.
    pub mailbox_max: u64,
    /// If the child is monitored: the tag of the message about its exit; 0 for the monitor's reference.
    pub monitor_tag: u64,
    /// A pointer to the configuration: entries `KEY=VALUE`, each followed by a zero byte.
    pub config: u64,
    /// The length of the configuration in bytes. With 0 the child has the rights of its parent.
    pub config_len: u32,
    /// Ignored.
    pub reserved: u32,
}

/// The result of `process::spawn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Spawned {
    /// The child; or the process that has the name already.
    pub process: RawHandle,
    /// The reference of the monitor, 0 without a monitor.
    pub reference: u64,
}

/// The usage of a budget.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    /// The number of living processes.
    pub processes: u64,
    /// Bytes of linear memory, of tables, and of everything that the host keeps for the processes.
    pub memory: u64,
    /// The number of open sockets.
    pub sockets: u64,
    /// Processor time so far, in nanoseconds.
    pub cpu_ns: u64,
}

/// The description of a mailbox entry that `mailbox::receive` returns beside its body.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Header {
    /// One of [`codes::mail`](crate::codes::mail).
    pub kind: u32,
    /// The length of the body in bytes.
    pub len: u32,
    /// The tag.
    pub tag: u64,
    /// For DOWN: the reference of the monitor. For CHANGE: [`DESCRIBE`](crate::codes::DESCRIBE) or 0.
    pub reference: u64,
    /// For EXIT and DOWN: the process that has exited or sent the signal.
    pub from: RawHandle,
}

/// A source that `mailbox::select` waits for.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Source {
    /// One of [`codes::source`](crate::codes::source).
    pub kind: u32,
    /// For the mailbox: the number of tags.
    pub tags_len: u32,
    /// For a channel or a socket: its id. For the mailbox: a pointer to the tags.
    pub a: u64,
    /// For a channel or a socket: its key.
    pub b: u64,
}

/// A network address.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SocketAddress {
    /// 4 or 6; 0 for none.
    pub family: u32,
    /// The port, at most 65,535.
    pub port: u32,
    /// The bytes of the IP address in network order; an IPv4 address uses the first four.
    pub ip: [u8; 16],
    /// The flow information of an IPv6 address; otherwise ignored.
    pub flow_info: u32,
    /// The scope id of an IPv6 address; otherwise ignored.
    pub scope_id: u32,
}

/// The figures of a process that `inspect` returns. Followed by the bytes of its name and of the name of its entry
/// function.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ProcessFigures {
    /// The process.
    pub process: RawHandle,
    /// The process that spawned it; zeros for the main process.
    pub parent: RawHandle,
    /// The number of entries in its mailbox.
    pub mailbox: u64,
    /// The bytes in its mailbox.
    pub mailbox_bytes: u64,
    /// The number of entries that its mailbox has received so far.
    pub mail_total: u64,
    /// The size of its linear memory, in bytes.
    pub memory: u64,
    /// Its processor time in nanoseconds, counted in time slices.
    pub cpu_ns: u64,
    /// How long the oldest entry has been in its mailbox, in milliseconds; `u64::MAX` without entries.
    pub oldest_ms: u64,
    /// How long ago it last stopped running, in milliseconds; `u64::MAX` while it runs, and before it has begun.
    pub stopped_ms: u64,
    /// The number of its links.
    pub links: u32,
    /// The number of monitors that it has set.
    pub monitors: u32,
    /// The number of monitors that other processes have set on it.
    pub monitored_by: u32,
    /// The number of timers that send to it.
    pub timers: u32,
    /// How often it has been scheduled, modulo 2³².
    pub runs: u32,
    /// One of the states of [`codes::look`](crate::codes::look).
    pub state: u32,
    /// What it waits for: one of the waits of [`codes::look`](crate::codes::look), 0 for nothing.
    pub wait: u32,
    /// Flags of [`codes::look`](crate::codes::look).
    pub flags: u32,
    /// The length of its name in bytes, 0 without a name.
    pub name_len: u32,
    /// The length of the name of its entry function in bytes, 0 if that is not known.
    pub entry_len: u32,
}

/// The size of [`ProcessFigures`] in guest memory, in bytes.
pub const PROCESS_FIGURES_SIZE: usize = 128;
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

codec!(RawHandle, RAW_HANDLE_SIZE: id, key);
codec!(
    SpawnOptions, SPAWN_OPTIONS_SIZE:
    flags, name_len, name, max_memory, mailbox_max, monitor_tag, config, config_len, reserved
);
codec!(Spawned, SPAWNED_SIZE: process, reference);
codec!(
    ProcessFigures, PROCESS_FIGURES_SIZE:
    process, parent, mailbox, mailbox_bytes, mail_total, memory, cpu_ns, oldest_ms, stopped_ms, links, monitors, monitored_by, timers, runs,
    state, wait, flags, name_len, entry_len
);
codec!(Usage, USAGE_SIZE: processes, memory, sockets, cpu_ns);
codec!(Header, HEADER_SIZE: kind, len, tag, reference, from);
codec!(Source, SOURCE_SIZE: kind, tags_len, a, b);
codec!(SocketAddress, SOCKET_ADDRESS_SIZE: family, port, ip, flow_info, scope_id);

impl Field for RawHandle {
    #[inline]
    fn put(self, to: &mut [u8]) {
        self.encode().put(to);
    }

    #[inline]
    fn take(from: &[u8]) -> Self {
        Self::decode(&Field::take(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that are all different, so that no field can be mistaken for another.
    fn bytes<const N: usize>() -> [u8; N] {
        std::array::from_fn(|at| (at * 7 + 1) as u8)
    }

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    /// The offsets that `docs/abi.md` gives.
    #[test]
    fn fields_are_where_they_are_documented() {
        let b = bytes();
        let handle = |at| RawHandle {
            id: u64_at(&b, at),
            key: u64_at(&b, at + 8),
        };
        assert_eq!(RawHandle::decode(&bytes()), handle(0));
        let options = SpawnOptions {
            flags: u32_at(&b, 0),
            name_len: u32_at(&b, 4),
            name: u64_at(&b, 8),
            max_memory: u64_at(&b, 16),
            mailbox_max: u64_at(&b, 24),
            monitor_tag: u64_at(&b, 32),
            config: u64_at(&b, 40),
            config_len: u32_at(&b, 48),
            reserved: u32_at(&b, 52),
        };
        assert_eq!(SpawnOptions::decode(&b), options);
        let spawned = Spawned {
            process: handle(0),
            reference: u64_at(&b, 16),
        };
        assert_eq!(Spawned::decode(&bytes()), spawned);
        let usage = Usage {
            processes: u64_at(&b, 0),
            memory: u64_at(&b, 8),
            sockets: u64_at(&b, 16),
            cpu_ns: u64_at(&b, 24),
        };
        assert_eq!(Usage::decode(&bytes()), usage);
        let header = Header {
            kind: u32_at(&b, 0),
            len: u32_at(&b, 4),
            tag: u64_at(&b, 8),
            reference: u64_at(&b, 16),
            from: handle(24),
        };
        assert_eq!(Header::decode(&bytes()), header);
        let source = Source {
            kind: u32_at(&b, 0),
            tags_len: u32_at(&b, 4),
            a: u64_at(&b, 8),
            b: u64_at(&b, 16),
        };
        assert_eq!(Source::decode(&bytes()), source);
        let address = SocketAddress {
            family: u32_at(&b, 0),
            port: u32_at(&b, 4),
            ip: b[8..24].try_into().unwrap(),
            flow_info: u32_at(&b, 24),
            scope_id: u32_at(&b, 28),
        };
        assert_eq!(SocketAddress::decode(&bytes()), address);
    }

    #[test]
    fn any_bytes_are_read_and_written_as_they_were() {
        assert_eq!(RawHandle::decode(&bytes()).encode(), bytes());
        assert_eq!(SpawnOptions::decode(&bytes()).encode(), bytes());
        assert_eq!(Spawned::decode(&bytes()).encode(), bytes());
        assert_eq!(Usage::decode(&bytes()).encode(), bytes());
        assert_eq!(Header::decode(&bytes()).encode(), bytes());
        assert_eq!(Source::decode(&bytes()).encode(), bytes());
        assert_eq!(SocketAddress::decode(&bytes()).encode(), bytes());
    }

    #[test]
    fn a_handle_tells_its_slot_and_its_use_and_no_more() {
        let elsewhere = 0xfff << (RawHandle::SLOT_BITS + RawHandle::USE_BITS);
        for (id, slot, number) in [
            (0, 0, 0),
            (17, 17, 0),
            (2 << 26 | 17, 17, 2),
            ((1 << 26) - 1, (1 << 26) - 1, 0),
            ((1 << 52) - 1, (1 << 26) - 1, (1 << 26) - 1),
        ] {
            for handle in [
                RawHandle { id, key: 0 },
                RawHandle {
                    id: id | elsewhere,
                    key: u64::MAX,
                },
            ] {
                assert_eq!((handle.slot(), handle.number()), (slot, number), "{handle:?}");
            }
        }
    }

    #[test]
    fn lists_are_read_up_to_the_last_complete_value() {
        let list: Vec<u8> = (0..3_u64)
            .flat_map(|id| RawHandle { id, key: id * id }.encode())
            .collect();
        for len in 0..=list.len() {
            let ids: Vec<_> = RawHandle::decode_all(&list[..len]).map(|handle| handle.id).collect();
            assert_eq!(ids, [0, 1, 2][..len / RAW_HANDLE_SIZE]);
        }
    }
}
