//! The C compiler for guests: tells the `cc` crate which compiler produces WebAssembly.
//!
//! Packages with C code compile it in their build scripts, mostly through the `cc` crate, which reads variables such as
//! `CC_wasm32_wasip1`. If the user has set none of these, they are set to an existing clang: that of `WASI_SDK_PATH`,
//! or else the newest in `PATH` if Debian's `wasi-libc` is installed, too. If there is none, they name a stand-in,
//! which only records that it was called. Only then, and not for every project, the compiler is installed from Debian's
//! packages, or a message says what to install.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::environment::Environment;
use crate::scratch::Scratch;

/// Variables with which users choose the C compiler for guests themselves.
const CHOSEN: [&str; 4] = ["CC_wasm32-wasip1", "CC_wasm32_wasip1", "TARGET_CC", "CROSS_COMPILE"];

/// The versions of clang that may be part of a program's name on Debian.
const VERSIONS: std::ops::RangeInclusive<u32> = 14..=40;

/// Where Debian's `wasi-libc` is.
const DEBIAN_HEADERS: &str = "/usr/include/wasm32-wasi";

/// A C compiler for guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CCompiler {
    pub(crate) clang: PathBuf,
    archiver: PathBuf,
    flags: String,
}

/// How C can be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// The user has chosen: nothing is set.
    Chosen,
    Compiler(CCompiler),
    Missing,
}

/// Looks for the C compiler; this costs a few directory lookups.
pub(crate) fn find(env: &Environment) -> Found {
    find_with_headers(env, Path::new(DEBIAN_HEADERS))
}

fn find_with_headers(env: &Environment, headers: &Path) -> Found {
    if CHOSEN.iter().any(|name| env.text(name).is_some()) {
        return Found::Chosen;
    }
    if let Some(sdk) = env.path("WASI_SDK_PATH") {
        let clang = sdk.join("bin/clang");
        if clang.is_file() {
            let sysroot = sdk.join("share/wasi-sysroot");
            return Found::Compiler(CCompiler {
                clang,
                archiver: sdk.join("bin/llvm-ar"),
                flags: format!("--target=wasm32-wasip1 --sysroot={}", sysroot.display()),
            });
        }
    }
    if !headers.is_dir() {
        return Found::Missing;
    }
    let suffixes = || {
        VERSIONS
            .rev()
            .map(|version| format!("-{version}"))
            .chain([String::new()])
    };
    let program = |name: &str| suffixes().find_map(|suffix| env.find_program(&format!("{name}{suffix}")));
    match (program("clang"), program("llvm-ar")) {
        (Some(clang), Some(archiver)) => Found::Compiler(CCompiler {
            clang,
            archiver,
            // The C library is in folders with the old name of the target, which newer versions of clang call
            // deprecated.
            flags: "--target=wasm32-wasi --sysroot=/usr -Wno-deprecated".into(),
        }),
        _ => Found::Missing,
    }
}

impl CCompiler {
    /// Compiles and links whole programs; the caller adds sources and `-o FILE`.
    pub(crate) fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.clang);
        command.args(self.flags.split(' '));
        command
    }

    /// The variables for the `cc` crate. The user's own flags are kept, after ours.
    pub(crate) fn variables(&self, env: &Environment) -> Vec<(&'static str, OsString)> {
        let flags = match env.text("CFLAGS_wasm32_wasip1") {
            Some(own) => format!("{} {own}", self.flags),
            None => self.flags.clone(),
        };
        vec![
            ("CC_wasm32_wasip1", self.clang.clone().into()),
            ("CXX_wasm32_wasip1", self.clang.clone().into()),
            ("AR_wasm32_wasip1", self.archiver.clone().into()),
            ("CFLAGS_wasm32_wasip1", flags.clone().into()),
            ("CXXFLAGS_wasm32_wasip1", flags.into()),
        ]
    }
}

/// Stands in for a missing C compiler, and records that it was called.
#[derive(Debug)]
pub(crate) struct StandIn {
    folder: Scratch,
}

impl StandIn {
    /// Creates a stand-in in the folder for temporary files.
    pub(crate) fn new() -> std::io::Result<Self> {
        let this = Self {
            folder: Scratch::new("c")?,
        };
        let text = "#!/bin/sh\n: > \"$0.wanted\"\necho 'no C compiler for wasm32-wasip1 was found' >&2\nexit 1\n";
        std::fs::write(this.program(), text)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(this.program(), std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(this)
    }

    /// The path of the stand-in.
    pub(crate) fn program(&self) -> PathBuf {
        self.folder.path().join("clang")
    }

    /// Whether a build has called it.
    pub(crate) fn was_wanted(&self) -> bool {
        self.folder.path().join("clang.wanted").exists()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn machine(programs: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let machine = tempfile::tempdir().unwrap();
        for program in programs {
            let file = machine.path().join(program);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let bin = machine.path().join("bin");
        (machine, bin)
    }

    fn find_in(bin: &Path, headers: bool, more: &[(&str, &str)]) -> Found {
        let mut vars = vec![("PATH", bin.to_str().unwrap())];
        vars.extend(more);
        let headers = if headers {
            bin.parent().unwrap().to_path_buf()
        } else {
            bin.join("missing")
        };
        find_with_headers(&Environment::fixed(&vars), &headers)
    }

    #[test]
    fn the_newest_clang_beside_the_c_library_is_taken() {
        let (_machine, bin) = machine(&["bin/clang-14", "bin/clang-19", "bin/clang", "bin/llvm-ar-19"]);
        let Found::Compiler(found) = find_in(&bin, true, &[]) else {
            panic!("there is one")
        };
        assert_eq!(
            (found.clang, found.archiver),
            (bin.join("clang-19"), bin.join("llvm-ar-19"))
        );
        assert_eq!(find_in(&bin, false, &[]), Found::Missing, "without a C library");
        let (_machine, bin) = machine(&["bin/clang"]);
        assert_eq!(find_in(&bin, true, &[]), Found::Missing, "without an archiver");
    }

    #[test]
    fn what_the_user_chose_goes_first() {
        let (machine, bin) = machine(&["bin/clang-19", "bin/llvm-ar-19", "sdk/bin/clang"]);
        let sdk = machine.path().join("sdk");
        let sdk = [("WASI_SDK_PATH", sdk.to_str().unwrap())];
        let Found::Compiler(found) = find_in(&bin, true, &sdk) else {
            panic!("there is one")
        };
        assert!(found.clang.starts_with(machine.path().join("sdk")));
        let env = Environment::fixed(&[("CFLAGS_wasm32_wasip1", "-O3")]);
        let (_, flags) = &found.variables(&env)[3];
        assert!(flags.to_str().unwrap().ends_with("wasi-sysroot -O3"));
        assert_eq!(find_in(&bin, true, &[("CC_wasm32_wasip1", "mine")]), Found::Chosen);
    }

    #[test]
    fn a_stand_in_notes_that_it_was_called() {
        let stand_in = StandIn::new().unwrap();
        assert!(!stand_in.was_wanted());
        // Another user who could replace it would run programs as this one.
        let folder = stand_in.program().parent().unwrap().metadata().unwrap();
        assert_eq!(folder.permissions().mode() & 0o077, 0);
        let why = super::super::process::output(std::process::Command::new(stand_in.program()).arg("-c")).unwrap_err();
        assert!(why.contains("no C compiler"), "{why}");
        assert!(stand_in.was_wanted());
    }
}
