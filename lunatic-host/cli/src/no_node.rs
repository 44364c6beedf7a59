//! `lunatic node` needs Unix.

use std::path::PathBuf;

use lunatic_host::{RunningSystem, Runtime, SystemConfig};

use crate::HostArgs;
use crate::voice::Voice;

/// There is none.
pub(crate) struct Joined {
    pub(crate) visitors: RunningSystem,
}

impl Joined {
    #[expect(clippy::unused_self, reason = "its twin uses it")]
    pub(crate) fn leave(&self) {}
}

/// Nothing is read later.
pub(crate) fn folders(_: &HostArgs) -> Vec<PathBuf> {
    Vec::new()
}

/// Nothing is looked up.
pub(crate) fn resolves_names(_: &HostArgs) -> bool {
    false
}

#[expect(clippy::unnecessary_wraps, reason = "its twin can fail")]
pub(crate) fn join(_: &Runtime, _: &SystemConfig, _: &HostArgs, _: &Voice) -> anyhow::Result<Option<Joined>> {
    Ok(None)
}
