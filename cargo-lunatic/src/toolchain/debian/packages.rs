//! Debian's packages: which ones are needed, which are installed, how to install the rest, and where their files are.
//!
//! Debian has several families of Rust packages: `rustc`, `rustc-web` (for browsers, kept recent in stable releases),
//! and, on derivatives, families such as `rustc-1.89`. The newest family that is recent enough is used.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::{Attempt, process};
use super::WAY;
use crate::shell::Shell;

/// The oldest Rust that compiles guests: that of the `lunatic` crate.
const RUST_MIN: &str = env!("CARGO_PKG_RUST_VERSION");

/// A family of Rust packages, identified by a part of their names: ``, `-web`, `-1.89`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Family(String);

impl Family {
    fn of_rustc(package: &str) -> Option<Family> {
        Some(Family(package.strip_prefix("rustc")?.to_string()))
    }

    fn rustc(&self) -> String {
        format!("rustc{}", self.0)
    }

    fn llvm(&self) -> String {
        format!("rust{}-llvm", self.0)
    }

    /// All packages of the family, with the linker and tools of its LLVM and the C library for WASI.
    fn packages(&self, tools: [String; 2]) -> Vec<String> {
        let Family(suffix) = self;
        let mut names = vec![
            self.rustc(),
            format!("cargo{suffix}"),
            format!("rust{suffix}-src"),
            self.llvm(),
            "wasi-libc".to_string(),
        ];
        names.extend(tools);
        names
    }
}

/// The packages from which a toolchain is made, all installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packages {
    names: Vec<String>,
    version: String,
}

impl Packages {
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The version of the compiler's package, such as `1.96.0+dfsg1-1~deb12u2`.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// The file of `rustc`, `rustdoc` or `cargo`, whose name may contain a version.
    pub(super) fn program(&self, name: &str) -> Result<PathBuf, String> {
        let is_program = |path: &Path| {
            let rest = path.file_name().and_then(|file| file.to_str()?.strip_prefix(name));
            path.parent() == Some(Path::new("/usr/bin"))
                && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("-1."))
        };
        self.file(is_program)
            .ok_or_else(|| format!("no package of {} has a program {name}", self.names.join(", ")))
    }

    /// The folder of wasi-libc that contains the start files.
    pub(super) fn wasi_libc(&self) -> Result<PathBuf, String> {
        let file = self.file(|path| path.ends_with("crt1-command.o"));
        let folder = file.as_deref().and_then(Path::parent);
        folder
            .map(Path::to_path_buf)
            .ok_or_else(|| "the package wasi-libc has no crt1-command.o".to_string())
    }

    /// The program that adds files to archives of WebAssembly objects.
    pub(super) fn archiver(&self) -> Result<PathBuf, String> {
        self.file(|path| path.ends_with("bin/llvm-ar"))
            .ok_or_else(|| "LLVM's package has no llvm-ar".to_string())
    }

    fn file(&self, wanted: impl Fn(&Path) -> bool) -> Option<PathBuf> {
        let list = process::output(plain("dpkg-query").arg("--listfiles").args(&self.names)).ok()?;
        list.lines().map(PathBuf::from).find(|path| wanted(path))
    }
}

/// What apt knows about a package.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    name: String,
    installed: Option<String>,
    candidate: Option<String>,
}

/// Finds the packages, and installs missing ones if allowed.
pub(super) fn ready(shell: Shell) -> Result<Packages, Attempt> {
    let failed = |why: String| Attempt::new(WAY, why);
    if let Some(choice) = choose(|known| known.installed.clone()).map_err(failed)?
        && choice.missing.is_empty()
    {
        return Ok(choice.packages);
    }
    let root = Root::of_this_process();
    if let Some(root) = root {
        root.update(shell);
    }
    let choice = choose(|known| known.candidate.clone())
        .map_err(failed)?
        .ok_or_else(|| {
            Attempt::new(
                WAY,
                format!("Debian offers no compiler of Rust {RUST_MIN} or newer here"),
            )
            .help("sudo apt-get update, with the security updates of your release among the sources")
        })?;
    if choice.missing.is_empty() {
        return Ok(choice.packages);
    }
    let command = format!("sudo apt-get install {}", choice.packages.names.join(" "));
    let Some(root) = root else {
        let why = format!(
            "installing {} needs root, or a sudo that asks for no password",
            choice.missing.join(", ")
        );
        return Err(Attempt::new(WAY, why).help(command));
    };
    let what = choice.missing.join(" ");
    shell.status(
        "Installing",
        format!("{what} with apt-get (about 200 MB to download, once; takes a minute)"),
    );
    root.install(&choice.packages.names)
        .map_err(|why| Attempt::new(WAY, why).help(command))?;
    Ok(choice.packages)
}

/// Installs the newest clang, its archiver and linker, and the C library for WASI.
pub(crate) fn install_c(shell: Shell) -> Result<(), Attempt> {
    const WAY: &str = "clang from Debian's packages";
    let sdk = "install the WASI SDK from https://github.com/WebAssembly/wasi-sdk and set WASI_SDK_PATH to its folder";
    let failed = |why: String| Attempt::new(WAY, why).help(sdk);
    let root = Root::of_this_process();
    if let Some(root) = root {
        root.update(shell);
    }
    let search = ["search", "--names-only", "^clang-[0-9]+$"];
    let found = process::output(plain("apt-cache").args(search)).map_err(failed)?;
    let version = newest_clang(&found).ok_or_else(|| failed("Debian offers no clang here".into()))?;
    // The linker and the runtime are for whole programs; guests in Rust are linked by Rust.
    let names = [
        format!("clang-{version}"),
        format!("llvm-{version}"),
        format!("lld-{version}"),
        format!("libclang-rt-{version}-dev-wasm32"),
        "wasi-libc".to_string(),
    ];
    let command = format!("sudo apt-get install {}", names.join(" "));
    let Some(root) = root else {
        let why = format!(
            "installing {} needs root, or a sudo that asks for no password",
            names.join(", ")
        );
        return Err(Attempt::new(WAY, why).help(command));
    };
    shell.status(
        "Installing",
        format!("{} with apt-get (about 100 MB to download, once)", names.join(" ")),
    );
    root.install(&names).map_err(|why| Attempt::new(WAY, why).help(command))
}

/// The highest version in the output of `apt-cache search`.
fn newest_clang(found: &str) -> Option<u32> {
    let names = found.lines().filter_map(|line| line.split_whitespace().next());
    names.filter_map(|name| name.strip_prefix("clang-")?.parse().ok()).max()
}

/// A suitable family, and those of its packages that are not installed.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    packages: Packages,
    missing: Vec<String>,
}

/// The newest family, by the version that `version` selects.
fn choose(version: impl Fn(&Known) -> Option<String>) -> Result<Option<Choice>, String> {
    let search = ["search", "--names-only", "^rustc(-web|-1[.][0-9]+)?$"];
    let found = process::output(plain("apt-cache").args(search))?;
    let compilers: Vec<&str> = found
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    if compilers.is_empty() {
        return Ok(None);
    }
    let Some((family, version)) = newest(&policy(&compilers)?, version) else {
        return Ok(None);
    };
    let depends = process::output(plain("apt-cache").args(["depends", &family.llvm()]))?;
    let names = family.packages(tools(&depends));
    let known = policy(&names)?;
    let is_installed = |name: &String| {
        known
            .iter()
            .any(|known| known.name == *name && known.installed.is_some())
    };
    let missing = names.iter().filter(|name| !is_installed(name)).cloned().collect();
    Ok(Some(Choice {
        packages: Packages { names, version },
        missing,
    }))
}

fn policy(names: &[impl AsRef<std::ffi::OsStr>]) -> Result<Vec<Known>, String> {
    Ok(parse_policy(&process::output(
        plain("apt-cache").arg("policy").args(names),
    )?))
}

/// Parses the output of `apt-cache policy`.
fn parse_policy(text: &str) -> Vec<Known> {
    let mut all: Vec<Known> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            all.push(Known {
                name: name.to_string(),
                installed: None,
                candidate: None,
            });
        } else if let (Some(known), Some((field, version))) = (all.last_mut(), line.trim().split_once(": ")) {
            let version = Some(version.to_string()).filter(|version| version != "(none)");
            match field {
                "Installed" => known.installed = version,
                "Candidate" => known.candidate = version,
                _ => {}
            }
        }
    }
    all
}

/// The family with the newest compiler, if it is new enough for guests.
fn newest(compilers: &[Known], version: impl Fn(&Known) -> Option<String>) -> Option<(Family, String)> {
    compilers
        .iter()
        .filter_map(|known| Some((Family::of_rustc(&known.name)?, version(known)?)))
        .filter(|(_, version)| rust_version(version) >= rust_version(RUST_MIN))
        .max_by_key(|(_, version)| rust_version(version))
}

/// The numbers at the start of a package's version, after its epoch: `1:1.96.0+dfsg1-1` is 1, 96, 0.
fn rust_version(version: &str) -> Vec<u32> {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let numbers = version
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .next()
        .unwrap_or_default();
    numbers.split('.').map_while(|number| number.parse().ok()).collect()
}

/// The linker and tools of the LLVM that the compiler's package depends on, from the output of `apt-cache depends`.
fn tools(depends: &str) -> [String; 2] {
    let version = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: ")?.strip_prefix("llvm-"));
    ["lld", "llvm"].map(|tool| version.map_or(tool.to_string(), |version| format!("{tool}-{version}")))
}

/// How to become root.
#[derive(Debug, Clone, Copy)]
enum Root {
    /// This process is root.
    Already,
    /// `sudo` works without a password.
    Sudo,
}

impl Root {
    fn of_this_process() -> Option<Root> {
        // The owner of a process's folder is its effective user.
        if std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0) {
            return Some(Root::Already);
        }
        process::output(plain("sudo").args(["-n", "true"]))
            .is_ok()
            .then_some(Root::Sudo)
    }

    fn update(self, shell: Shell) {
        shell.status("Updating", "the list of Debian's packages");
        // An old list may still suffice; the installation will show.
        if let Err(why) = process::output(self.apt_get().arg("update")) {
            shell.warning(why);
        }
    }

    /// Removes none of the user's packages: families of Rust packages exclude each other.
    fn install(self, names: &[String]) -> Result<(), String> {
        let install = [
            "install",
            "--yes",
            "--no-install-recommends",
            "--no-remove",
            "-oDPkg::Lock::Timeout=300",
        ];
        process::output(self.apt_get().args(install).args(names)).map(drop)
    }

    fn apt_get(self) -> Command {
        let mut command = match self {
            Root::Already => plain("env"),
            Root::Sudo => {
                let mut sudo = plain("sudo");
                sudo.args(["-n", "env"]);
                sudo
            }
        };
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]);
        command
    }
}

/// A program with English output, as far as the output is parsed.
fn plain(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded on Debian 12.
    const POLICY: &str = "\
rustc:
  Installed: (none)
  Candidate: 1.63.0+dfsg1-2
  Version table:
     1.63.0+dfsg1-2 500
        500 http://deb.debian.org/debian bookworm/main amd64 Packages
rustc-web:
  Installed: 1.85.0+dfsg3-1~deb12u3
  Candidate: 1.96.0+dfsg1-1~deb12u2
  Version table:
     1.96.0+dfsg1-1~deb12u2 500
        500 http://deb.debian.org/debian-security bookworm-security/main amd64 Packages
 *** 1.85.0+dfsg3-1~deb12u3 500
        500 http://deb.debian.org/debian bookworm/main amd64 Packages
        100 /var/lib/dpkg/status
";

    #[test]
    fn reads_what_apt_says() {
        let known = |name: &str, installed: Option<&str>, candidate: &str| Known {
            name: name.to_string(),
            installed: installed.map(str::to_string),
            candidate: Some(candidate.to_string()),
        };
        assert_eq!(
            parse_policy(POLICY),
            [
                known("rustc", None, "1.63.0+dfsg1-2"),
                known("rustc-web", Some("1.85.0+dfsg3-1~deb12u3"), "1.96.0+dfsg1-1~deb12u2"),
            ]
        );
        assert!(parse_policy("").is_empty());
        assert!(parse_policy("N: Unable to locate package x\n").is_empty());
    }

    #[test]
    fn the_newest_family_that_is_new_enough_is_taken() {
        let known = parse_policy(POLICY);
        let (family, version) = newest(&known, |known| known.candidate.clone()).unwrap();
        assert_eq!(
            (family.rustc().as_str(), version.as_str()),
            ("rustc-web", "1.96.0+dfsg1-1~deb12u2")
        );
        assert_eq!(newest(&known, |known| known.installed.clone()), None);
        let versioned = parse_policy("rustc-1.99:\n  Candidate: 1.99.0\nrustc:\n  Candidate: 1.100.0\n");
        assert_eq!(
            newest(&versioned, |known| known.candidate.clone()).unwrap().0.rustc(),
            "rustc"
        );
    }

    #[test]
    fn names_follow_the_family() {
        let tools = || ["lld-22", "llvm-22"].map(str::to_string);
        let packages = |suffix: &str| Family(suffix.to_string()).packages(tools()).join(" ");
        assert_eq!(
            packages("-web"),
            "rustc-web cargo-web rust-web-src rust-web-llvm wasi-libc lld-22 llvm-22"
        );
        assert_eq!(packages(""), "rustc cargo rust-src rust-llvm wasi-libc lld-22 llvm-22");
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(rust_version("1.96.0+dfsg1-1~deb12u2"), [1, 96, 0]);
        assert_eq!(rust_version("2:1.100.1~1"), [1, 100, 1]);
        assert!(rust_version("1.100") > rust_version("1.99.9"));
        assert!(rust_version("").is_empty());
    }

    #[test]
    fn the_tools_are_those_of_the_compilers_llvm() {
        assert_eq!(
            tools("rust-web-llvm\n  Depends: libc6\n  Depends: llvm-22\n"),
            ["lld-22", "llvm-22"]
        );
        assert_eq!(tools("rust-llvm\n  Depends: libc6\n"), ["lld", "llvm"]);
    }
}
