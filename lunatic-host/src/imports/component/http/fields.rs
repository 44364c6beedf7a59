//! Headers and trailers.

use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::bindings::http::types::HostFields;
use wasmtime_wasi_http::p2::{HeaderError, HeaderResult};

use crate::imports::component::state::View;

impl View<'_> {
    /// Calls `make`, which gives the process a handle of fields if it succeeds.
    pub(super) fn giving_fields<E>(
        &mut self,
        trap: impl Fn(wasmtime::Error) -> E,
        make: impl FnOnce(&mut wasmtime_wasi_http::WasiHttpCtxView<'_>) -> Result<Resource<FieldMap>, E>,
    ) -> Result<Resource<FieldMap>, E> {
        let given = self.giving(&trap, |state| make(&mut state.http()))?;
        self.weigh_fields(&given).map_err(trap)?;
        Ok(given)
    }

    /// Adjusts the charge for a handle of fields.
    ///
    /// # Errors
    ///
    /// If the process cannot pay.
    pub(super) fn weigh_fields(&mut self, fields: &Resource<FieldMap>) -> Result<()> {
        self.state().weigh_fields(fields);
        self.settle()
    }

    /// Calls `change` with the fields, and adjusts the charge.
    fn changing(
        &mut self,
        fields: Resource<FieldMap>,
        change: impl FnOnce(&mut wasmtime_wasi_http::WasiHttpCtxView<'_>, Resource<FieldMap>) -> HeaderResult<()>,
    ) -> HeaderResult<()> {
        let own = Resource::new_borrow(fields.rep());
        let changed = change(&mut self.state().http(), fields);
        self.weigh_fields(&own).map_err(HeaderError::trap)?;
        changed
    }
}

impl HostFields for View<'_> {
    fn new(&mut self) -> Result<Resource<FieldMap>> {
        self.giving_fields(|trap| trap, |http| HostFields::new(http))
    }

    fn from_list(&mut self, entries: Vec<(String, Vec<u8>)>) -> HeaderResult<Resource<FieldMap>> {
        self.giving_fields(HeaderError::trap, |http| HostFields::from_list(http, entries))
    }

    fn drop(&mut self, fields: Resource<FieldMap>) -> Result<()> {
        self.dropping(|state| {
            state.http.forget(fields.rep());
            HostFields::drop(&mut state.http(), fields)
        })
    }

    fn get(&mut self, fields: Resource<FieldMap>, name: String) -> Result<Vec<Vec<u8>>> {
        HostFields::get(&mut self.state().http(), fields, name)
    }

    fn has(&mut self, fields: Resource<FieldMap>, name: String) -> Result<bool> {
        HostFields::has(&mut self.state().http(), fields, name)
    }

    fn set(&mut self, fields: Resource<FieldMap>, name: String, values: Vec<Vec<u8>>) -> HeaderResult<()> {
        self.changing(fields, |http, fields| HostFields::set(http, fields, name, values))
    }

    fn delete(&mut self, fields: Resource<FieldMap>, name: String) -> HeaderResult<()> {
        self.changing(fields, |http, fields| HostFields::delete(http, fields, name))
    }

    fn append(&mut self, fields: Resource<FieldMap>, name: String, value: Vec<u8>) -> HeaderResult<()> {
        self.changing(fields, |http, fields| HostFields::append(http, fields, name, value))
    }

    fn entries(&mut self, fields: Resource<FieldMap>) -> Result<Vec<(String, Vec<u8>)>> {
        HostFields::entries(&mut self.state().http(), fields)
    }

    fn clone(&mut self, fields: Resource<FieldMap>) -> Result<Resource<FieldMap>> {
        self.giving_fields(|trap| trap, |http| HostFields::clone(http, fields))
    }
}
