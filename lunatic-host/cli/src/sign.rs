//! `lunatic sign`: signs modules, and makes the keys for it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use lunatic_host::signature;

/// Sign a module for hosts that run with `--trusted-keys`
#[derive(Debug, clap::Args)]
pub struct Sign {
    /// Make a pair of keys: NAME.key, which signs modules and which you keep secret, and NAME.pub, for those who trust
    /// you
    #[arg(long, value_name = "NAME", conflicts_with_all = ["key", "file", "output"])]
    new_key: Option<PathBuf>,

    /// The key to sign with
    #[arg(long, value_name = "NAME.key", required_unless_present = "new_key")]
    key: Option<PathBuf>,

    /// Where to write the signed module [default: FILE itself]
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,

    /// The module
    #[arg(required_unless_present = "new_key")]
    file: Option<PathBuf>,
}

/// Executes the command and returns the exit code.
pub fn sign(args: &Sign) -> i32 {
    let printed = try_sign(args).and_then(|text| crate::put(&format!("{text}\n")).context("cannot print"));
    match printed {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("error: {error:#}");
            1
        }
    }
}

fn try_sign(args: &Sign) -> anyhow::Result<String> {
    if let Some(name) = &args.new_key {
        let [secret, public] = signature::make_keys(name)?;
        return Ok(format!(
            "{}: sign with it, and keep it secret\n{}: give it to those who should trust you",
            secret.display(),
            public.display()
        ));
    }
    let (Some(key), Some(file)) = (&args.key, &args.file) else {
        anyhow::bail!("give a key with `--key FILE` and a module, or make keys with `--new-key NAME`");
    };
    let output = args.output.as_ref().unwrap_or(file);
    let wasm = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let signed = signature::sign(&wasm, key).with_context(|| format!("cannot sign {}", file.display()))?;
    write(output, &signed).with_context(|| format!("cannot write {}", output.display()))?;
    Ok(format!("{} is signed", output.display()))
}

/// Writes a file completely or not at all.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}
