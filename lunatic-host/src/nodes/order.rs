//! The request for a spawn on another node, as bytes: what the parent's host tells the child's.
//!
//! Numbers are little-endian. The bytes come from another node, which may be hostile.

use std::sync::Arc;

use lunatic_kernel::trace::Trace;
use lunatic_sys::codes::CAPTURE_LEN_MAX;
use lunatic_sys::trace::Context;

/// The version of the format.
const VERSION: u8 = 2;
const CLOSURE: u8 = 0;
const EXPORT: u8 = 1;
/// The most sets of network rules.
const SETS_MAX: usize = 64;

/// A request for a spawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order<'a> {
    /// The BLAKE3 hash of the module.
    pub(crate) hash: [u8; 32],
    /// Bits of [`codes::spawn`](lunatic_sys::codes::spawn).
    pub(crate) flags: u32,
    /// The limits of the child; 0 for none of its own.
    pub(crate) max_memory: u64,
    pub(crate) mailbox_max: u64,
    /// The scope of names of the parent: a number that only nodes know where processes of this scope are.
    pub(crate) scope: u128,
    /// The rights of the parent, as a configuration.
    pub(crate) parent: &'a [u8],
    /// Further sets of network rules of the parent, which all apply; each is a configuration.
    pub(crate) nets: Vec<&'a [u8]>,
    /// The configuration that the parent passes; empty for none.
    pub(crate) config: &'a [u8],
    /// The trace context of the parent as text; empty for none.
    pub(crate) context: &'a str,
    pub(crate) entry: Begins<'a>,
}

/// What the child calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins<'a> {
    /// An index into the function table, and the captured values.
    Closure(u32, &'a [u8]),
    /// An exported function.
    Export(&'a str),
}

impl<'a> Order<'a> {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut to = vec![VERSION];
        to.extend(self.hash);
        to.extend(self.flags.to_le_bytes());
        to.extend(self.max_memory.to_le_bytes());
        to.extend(self.mailbox_max.to_le_bytes());
        to.extend(self.scope.to_le_bytes());
        let mut part = |bytes: &[u8]| {
            to.extend((bytes.len() as u32).to_le_bytes());
            to.extend(bytes);
        };
        part(self.parent);
        part(self.config);
        part(self.context.as_bytes());
        part(&[self.nets.len() as u8]);
        for net in &self.nets {
            part(net);
        }
        match self.entry {
            Begins::Closure(index, captured) => {
                to.push(CLOSURE);
                to.extend(index.to_le_bytes());
                to.extend(captured);
            }
            Begins::Export(name) => {
                to.push(EXPORT);
                to.extend(name.as_bytes());
            }
        }
        to
    }

    /// Decodes what another node has sent; `None` if it is no request of this version.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        if from.take::<1>()? != [VERSION] {
            return None;
        }
        let hash = from.take()?;
        let flags = u32::from_le_bytes(from.take()?);
        let (max_memory, mailbox_max) = (u64::from_le_bytes(from.take()?), u64::from_le_bytes(from.take()?));
        let scope = u128::from_le_bytes(from.take()?);
        let (parent, config) = (from.part()?, from.part()?);
        let context = std::str::from_utf8(from.part()?).ok()?;
        let [count] = *from.part()? else { return None };
        if usize::from(count) > SETS_MAX {
            return None;
        }
        let nets = (0..count).map(|_| from.part()).collect::<Option<_>>()?;
        let entry = match from.take()? {
            [CLOSURE] => {
                let index = u32::from_le_bytes(from.take()?);
                (from.0.len() <= CAPTURE_LEN_MAX).then_some(Begins::Closure(index, from.0))?
            }
            [EXPORT] => Begins::Export(std::str::from_utf8(from.0).ok()?),
            _ => return None,
        };
        Some(Self {
            hash,
            flags,
            max_memory,
            mailbox_max,
            scope,
            parent,
            nets,
            config,
            context,
            entry,
        })
    }

    /// The trace that the child begins in; none if the context is not valid.
    pub(crate) fn trace(&self) -> Trace {
        Context::from_text(self.context).map(Arc::new)
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// Bytes after their length.
    fn part(&mut self) -> Option<&'a [u8]> {
        let len = u32::from_le_bytes(self.take()?) as usize;
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn orders() -> [Order<'static>; 2] {
        let order = Order {
            hash: [7; 32],
            flags: 3,
            max_memory: 1 << 20,
            mailbox_max: 0,
            scope: 5 << 90,
            parent: b"allow=spawn\0",
            nets: vec![b"net=*\0", b""],
            config: b"",
            context: "",
            entry: Begins::Closure(9, b"captured"),
        };
        let export = Order {
            nets: Vec::new(),
            config: b"inherit\0",
            context: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01a=1",
            entry: Begins::Export("serve"),
            ..order.clone()
        };
        [order, export]
    }

    #[test]
    fn orders_are_read_as_they_were_written() {
        for order in orders() {
            let bytes = order.write();
            assert_eq!(Order::read(&bytes), Some(order.clone()));
            let head = bytes.len() - 9;
            for end in 0..head {
                assert!(Order::read(&bytes[..end]).is_none_or(|read| read != order), "{end}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200), flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 0..4)) {
            _ = Order::read(&bytes);
            let mut good = orders()[0].write();
            for (at, bit) in flips {
                let at = at.index(good.len());
                good[at] ^= 1 << bit;
            }
            if let Some(order) = Order::read(&good) {
                prop_assert_eq!(order.write(), good);
            }
        }
    }
}
