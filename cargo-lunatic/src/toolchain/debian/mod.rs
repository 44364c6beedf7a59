//! Ways 2 and 4: a toolchain made from the packages of Debian and its derivatives, kept in the user's cache folder.
//!
//! Debian ships a recent compiler and the source of its library, but not the library compiled for WASI. Way 4 compiles
//! the library once, and lays out a folder that looks like a toolchain: see [`layout`]. The folder carries the version
//! of the package that it was made with, because one compiler cannot use a library that another has compiled.
//!
//! The folder is built under another name and renamed when it is complete and has linked a program. So whoever finds it
//! finds all of it; the next attempt removes what an interrupted one left behind.

mod c_stubs;
mod layout;
mod packages;
mod stamp;
mod std_library;
mod try_out;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::{Attempt, Search, Toolchain, Way, cache_folder, has_std, library_folder_in, process};
use crate::TARGET;
use crate::environment::Environment;
use crate::shell::Shell;
use packages::Packages;

/// The name of way 2 in errors.
pub(super) const MADE_EARLIER: &str = "a toolchain made earlier";

const WAY: &str = "a toolchain made from Debian's packages";

/// The prefix of folders that contain finished toolchains.
const PREFIX: &str = "debian-";

/// The prefix of folders in which toolchains are being made.
const PREFIX_PARTIAL: &str = "partial-";

/// The folder of finished toolchains.
pub(crate) fn toolchains_folder(env: &Environment) -> Option<PathBuf> {
    Some(cache_folder(env)?.join("toolchains"))
}

/// Looks for a toolchain that was made with the compiler that is installed now.
pub(super) fn find_made(env: &Environment) -> Result<Toolchain, Attempt> {
    let Some(folder) = toolchains_folder(env) else {
        return Err(Attempt::new(MADE_EARLIER, "no cache folder is known").help("set HOME or LUNATIC_CACHE"));
    };
    let made = folders_with_prefix(&folder, PREFIX);
    let usable = made
        .into_iter()
        .find(|root| stamp::is_current(root) && has_std(&library_folder_in(root)));
    usable
        .map(|root| toolchain_in(&root))
        .ok_or_else(|| Attempt::new(MADE_EARLIER, format!("there is none in `{}`", folder.display())))
}

fn folders_with_prefix(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    let mut folders: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

fn toolchain_in(root: &Path) -> Toolchain {
    Toolchain {
        way: Way::Debian,
        cargo: root.join("bin/cargo"),
        rustc: Some(root.join("bin/rustc")),
        rustdoc: Some(root.join("bin/rustdoc")),
        library_folder: library_folder_in(root),
    }
}

pub(crate) use packages::install_c;

/// Installs the packages if necessary and makes the toolchain. The caller holds the lock of the cache folder.
pub(super) fn make(search: &Search) -> Result<Toolchain, Attempt> {
    let Some(folder) = toolchains_folder(search.env) else {
        return Err(Attempt::new(WAY, "no cache folder is known").help("set HOME or LUNATIC_CACHE"));
    };
    if search.env.find_program("apt-get").is_none() || search.env.find_program("dpkg-query").is_none() {
        return Err(Attempt::new(
            WAY,
            "this system has no apt-get, so it is not Debian or a derivative of it",
        ));
    }
    let started = Instant::now();
    let packages = packages::ready(search.shell)?;
    let failed = |why: String| {
        let again = format!(
            "if packages are damaged: sudo apt-get install --reinstall {}",
            packages.names().join(" ")
        );
        Attempt::new(WAY, why).help(again)
    };
    let root = build(&packages, &folder, search.shell).map_err(failed)?;
    search.shell.status(
        "Finished",
        format!(
            "the toolchain for {TARGET} in {:.0?} (kept in {})",
            started.elapsed(),
            root.display()
        ),
    );
    Ok(toolchain_in(&root))
}

/// Compiles the library, lays out the folder, tests it, and moves it to where it is found.
fn build(packages: &Packages, folder: &Path, shell: Shell) -> Result<PathBuf, String> {
    let compiler = Compiler::ask(packages.program("rustc")?)?;
    let name = format!("{PREFIX}{}-{}", packages.version(), compiler.host);
    let root = folder.join(&name);
    // Not a name that `find_made` looks for. It contains this process's id, because processes that a killed one started
    // may live on.
    let partial = folder.join(format!("{PREFIX_PARTIAL}{name}-{}", std::process::id()));
    let io = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| format!("cannot write `{path}`: {error}")
    };
    remove_leftovers(folder);
    let work = partial.join("work");
    std::fs::create_dir_all(&work).map_err(io(&work))?;

    shell.status(
        "Building",
        format!(
            "Rust's standard library for {TARGET} (once for Rust {}; takes one to three minutes)",
            compiler.release
        ),
    );
    let rlibs = std_library::build(&compiler, &packages.program("cargo")?, &work, shell)?;
    let plan = layout::Plan {
        root: &root,
        compiler: &compiler,
        cargo: packages.program("cargo")?,
        rustdoc: packages.program("rustdoc")?,
        rlibs,
        c_library: packages.wasi_libc()?,
    };
    layout::lay_out(&plan, &partial).map_err(io(&partial))?;
    let libc = library_folder_in(&partial).join("self-contained/libc.a");
    c_stubs::add(&compiler, &packages.archiver()?, &libc, &partial, &work)?;
    try_out::try_out(&compiler, &partial, &work)?;
    std::fs::remove_dir_all(&work).map_err(io(&work))?;
    stamp::write(&partial, &compiler.rustc).map_err(io(&partial))?;
    if root.exists() {
        std::fs::remove_dir_all(&root).map_err(io(&root))?;
    }
    std::fs::rename(&partial, &root).map_err(io(&root))?;
    Ok(root)
}

/// Removes what an interrupted attempt left, and toolchains whose compiler has been replaced. What cannot be removed
/// now is removed next time.
fn remove_leftovers(folder: &Path) {
    let partial = folders_with_prefix(folder, PREFIX_PARTIAL);
    let outdated = folders_with_prefix(folder, PREFIX)
        .into_iter()
        .filter(|root| !stamp::is_current(root));
    for leftover in partial.into_iter().chain(outdated) {
        let _ = std::fs::remove_dir_all(leftover);
    }
}

/// Debian's compiler and what it reports about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Compiler {
    rustc: PathBuf,
    release: String,
    host: String,
    /// The folder that contains its own libraries.
    sysroot: PathBuf,
}

impl Compiler {
    fn ask(rustc: PathBuf) -> Result<Compiler, String> {
        let version = process::output(bare(&rustc).arg("-vV"))?;
        let sysroot = process::output(bare(&rustc).args(["--print", "sysroot"]))?;
        let field = |name: &str| {
            let value = version
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value
                .map(str::to_string)
                .ok_or_else(|| format!("`{} -vV` does not say its {name}", rustc.display()))
        };
        Ok(Compiler {
            release: field("release")?,
            host: field("host")?,
            sysroot: sysroot.trim().into(),
            rustc,
        })
    }

    /// The compiler with its libraries taken from `sysroot`.
    fn command(&self, sysroot: &Path) -> Command {
        let mut command = bare(&self.rustc);
        command.arg("--sysroot").arg(sysroot);
        command
    }
}

/// A command without the user's Rust settings.
fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LC_ALL", "C");
    for name in ["HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A cache with one whole toolchain made by the compiler `rustc`, and leftovers.
    fn cache() -> (tempfile::TempDir, Environment) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("toolchains/debian-1.96.0-x");
        let library = library_folder_in(&root);
        fs::create_dir_all(&library).unwrap();
        fs::create_dir_all(folder.path().join("toolchains/partial-debian-1.97.0-x/work")).unwrap();
        fs::write(library.join("libcore-0.rlib"), "").unwrap();
        fs::write(library.join("libstd-0.rlib"), "").unwrap();
        fs::write(folder.path().join("rustc"), "compiler").unwrap();
        stamp::write(&root, &folder.path().join("rustc")).unwrap();
        let env = Environment::fixed(&[("LUNATIC_CACHE", folder.path().to_str().unwrap())]);
        (folder, env)
    }

    #[test]
    fn a_whole_toolchain_is_found_again() {
        let (folder, env) = cache();
        let found = find_made(&env).unwrap();
        let root = folder.path().join("toolchains/debian-1.96.0-x");
        assert_eq!(found.way, Way::Debian);
        assert_eq!(found.rustc, Some(root.join("bin/rustc")));
        assert_eq!(found.cargo, root.join("bin/cargo"));
    }

    #[test]
    fn another_compiler_makes_it_useless() {
        let (folder, env) = cache();
        fs::write(folder.path().join("rustc"), "a newer compiler").unwrap();
        assert!(find_made(&env).unwrap_err().why.starts_with("there is none in"));
        remove_leftovers(&folder.path().join("toolchains"));
        assert_eq!(fs::read_dir(folder.path().join("toolchains")).unwrap().count(), 0);
    }

    #[test]
    fn a_library_that_was_deleted_makes_it_useless() {
        let (folder, env) = cache();
        fs::remove_file(library_folder_in(&folder.path().join("toolchains/debian-1.96.0-x")).join("libstd-0.rlib"))
            .unwrap();
        assert!(find_made(&env).is_err());
    }

    #[test]
    fn what_an_interruption_left_is_removed_and_never_used() {
        let (folder, env) = cache();
        let toolchains = folder.path().join("toolchains");
        assert!(find_made(&env).is_ok());
        remove_leftovers(&toolchains);
        assert!(!toolchains.join("partial-debian-1.97.0-x").exists());
        assert!(find_made(&env).is_ok());
    }
}
