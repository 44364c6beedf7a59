//! `lunatic dump`: shows core dumps, and asks a running program for one.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lunatic_host::Id;
use lunatic_host::report::dump::Core;

use super::{At, bare, print};

/// The longest file that is read, in bytes: a memory of 4 GiB and the rest of the dump.
const FILE_LEN_MAX: u64 = (4 << 30) + (16 << 20);

/// Writes or shows a core dump.
#[derive(Debug, Clone, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Dump {
    #[command(subcommand)]
    show: Option<What>,

    /// The process, such as 17 or 17.2; it must be waiting
    #[arg(required = true)]
    process: Option<Id>,

    /// The file to write, which must not exist [default: process-ID.wasm]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    at: At,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum What {
    /// Show what a core dump contains about its process
    Show(Show),
}

#[derive(Debug, Clone, clap::Args)]
struct Show {
    /// The core dump
    file: PathBuf,

    /// Show bytes of the memory from this address on, such as 0x100310
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    address: Option<u64>,

    /// How many bytes to show
    #[arg(long, value_name = "BYTES", default_value_t = 256, requires = "address")]
    len: u64,

    /// Print JSON, without the memory
    #[arg(long, conflicts_with = "address")]
    json: bool,
}

impl Dump {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        match (&self.show, self.process) {
            (Some(What::Show(show)), _) => show.run(),
            (None, Some(process)) => self.fetch(process),
            (None, None) => bail!("give the id of a process, or `show FILE`"),
        }
    }

    /// Requests a dump from a running program.
    fn fetch(&self, process: Id) -> anyhow::Result<()> {
        let id = bare(process);
        let bytes = self.at.client()?.fetch(&format!("/v1/processes/{id}/dump"))?;
        let file = self.output.clone();
        let file = file.unwrap_or_else(|| format!("process-{id}.wasm").into());
        // Only the owner may read the file: it holds the state of the process.
        let out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file);
        let written = out.and_then(|mut out| out.write_all(&bytes));
        written.with_context(|| format!("could not write {}", file.display()))?;
        let path = file.display().to_string();
        print(self.at.json, &path, || format!("{path}\n"))
    }
}

impl Show {
    fn run(&self) -> anyhow::Result<()> {
        let bytes = read(&self.file)?;
        let core = Core::read(&bytes).with_context(|| self.file.display().to_string())?;
        let Some(address) = self.address else {
            return print(self.json, &core.to_json(), || core.to_string());
        };
        let Some(text) = core.hex(address, self.len) else {
            let len = core.memory_len;
            bail!(
                "the memory has {len} bytes, and at most 16 MiB can be shown: give `--address` and a smaller `--len`"
            );
        };
        print(false, &(), || text)
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let context = || format!("could not read {}", file.display());
    let mut bytes = Vec::new();
    let from = File::open(file).with_context(context)?;
    from.take(FILE_LEN_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(context)?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        bail!("{} is too large for a core dump", file.display());
    }
    Ok(bytes)
}

fn address(text: &str) -> Result<u64, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| "give a number, such as 0x100310 or 1049360".to_owned())
}
