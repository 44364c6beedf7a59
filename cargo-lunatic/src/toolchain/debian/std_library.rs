//! Compiles Rust's standard library from the source in Debian's package.

use std::fs::File;
use std::path::{Path, PathBuf};

use cargo_metadata::Message;

use super::{Compiler, bare, process};
use crate::TARGET;
use crate::shell::Shell;

/// A package that is built only for its dependencies.
const SEED: &str = "standard_library_seed";

/// Builds everything that guests and their tests link, below `work`, and returns the `.rlib` files.
pub(super) fn build(compiler: &Compiler, cargo: &Path, work: &Path, shell: Shell) -> Result<Vec<PathBuf>, String> {
    let seed = work.join("seed");
    write_seed(&seed).map_err(|error| format!("cannot write `{}`: {error}", seed.display()))?;
    let vendored = compiler.sysroot.join("lib/rustlib/src/rust/library/vendor");
    let mut command = bare(cargo);
    command
        .args([
            "build",
            "--release",
            "--offline",
            "--message-format=json-render-diagnostics",
        ])
        .args([
            "-Zbuild-std=std,panic_abort,test",
            "--target",
            TARGET,
            "--manifest-path",
        ])
        .arg(seed.join("Cargo.toml"))
        // The dependencies of the library come with its source; nothing is downloaded.
        .args(["--config", "source.crates-io.replace-with=\"vendored\"", "--config"])
        .arg(format!(
            "source.vendored.directory={}",
            toml::Value::String(vendored.display().to_string())
        ))
        // Cargo reads the configuration of the folder in which it is called and of those above.
        .current_dir("/")
        .env("CARGO_HOME", work.join("cargo-home"))
        .env("CARGO_TARGET_DIR", work.join("target"))
        .env("RUSTC", &compiler.rustc)
        // The source belongs to this very compiler, and may therefore use unstable features.
        .env("RUSTC_BOOTSTRAP", "1")
        // Link-time optimisation of a guest needs the library's bitcode.
        .env("RUSTFLAGS", "-Cembed-bitcode=yes");
    let messages = work.join("messages.json");
    let file_error = |error: std::io::Error| format!("cannot use `{}`: {error}", messages.display());
    command.stdout(File::create(&messages).map_err(file_error)?);
    // The seed and the end of the build do not concern the user.
    process::run_showing(&mut command, |line| {
        if !line.contains(SEED) && !line.trim_start().starts_with("Finished") {
            shell.line(line);
        }
    })?;
    let rlibs = rlibs(&std::fs::read_to_string(&messages).map_err(file_error)?);
    if rlibs.is_empty() {
        return Err("cargo built the standard library but named no files of it".to_string());
    }
    Ok(rlibs)
}

fn write_seed(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder.join("src"))?;
    std::fs::write(folder.join("src/lib.rs"), "")?;
    let manifest = format!("[package]\nname = \"{SEED}\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n");
    std::fs::write(folder.join("Cargo.toml"), manifest)
}

/// The library files for the target in cargo's messages, without that of the seed.
fn rlibs(messages: &str) -> Vec<PathBuf> {
    Message::parse_stream(messages.as_bytes())
        .filter_map(|message| match message {
            Ok(Message::CompilerArtifact(artifact)) if artifact.target.name != SEED => Some(artifact.filenames),
            _ => None,
        })
        .flatten()
        .filter(|file| file.extension() == Some("rlib") && file.components().any(|part| part.as_str() == TARGET))
        .map(|file| file.into_std_path_buf())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, file: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"x","manifest_path":"/x/Cargo.toml","target":{{"kind":["lib"],"crate_types":["lib"],"name":"{name}","src_path":"/x/lib.rs","edition":"2021","doc":true,"doctest":true,"test":true}},"profile":{{"opt_level":"3","debuginfo":0,"debug_assertions":false,"overflow_checks":false,"test":false}},"features":[],"filenames":["{file}","{file}.rmeta"],"executable":null,"fresh":false}}"#
        ) + "\n"
    }

    #[test]
    fn only_libraries_for_the_target_are_taken() {
        let messages = [
            message("core", "/t/wasm32-wasip1/release/deps/libcore-1.rlib"),
            message("cc", "/t/release/deps/libcc-1.rlib"),
            message(SEED, "/t/wasm32-wasip1/release/libseed.rlib"),
            "not a message\n".to_string(),
            message("std", "/t/wasm32-wasip1/release/deps/libstd-1.rlib"),
        ]
        .concat();
        let expected = ["libcore-1.rlib", "libstd-1.rlib"].map(|n| Path::new("/t/wasm32-wasip1/release/deps").join(n));
        assert_eq!(rlibs(&messages), expected);
    }
}
