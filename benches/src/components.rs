//! The work `serve`: a component that answers HTTP requests, run by Lunatic and by wasmtime.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

/// The variable that names the program `wasmtime`, if it is not in `PATH`.
const WASMTIME: &str = "WASMTIME";

/// What to do if there is none.
pub(crate) const MISSING: &str = "wasmtime is missing, so the work `serve` has no peer: install it with `cargo install wasmtime-cli --locked \
     --version '48.*'`, which takes a quarter of an hour on two cores, or set WASMTIME to the program.";

/// Makes a component of a core module that handles requests, in `folder`.
pub(crate) fn handler(module: &Path, folder: &Path) -> Result<PathBuf> {
    let bytes = std::fs::read(module).with_context(|| format!("could not read {}", module.display()))?;
    let made = ComponentEncoder::default().module(&bytes).and_then(|encoder| {
        let adapter = WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
        encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?.encode()
    });
    let made = made.with_context(|| format!("could not make a component of {}", module.display()))?;
    let file = folder.join("handler.wasm");
    std::fs::write(&file, made)?;
    Ok(file)
}

/// The program `wasmtime` and its version; `None` if there is none.
pub(crate) fn wasmtime() -> Result<Option<(PathBuf, String)>> {
    let named = env::var_os(WASMTIME);
    let program = PathBuf::from(named.clone().unwrap_or_else(|| OsString::from("wasmtime")));
    match Command::new(&program).arg("--version").output() {
        Ok(output) => {
            let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            Ok(Some((program, version)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => Ok(None),
        Err(error) => Err(error).with_context(|| format!("could not run `{}`", program.display())),
    }
}
