//! Replaces `otlp.rs` if the feature `otlp` is off: nothing is exported.

use std::path::Path;
use std::sync::Arc;

use lunatic_host::{RunningSystem, Runtime, SystemConfig};

use crate::voice::Voice;

/// The options of the export on the command line: none.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct OtlpArgs {}

pub(crate) enum Otlp {}

pub(crate) enum Sending {}

impl OtlpArgs {
    pub(crate) fn prepare(&self, _: &Path, _: &mut SystemConfig) -> anyhow::Result<Option<Otlp>> {
        Ok(None)
    }
}

impl Otlp {
    pub(crate) fn start(self, _: &Arc<Runtime>, _: &Arc<RunningSystem>, _: &Voice) -> anyhow::Result<Sending> {
        match self {}
    }
}

impl Sending {
    pub(crate) fn finish(self) {
        match self {}
    }
}
