//! The admin door of a running program.

use std::path::Path;
use std::process;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use lunatic_admin::{Door, Program, path_of};
use lunatic_host::{RunningSystem, Runtime};

/// Stands for the path where commands look by default.
const AUTO: &str = "auto";

/// Makes the door at `path`. It does not admit clients yet.
pub(crate) fn open(path: &Path) -> anyhow::Result<Door> {
    let path = match path == Path::new(AUTO) {
        true => path_of(process::id()),
        false => path.to_owned(),
    };
    Door::open(&path).with_context(|| format!("--admin: cannot listen on {}", path.display()))
}

/// Admits clients.
pub(crate) fn serve(
    door: Door,
    runtime: &Arc<Runtime>,
    system: &Arc<RunningSystem>,
    file: &Path,
) -> anyhow::Result<()> {
    door.serve(program(runtime, system, file)).context("--admin")
}

/// The program as clients see it.
pub(crate) fn program(runtime: &Arc<Runtime>, system: &Arc<RunningSystem>, file: &Path) -> Program {
    Program {
        runtime: runtime.clone(),
        system: system.clone(),
        name: file.display().to_string(),
        start: Instant::now(),
    }
}
