//! Systems that tell no place of a folder at which one could go on.

use wasmtime::{Caller, Result};

use super::Arguments;
use crate::instance::Ctx;

/// Nothing is kept between two calls.
pub(in super::super) enum Listing {}

impl Listing {
    /// Of which folder it is.
    pub(in super::super) fn fd(&self) -> i32 {
        match *self {}
    }
}

pub(super) async fn list(caller: &mut Caller<'_, Ctx>, arguments: Arguments) -> Result<i32> {
    super::list_all(caller, arguments).await
}
