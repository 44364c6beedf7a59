//! `lunatic:process/channel`, as in `host.rs`.

use super::area::{Address, Area, Refusal};
use super::host::option;

#[link(wasm_import_module = "lunatic:process/channel@0.1.0")]
unsafe extern "C" {
    #[link_name = "[static]channel.open"]
    fn open(is_bounded: u32, bound: u64, out: *mut Area);
    #[link_name = "[static]channel.of-address"]
    fn of_address(id: u64, key: u64, out: *mut Area);
    #[link_name = "[method]channel.address"]
    fn address(channel: u32, out: *mut Area);
    #[link_name = "[method]channel.send"]
    fn send(channel: u32, body: *const u8, len: usize, has_timeout: u32, timeout: u64, out: *mut Area);
    #[link_name = "[method]channel.receive"]
    fn receive(channel: u32, has_timeout: u32, timeout: u64, out: *mut Area);
    #[link_name = "[resource-drop]channel"]
    fn drop_channel(channel: u32);
}

/// A handle of a channel.
#[derive(Debug)]
pub(super) struct Channel(u32);

impl Drop for Channel {
    fn drop(&mut self) {
        // SAFETY: the handle belongs to this value.
        unsafe { drop_channel(self.0) }
    }
}

// SAFETY of all calls below: each pointer is that of the value it is made of, with its length, or of an area that is large
// enough for the result.
impl Channel {
    pub(super) fn new(bound: Option<u64>) -> Result<Self, Refusal> {
        let (is_bounded, bound) = option(bound);
        // SAFETY: as above.
        let area = Area::of(|out| unsafe { open(is_bounded, bound, out) });
        area.refused(4).map(|()| Self(area.number(4)))
    }

    pub(super) fn of_address((id, key): Address) -> Option<Self> {
        // SAFETY: as above.
        let area = Area::of(|out| unsafe { of_address(id, key, out) });
        (area.0[0] != 0).then(|| Self(area.number(4)))
    }

    pub(super) fn address(&self) -> Address {
        // SAFETY: as above.
        Area::of(|out| unsafe { address(self.0, out) }).address(0)
    }

    pub(super) fn send(&self, body: &[u8], timeout: Option<u64>) -> Result<(), Refusal> {
        let (has_timeout, timeout) = option(timeout);
        // SAFETY: as above.
        let area = Area::of(|out| unsafe { send(self.0, body.as_ptr(), body.len(), has_timeout, timeout, out) });
        area.refused(4)
    }

    /// A message, and how many bytes of it are left.
    pub(super) fn receive(&self, timeout: Option<u64>) -> Result<Option<(Vec<u8>, u64)>, Refusal> {
        let (has_timeout, timeout) = option(timeout);
        // SAFETY: as above.
        let area = Area::of(|out| unsafe { receive(self.0, has_timeout, timeout, out) });
        area.refused(8)?;
        Ok((area.0[8] != 0).then(|| (area.bytes(16), area.long(24))))
    }
}
