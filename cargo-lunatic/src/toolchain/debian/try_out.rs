//! Tests a toolchain that has just been laid out: one that cannot link is not put where it is found.

use std::path::Path;

use super::{Compiler, process};
use crate::TARGET;

/// Uses the parts of the library that depend on C.
const PROGRAM: &str = r#"
fn main() {
    let joined = std::thread::Builder::new().stack_size(4096).spawn(|| ()).map(|thread| thread.join().is_ok());
    let path = std::fs::canonicalize(".");
    println!("{joined:?} {path:?} {:?}", std::time::SystemTime::now());
}

#[test]
fn is_there() {
    main();
}
"#;

/// Links the program with link-time optimisation, which needs all bitcode, and its tests without, which needs all
/// symbols.
pub(super) fn try_out(compiler: &Compiler, root: &Path, work: &Path) -> Result<(), String> {
    let source = work.join("try_out.rs");
    std::fs::write(&source, PROGRAM).map_err(|error| format!("cannot write `{}`: {error}", source.display()))?;
    for flags in [["-O", "-Clto"], ["--test", "-Cdebuginfo=1"]] {
        let mut command = compiler.command(root);
        command
            .args(["--edition=2024", "--target", TARGET])
            .args(flags)
            .current_dir("/");
        command.arg("-o").arg(work.join("try_out.wasm")).arg(&source);
        process::output(&mut command)
            .map_err(|why| format!("the toolchain was made but cannot link a program: {why}"))?;
    }
    Ok(())
}
