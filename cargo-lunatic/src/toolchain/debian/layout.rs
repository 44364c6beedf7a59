//! The folder that turns Debian's compiler into a toolchain for guests.
//!
//! ```text
//! bin/cargo                                   link to Debian's
//! bin/rustc, bin/rustdoc                      start Debian's with this folder as its sysroot
//! lib/rustlib/HOST, lib/rustlib/src           links to Debian's
//! lib/rustlib/wasm32-wasip1/lib/*.rlib        the library that was compiled
//! lib/rustlib/wasm32-wasip1/lib/self-contained/   start files and C library, from wasi-libc
//! stamp                                       which compiler it was made with
//! ```
//!
//! The compiler derives its sysroot from its real path, so a link to it would not work.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::Compiler;
use crate::toolchain::library_folder_in;

/// The files of wasi-libc that the linker needs.
const C_FILES: &[&str] = &["crt1-command.o", "crt1-reactor.o", "libc.a"];

/// What to put where.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// The final path of the toolchain, which the scripts contain.
    pub(super) root: &'a Path,
    pub(super) compiler: &'a Compiler,
    pub(super) cargo: PathBuf,
    pub(super) rustdoc: PathBuf,
    /// The compiled library.
    pub(super) rlibs: Vec<PathBuf>,
    /// The folder of wasi-libc that contains [`C_FILES`].
    pub(super) c_library: PathBuf,
}

/// Lays the toolchain out in `folder`.
pub(super) fn lay_out(plan: &Plan, folder: &Path) -> io::Result<()> {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin)?;
    symlink(&plan.cargo, bin.join("cargo"))?;
    write_starter(&bin.join("rustc"), &plan.compiler.rustc, plan.root)?;
    write_starter(&bin.join("rustdoc"), &plan.rustdoc, plan.root)?;

    let library = library_folder_in(folder);
    fs::create_dir_all(library.join("self-contained"))?;
    for rlib in &plan.rlibs {
        fs::copy(rlib, library.join(rlib.file_name().unwrap_or_default()))?;
    }
    for name in C_FILES {
        fs::copy(plan.c_library.join(name), library.join("self-contained").join(name))?;
    }
    let rustlib = plan.compiler.sysroot.join("lib/rustlib");
    for name in [plan.compiler.host.as_str(), "src"] {
        symlink(rustlib.join(name), folder.join("lib/rustlib").join(name))?;
    }
    Ok(())
}

/// Writes a script that starts `program` with `sysroot`, whatever characters their paths contain.
fn write_starter(file: &Path, program: &Path, sysroot: &Path) -> io::Result<()> {
    let script = format!(
        "#!/bin/sh\nexec {} --sysroot {} \"$@\"\n",
        quoted(program),
        quoted(sysroot)
    );
    fs::write(file, script)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::toolchain::process;

    #[test]
    fn lays_out_a_toolchain_that_starts_from_its_final_place() {
        let temp = tempfile::tempdir().unwrap();
        let path = |name: &str| temp.path().join(name);
        for name in [
            "wasi/crt1-command.o",
            "wasi/crt1-reactor.o",
            "wasi/libc.a",
            "built/libstd-1.rlib",
        ] {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), name).unwrap();
        }
        fs::create_dir_all(path("usr/lib/rustlib/host-triple/lib")).unwrap();
        let compiler = Compiler {
            rustc: PathBuf::from("/bin/echo"),
            release: "1.96.0".to_string(),
            host: "host-triple".to_string(),
            sysroot: path("usr"),
        };
        let root = path("it's final");
        let plan = Plan {
            root: &root,
            compiler: &compiler,
            cargo: PathBuf::from("/usr/bin/cargo"),
            rustdoc: PathBuf::from("/bin/echo"),
            rlibs: vec![path("built/libstd-1.rlib")],
            c_library: path("wasi"),
        };
        lay_out(&plan, &path("partial")).unwrap();
        fs::rename(path("partial"), &root).unwrap();

        let library = library_folder_in(&root);
        assert_eq!(
            fs::read_to_string(library.join("libstd-1.rlib")).unwrap(),
            "built/libstd-1.rlib"
        );
        assert_eq!(
            fs::read_to_string(library.join("self-contained/libc.a")).unwrap(),
            "wasi/libc.a"
        );
        assert!(root.join("lib/rustlib/host-triple/lib").is_dir());
        assert_eq!(
            fs::read_link(root.join("bin/cargo")).unwrap(),
            Path::new("/usr/bin/cargo")
        );
        let printed = process::output(Command::new(root.join("bin/rustc")).arg("a b"));
        assert_eq!(printed, Ok(format!("--sysroot {} a b\n", root.display())));
    }

    #[test]
    fn a_file_that_is_missing_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let compiler = Compiler {
            rustc: PathBuf::from("/bin/echo"),
            release: String::new(),
            host: "h".to_string(),
            sysroot: temp.path().to_path_buf(),
        };
        let plan = Plan {
            root: temp.path(),
            compiler: &compiler,
            cargo: PathBuf::from("/usr/bin/cargo"),
            rustdoc: PathBuf::from("/bin/echo"),
            rlibs: Vec::new(),
            c_library: temp.path().join("nothing"),
        };
        assert_eq!(
            lay_out(&plan, &temp.path().join("out")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
