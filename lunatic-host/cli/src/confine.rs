//! The rights that `lunatic` gives up before it runs a program.
//!
//! A guest can reach only the files that it is given. This module is about the host: if a bug gives a guest control of
//! the host, the operating system still denies it the user's other files and the system calls that no host makes.
//! [`lunatic_confine`] implements this; this module lists what a host needs.

use std::env;
use std::fs::DirBuilder;
use std::path::{Path, PathBuf};

use anyhow::bail;
use lunatic_confine::{Confined, Paths};
use lunatic_host::log::Log;
use lunatic_host::{SystemConfig, cache_folder};

/// How far the host is confined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Confine {
    /// As far as the operating system supports it
    #[default]
    On,
    /// Not at all
    Off,
    /// Completely; if that is not possible, run nothing
    Strict,
}

/// Files from which the host learns about the machine.
const MACHINE: [&str; 5] = [
    "/proc",
    "/sys/fs/cgroup",
    "/sys/devices/system",
    "/sys/kernel/mm/transparent_hugepage",
    "/dev/urandom",
];

/// Folders of shared libraries, for helpers and for name resolution.
const LIBRARIES: [&str; 8] = [
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/gnu/store",
];

/// Files that the dynamic loader reads.
const LOADER: [&str; 2] = ["/etc/ld.so.cache", "/etc/ld.so.preload"];

/// Files that name resolution and TLS read. Where other programs replace a file, its folder is listed.
const NETWORK: [&str; 9] = [
    "/etc",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/run/nscd",
    "/var/lib/sss",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/var/lib/ca-certificates",
];

/// Variables that name the trusted certificates.
const CERTIFICATES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// What a host needs in addition to what its program is given.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Needs<'a> {
    /// The program may turn out to be trusted with the current folder and the network.
    pub(crate) trust: bool,
    /// The host itself resolves names.
    pub(crate) network: bool,
    /// A folder that the host reads from later.
    pub(crate) configuration: Option<&'a Path>,
    /// More such folders.
    pub(crate) folders: &'a [PathBuf],
}

impl Confine {
    /// Confines this thread, and the threads that it starts, to what running a program needs.
    ///
    /// # Errors
    ///
    /// With `strict`, if confinement is not complete.
    pub(crate) fn program(self, config: &SystemConfig, needs: &Needs<'_>) -> anyhow::Result<()> {
        if self == Self::Off {
            return Ok(());
        }
        self.accept(lunatic_confine::host(&paths(config, needs)))
    }

    /// Takes from this thread, and the threads that it starts, the system calls that no host makes. Files stay
    /// accessible: one process runs the tests of several programs in turn, with the rights of the user, who has just
    /// built them.
    pub(crate) fn tests(self) -> anyhow::Result<()> {
        let given_up = match self {
            Self::Off => return Ok(()),
            Self::On | Self::Strict => lunatic_confine::host_calls(),
        };
        if self == Self::Strict && !given_up.calls {
            bail!("--confine strict: this system cannot filter system calls: see `lunatic doctor`");
        }
        Ok(())
    }

    fn accept(self, confined: Confined) -> anyhow::Result<()> {
        if self == Self::Strict && !confined.is_complete() {
            bail!("--confine strict: this system cannot confine the host completely: see `lunatic doctor`");
        }
        Ok(())
    }
}

/// The files that a host needs to run a program whose module it has read.
fn paths(config: &SystemConfig, needs: &Needs<'_>) -> Paths {
    let owned = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
    let mut paths = Paths {
        read: owned(&MACHINE),
        write: owned(&["/dev/null"]),
        execute: owned(&LIBRARIES),
        ..Paths::default()
    };
    paths.read.extend(owned(&LOADER));
    // The helper is this program.
    paths.execute.push("/proc/self/exe".into());
    if let Some(cache) = cache_folder() {
        make_private(&cache);
        paths.write.push(cache);
    }
    for dir in &config.wasi.dirs {
        let list = if dir.read_only {
            &mut paths.read
        } else {
            &mut paths.write
        };
        list.push(dir.host.clone());
    }
    paths
        .write
        .extend(config.dumps.iter().map(|dumps| dumps.folder().to_owned()));
    // After someone has moved the log file away, a new one is created in its folder.
    let log = config.log.as_ref().and_then(Log::file).and_then(Path::parent);
    paths.append.extend(log.map(Path::to_owned));
    paths.read.extend(needs.configuration.map(Path::to_owned));
    paths.read.extend_from_slice(needs.folders);
    if needs.trust {
        paths.write.push(".".into());
    }
    if needs.trust || needs.network || !config.net.is_empty() {
        paths.read.extend(owned(&NETWORK));
        let certificates = CERTIFICATES.iter().filter_map(env::var_os).map(PathBuf::from);
        // Landlock has no rules for an anonymous pipe, which can be read in any case.
        paths
            .read
            .extend(certificates.filter(|path| path.is_file() || path.is_dir()));
    }
    paths
}

/// Makes the cache folder while that is still allowed. If this fails, there is no cache, as without confinement.
fn make_private(folder: &Path) {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let _ = builder.recursive(true).create(folder);
}

#[cfg(test)]
mod tests {
    use lunatic_host::wasi::flags;

    use super::*;

    #[test]
    fn a_host_keeps_what_its_program_was_given() {
        let mut config = SystemConfig::default();
        config.wasi.dirs = ["/in::/x:ro", "/out"]
            .map(|dir| flags::parse_dir(dir).unwrap())
            .to_vec();
        let has = |paths: &[PathBuf], path: &str| paths.iter().any(|other| other == Path::new(path));
        let without = paths(&config, &Needs::default());
        assert!(has(&without.read, "/in") && has(&without.write, "/out"));
        assert!(!has(&without.write, "/in") && !has(&without.read, "/etc") && !has(&without.write, "."));
        config.net.push("*".parse().unwrap());
        assert!(has(&paths(&config, &Needs::default()).read, "/etc"));
        let trust = Needs {
            trust: true,
            ..Needs::default()
        };
        let trusted = paths(&SystemConfig::default(), &trust);
        assert!(has(&trusted.write, ".") && has(&trusted.read, "/etc"));
        let network = Needs {
            network: true,
            ..Needs::default()
        };
        let sends = paths(&SystemConfig::default(), &network);
        assert!(has(&sends.read, "/etc") && !has(&sends.write, "."));
    }

    #[test]
    fn strict_is_an_error_where_something_is_missing() {
        assert!(Confine::Strict.accept(Confined::default()).is_err());
        assert!(Confine::On.accept(Confined::default()).is_ok());
    }
}
