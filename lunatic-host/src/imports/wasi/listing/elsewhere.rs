//! Operating systems that provide no position in a folder at which to continue.

use wasmtime::{Caller, Result};

use super::Arguments;
use crate::instance::Ctx;

/// Nothing is kept between two calls.
pub(in super::super) enum Listing {}

impl Listing {
    /// The number of the folder.
    pub(in super::super) fn fd(&self) -> i32 {
        match *self {}
    }
}

pub(super) async fn list(caller: &mut Caller<'_, Ctx>, arguments: Arguments) -> Result<i32> {
    super::list_all(caller, arguments).await
}
