//! Handles of processes, and why calls are refused.

use lunatic_kernel::address::Id;
use lunatic_sys::codes::{BAD_CONFIG, DENIED, FULL, LIMIT, NAME_TAKEN, OK};
use lunatic_sys::layout::RawHandle;
use wasmtime::Result;
use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::View;

/// The process that a handle stands for.
pub(super) struct Handle(Id);

/// A handle as two numbers.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
pub(super) struct Address {
    pub(super) id: u64,
    pub(super) key: u64,
}

impl From<RawHandle> for Address {
    fn from(RawHandle { id, key }: RawHandle) -> Self {
        Self { id, key }
    }
}

impl From<Address> for RawHandle {
    fn from(Address { id, key }: Address) -> Self {
        Self { id, key }
    }
}

/// Why the host refused to do something.
#[derive(ComponentType, Lower)]
#[component(variant)]
pub(super) enum Refusal {
    #[component(name = "closed")]
    Closed,
    #[component(name = "full")]
    Full,
    #[component(name = "name-taken")]
    NameTaken,
    #[component(name = "limit")]
    Limit(String),
    #[component(name = "bad-config")]
    BadConfig(String),
    #[component(name = "denied")]
    Denied(String),
}

impl View<'_> {
    /// A new handle of a process.
    pub(super) fn handle(&mut self, id: Id) -> Result<Resource<Handle>> {
        self.giving(|trap| trap, |state| Ok(state.table().push(Handle(id))?))
    }

    pub(super) fn drop_handle(&mut self, handle: Resource<Handle>) -> Result<()> {
        self.dropping(|state| state.table().delete(handle))?;
        Ok(())
    }

    /// The process of a handle.
    pub(super) fn id_of(&mut self, handle: &Resource<Handle>) -> Result<Id> {
        Ok(self.state().table().get(handle)?.0)
    }

    pub(super) fn address_of(&self, id: Id) -> Address {
        self.0.kernel.process_address(id).into()
    }

    /// The result of a function for core modules.
    pub(super) fn outcome(&mut self, code: i32) -> Result<(), Refusal> {
        match code {
            OK => Ok(()),
            code => Err(self.refused(code)),
        }
    }

    /// The refusal of a function for core modules.
    pub(super) fn refused(&mut self, code: i32) -> Refusal {
        match code {
            FULL => Refusal::Full,
            NAME_TAKEN => Refusal::NameTaken,
            LIMIT => Refusal::Limit(self.text()),
            BAD_CONFIG => Refusal::BadConfig(self.text()),
            DENIED => Refusal::Denied(self.text()),
            _ => Refusal::Closed,
        }
    }

    /// The text that a function for core modules has left.
    fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.0.take_buffer()).into_owned()
    }
}
