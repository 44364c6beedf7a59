//! `lunatic.toml`: the rights of a program, in a file beside its package.
//!
//! The keys are the flags of `cargo lunatic run`. Flags on the command line take precedence: lists are combined; for
//! everything else, the flag's value counts.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use lunatic_cli::{HostArgs, LogFormat, Part};
use serde::Deserialize;

use crate::error::Error;

/// The name of the file, beside `Cargo.toml`.
pub(crate) const FILE: &str = "lunatic.toml";

/// The contents of the file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct RightsFile {
    dir: Vec<String>,
    env: Vec<String>,
    allow_net: Vec<String>,
    max_memory: Option<String>,
    max_files: Option<u32>,
    max_processes: Option<u64>,
    max_total_memory: Option<String>,
    max_cpu: Option<f64>,
    log_denials: bool,
    log_level: Option<String>,
    log_format: Option<Format>,
    log_file: Option<PathBuf>,
    workers: Option<usize>,
    dump_dir: Option<PathBuf>,
    dump_limit: Option<usize>,
    dump_bytes: Option<String>,
    dump_without: Vec<DumpPart>,
}

/// A part that core dumps may leave out.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum DumpPart {
    Memory,
    Messages,
}

impl From<DumpPart> for Part {
    fn from(part: DumpPart) -> Self {
        match part {
            DumpPart::Memory => Self::Memory,
            DumpPart::Messages => Self::Messages,
        }
    }
}

/// The format of records.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    Text,
    Json,
}

/// Reads the file in a package's folder; `None` if there is none.
pub(crate) fn read(folder: &Path) -> Result<Option<(PathBuf, RightsFile)>, Error> {
    let path = folder.join(FILE);
    let text = match read_file(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Error::File {
                action: "read",
                path,
                source,
            });
        }
    };
    match toml::from_str(&text) {
        Ok(file) => Ok(Some((path, file))),
        Err(error) => Err(Error::RightsFile {
            path,
            why: error.to_string(),
        }),
    }
}

/// The longest such file, in bytes.
const LEN_MAX: u64 = 1 << 20;

/// Reads a file that may be from a stranger: does not wait for a pipe, and does not read an endless file to its end.
fn read_file(path: &Path) -> io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    std::fs::File::open(path)?.take(LEN_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LEN_MAX {
        return Err(io::Error::other(format!("it has more than {LEN_MAX} bytes")));
    }
    Ok(text)
}

impl RightsFile {
    /// Adds the contents of the file to the flags of the command line. Relative folders start at the folder of the
    /// file.
    pub(crate) fn add_to(self, host: &mut HostArgs, folder: &Path) {
        let dirs = self.dir.iter().map(|dir| from_folder(dir, folder));
        host.dirs.splice(0..0, dirs);
        // The last value of a variable counts, which is that of the command line.
        host.env.splice(0..0, self.env);
        host.allow_net.splice(0..0, self.allow_net);
        let or = |own: &mut Option<String>, other: Option<String>| *own = own.take().or(other);
        or(&mut host.max_memory, self.max_memory);
        or(&mut host.max_total_memory, self.max_total_memory);
        host.max_files = host.max_files.or(self.max_files);
        host.max_processes = host.max_processes.or(self.max_processes);
        host.max_cpu = host.max_cpu.or(self.max_cpu);
        host.workers = host.workers.or(self.workers);
        host.log_denials |= self.log_denials;
        let dumps = &mut host.dumps;
        let dump_dir = self.dump_dir.map(|dir| folder.join(dir));
        dumps.dump_dir = dumps.dump_dir.take().or(dump_dir);
        dumps.dump_limit = dumps.dump_limit.or(self.dump_limit);
        or(&mut dumps.dump_bytes, self.dump_bytes);
        dumps.dump_without.extend(self.dump_without.into_iter().map(Part::from));
        or(&mut host.log.level, self.log_level);
        host.log.format = host.log.format.or(self.log_format.map(|format| match format {
            Format::Text => LogFormat::Text,
            Format::Json => LogFormat::Json,
        }));
        host.log.file = host.log.file.take().or(self.log_file.map(|file| folder.join(file)));
    }

    /// Which records are logged.
    pub(crate) fn log_level(self) -> Option<String> {
        self.log_level
    }

    /// The contents as lines for people: each key with its value.
    pub(crate) fn lines(&self) -> Vec<String> {
        let list =
            |key: &str, values: &[String]| values.iter().map(|value| format!("{key} {value}")).collect::<Vec<_>>();
        let one = |key: &str, value: Option<String>| value.map(|value| format!("{key} {value}"));
        let mut lines = [
            list("dir", &self.dir),
            list("env", &self.env),
            list("allow-net", &self.allow_net),
        ]
        .concat();
        lines.extend(
            [
                one("max-memory", self.max_memory.clone()),
                one("max-files", self.max_files.map(|n| n.to_string())),
                one("max-processes", self.max_processes.map(|n| n.to_string())),
                one("max-total-memory", self.max_total_memory.clone()),
                one("max-cpu", self.max_cpu.map(|n| n.to_string())),
                one("workers", self.workers.map(|n| n.to_string())),
                self.log_denials.then(|| "log-denials".to_owned()),
                one("dump-dir", self.dump_dir.as_ref().map(|dir| dir.display().to_string())),
                one("dump-limit", self.dump_limit.map(|n| n.to_string())),
                one("dump-bytes", self.dump_bytes.clone()),
                one("log-level", self.log_level.clone()),
                one(
                    "log-format",
                    self.log_format.map(|format| format!("{format:?}").to_lowercase()),
                ),
                one(
                    "log-file",
                    self.log_file.as_ref().map(|file| file.display().to_string()),
                ),
            ]
            .into_iter()
            .flatten(),
        );
        let without = self.dump_without.iter();
        lines.extend(without.map(|part| format!("dump-without {part:?}").to_lowercase()));
        lines
    }
}

/// Makes the relative paths in the flags of the command line begin in `folder`, before another folder becomes the current
/// one. What guests see stays as it is.
pub(crate) fn begin_in(host: &mut HostArgs, folder: &Path) {
    for dir in &mut host.dirs {
        *dir = from_folder(dir, folder);
    }
    let paths = [
        &mut host.log.file,
        &mut host.dumps.dump_dir,
        &mut host.trusted_keys,
        &mut host.admin_token_file,
        &mut host.admin_cert,
        &mut host.admin_key,
        &mut host.admin_client_ca,
    ];
    for path in paths.into_iter().flatten() {
        *path = folder.join(&*path);
    }
    // Otherwise, the host chooses the place.
    if let Some(path) = host.admin.as_mut().filter(|path| **path != Path::new("auto")) {
        *path = folder.join(&*path);
    }
}

/// `HOST[::GUEST][:ro]` with a relative HOST resolved against `folder`; GUEST is unchanged.
fn from_folder(dir: &str, folder: &Path) -> String {
    let (name, mode) = dir.strip_suffix(":ro").map_or((dir, ""), |name| (name, ":ro"));
    let (host, guest) = name.split_once("::").unwrap_or((name, name));
    if host.is_empty() {
        return dir.to_owned();
    }
    format!("{}::{guest}{mode}", folder.join(host).display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_goes_before_the_file() {
        let file: RightsFile = toml::from_str(
            "dir = ['data:ro', '/tmp::/t']\nenv = ['A=1']\nallow-net = ['*']\nmax-memory = '1M'\nmax-cpu = 2.5\nlog-denials = true\n",
        )
        .unwrap();
        assert_eq!(
            file.lines().join(", "),
            "dir data:ro, dir /tmp::/t, env A=1, allow-net *, max-memory 1M, max-cpu 2.5, log-denials"
        );
        let mut host = HostArgs {
            dirs: vec!["x".into()],
            env: vec!["A=2".into()],
            max_memory: Some("2M".into()),
            ..HostArgs::default()
        };
        file.add_to(&mut host, Path::new("/p"));
        assert_eq!(host.dirs, ["/p/data::data:ro", "/tmp::/t", "x"]);
        assert_eq!(host.env, ["A=1", "A=2"]);
        assert_eq!(
            (host.max_memory.as_deref(), host.max_cpu, host.log_denials),
            (Some("2M"), Some(2.5), true)
        );
    }

    #[test]
    fn flags_mean_the_folder_in_which_the_command_was_given() {
        let mut host = HostArgs {
            dirs: vec!["data".into(), "a::/b:ro".into(), "/c".into()],
            trusted_keys: Some("keys".into()),
            admin: Some("auto".into()),
            ..HostArgs::default()
        };
        host.log.file = Some("a.log".into());
        host.dumps.dump_dir = Some("/dumps".into());
        begin_in(&mut host, Path::new("/w"));
        assert_eq!(host.dirs, ["/w/data::data", "/w/a::/b:ro", "/c::/c"]);
        let paths = [
            &host.trusted_keys,
            &host.log.file,
            &host.dumps.dump_dir,
            &host.admin,
            &host.admin_key,
        ];
        let expected = [Some("/w/keys"), Some("/w/a.log"), Some("/dumps"), Some("auto"), None];
        assert_eq!(paths.map(Option::as_deref), expected.map(|path| path.map(Path::new)));
    }

    #[test]
    fn core_dumps_go_where_the_file_says_unless_the_command_line_does() {
        let text = "dump-dir = 'dumps'\ndump-limit = 3\ndump-bytes = '1M'\ndump-without = ['memory']\n";
        let file: RightsFile = toml::from_str(text).unwrap();
        let lines = ["dump-dir dumps", "dump-limit 3", "dump-bytes 1M", "dump-without memory"];
        assert_eq!(file.lines(), lines);
        let mut host = HostArgs::default();
        host.dumps.dump_limit = Some(5);
        file.clone().add_to(&mut host, Path::new("/p"));
        assert_eq!(host.dumps.dump_dir.as_deref(), Some(Path::new("/p/dumps")));
        assert_eq!(
            (host.dumps.dump_limit, &*host.dumps.dump_without),
            (Some(5), &[Part::Memory][..])
        );
        host.dumps.dump_dir = Some("/other".into());
        file.add_to(&mut host, Path::new("/p"));
        assert_eq!(host.dumps.dump_dir.as_deref(), Some(Path::new("/other")));
    }

    #[test]
    fn the_log_is_told_by_the_file_unless_a_flag_says_otherwise() {
        let file: RightsFile =
            toml::from_str("log-level = 'debug'\nlog-format = 'json'\nlog-file = 'a.log'\n").unwrap();
        assert_eq!(file.lines(), ["log-level debug", "log-format json", "log-file a.log"]);
        let mut host = HostArgs::default();
        host.log.level = Some("warn".into());
        file.add_to(&mut host, Path::new("/p"));
        assert_eq!(host.log.level.as_deref(), Some("warn"));
        assert_eq!(host.log.format, Some(LogFormat::Json));
        assert_eq!(host.log.file.as_deref(), Some(Path::new("/p/a.log")));
    }

    /// The table of rights says which keys there are, and what their values are called.
    #[test]
    fn every_right_with_a_flag_has_its_key() {
        let rights = lunatic_rights::table::RIGHTS;
        let mut known: Vec<&str> = rights.iter().filter_map(|right| right.toml()).collect();
        for (key, flag) in rights.iter().filter_map(|right| Some((right.toml()?, right.flag?))) {
            let (value, line) = match flag.value {
                "N" => ("1", "1"),
                "SECONDS" => ("2.5", "2.5"),
                "SIZE" => ("'1M'", "1M"),
                _ => ("['x']", "x"),
            };
            let file: RightsFile = toml::from_str(&format!("{key} = {value}"))
                .unwrap_or_else(|error| panic!("`{key}` is no key of {FILE}: {error}"));
            assert_eq!(file.lines(), [format!("{key} {line}")]);
        }
        // No rights of processes, but told to the host all the same.
        known.extend([
            "log-denials",
            "log-level",
            "log-format",
            "log-file",
            "workers",
            "dump-dir",
            "dump-limit",
            "dump-bytes",
            "dump-without",
        ]);
        let error = toml::from_str::<RightsFile>("none = 1").unwrap_err();
        let (_, expected) = error.message().split_once("expected one of ").unwrap();
        let mut expected: Vec<&str> = expected.split(", ").map(|key| key.trim_matches('`')).collect();
        known.sort_unstable();
        expected.sort_unstable();
        assert_eq!(
            expected, known,
            "the keys of {FILE} and the flags of the table of rights differ"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_a_stranger_made_is_refused_and_keeps_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        let refused = |part: &str| {
            let error = read(folder.path()).unwrap_err();
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let text = format!("{error}: {}", source.unwrap_or_default());
            assert!(text.contains(part), "{text}");
            std::fs::remove_file(&file).unwrap();
        };
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&file)
                .status()
                .unwrap()
                .success()
        );
        refused("not a file");
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        refused("not a file");
        std::os::unix::fs::symlink(folder.path(), &file).unwrap();
        refused("not a file");
        std::fs::File::create(&file).unwrap().set_len(10 << 30).unwrap();
        refused("more than");
        // As deep as its length allows.
        for (open, close) in [("[", "]"), ("{a=", "}")] {
            let text = format!("env = {}{}", open.repeat(100_000), close.repeat(100_000));
            std::fs::write(&file, text).unwrap();
            refused("in `");
        }
        std::fs::write(&file, "[a.".to_owned() + &"b.".repeat(300_000) + "c]").unwrap();
        refused("in `");
        std::fs::write(&file, [0xff; 100]).unwrap();
        refused("UTF-8");
    }

    #[test]
    fn mistakes_in_the_file_are_named() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        for (text, part) in [
            ("dirs = []", "unknown field `dirs`"),
            ("max-files = -1", "-1"),
            ("env = 3", "invalid type"),
        ] {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            let error = read(folder.path()).unwrap_err().to_string();
            assert!(error.contains(FILE) && error.contains(part), "{error}");
        }
    }
}
