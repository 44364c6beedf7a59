//! The flags of core dumps.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use lunatic_host::dumps::{DumpConfig, Dumps};
use lunatic_host::parse_size;
use lunatic_host::wasi::Output;

/// Where core dumps are written, how many, and what they leave out.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DumpArgs {
    /// Write a core dump of each process that fails into this folder (`lunatic dump show FILE` shows it)
    #[arg(long, value_name = "DIR", help_heading = "Host options")]
    pub dump_dir: Option<PathBuf>,

    /// Keep at most this many core dumps: dumps of earlier runs are deleted to make room; after that, no further dumps
    /// are written [default: 10]
    #[arg(long, value_name = "N", requires = "dump_dir", help_heading = "Host options")]
    pub dump_limit: Option<usize>,

    /// Keep at most this many bytes of core dumps, such as 200M [default: 1G]
    #[arg(long, value_name = "SIZE", requires = "dump_dir", help_heading = "Host options")]
    pub dump_bytes: Option<String>,

    /// Leave these parts out of core dumps, because they may contain secrets
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        value_delimiter = ',',
        requires = "dump_dir",
        help_heading = "Host options"
    )]
    pub dump_without: Vec<Part>,
}

/// A part of a core dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The memory of the process
    Memory,
    /// The contents of the messages in its mailbox
    Messages,
}

impl DumpArgs {
    /// Opens the folder, if one is given. This must happen before the host confines itself; the host then keeps access
    /// to it.
    pub(crate) fn open(&self) -> anyhow::Result<Option<Arc<Dumps>>> {
        let Some(folder) = &self.dump_dir else { return Ok(None) };
        let mut config = DumpConfig::new(folder);
        config.limit = self.dump_limit.unwrap_or(config.limit);
        if let Some(size) = &self.dump_bytes {
            config.bytes_max = parse_size(size).with_context(|| format!("--dump-bytes {size}"))? as u64;
        }
        config.without_memory = self.dump_without.contains(&Part::Memory);
        config.without_messages = self.dump_without.contains(&Part::Messages);
        let dumps = Dumps::open(config);
        Ok(Some(dumps.with_context(|| format!("--dump-dir {}", folder.display()))?))
    }
}

/// Waits until the last dump is written, and reports how many crashes have none.
pub(crate) fn finish(dumps: &Dumps, stderr: &Output) {
    let folder = dumps.folder().display();
    match dumps.finish() {
        0 => {}
        1 => stderr.report(&format!("note: 1 crash has no core dump in {folder}\n")),
        count => stderr.report(&format!("note: {count} crashes have no core dump in {folder}\n")),
    }
}
