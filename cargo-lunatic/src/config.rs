//! Reads cargo's configuration, as far as needed to add a flag without overriding others.
//!
//! The sources, nearest first, are the `--config` arguments, `.cargo/config.toml` of the current folder and of each
//! folder above it, and the one in cargo's home. Cargo reports unreadable files better than this module could, so it
//! ignores them.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use cargo_metadata::cargo_platform::{Cfg, Platform};
use toml::{Table, Value};

use crate::TARGET;
use crate::environment::Environment;

/// How deep `include` may nest. Cargo needs no more, and this ends cycles.
const INCLUDE_DEPTH_MAX: usize = 8;

/// The part of the output of `rustc --print cfg` for [`TARGET`] that configuration files refer to.
const TARGET_CFG: &[&str] = &[
    "panic=\"abort\"",
    "target_abi=\"\"",
    "target_arch=\"wasm32\"",
    "target_endian=\"little\"",
    "target_env=\"p1\"",
    "target_family=\"wasm\"",
    "target_os=\"wasi\"",
    "target_pointer_width=\"32\"",
    "target_vendor=\"unknown\"",
];

/// Cargo's configuration: one table per source, nearest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    tables: Vec<Table>,
}

impl Config {
    /// Reads the configuration that applies in `folder` with these `--config` arguments.
    pub(crate) fn load(folder: &Path, arguments: &[String], env: &Environment) -> Config {
        let mut config = Config::default();
        for argument in arguments.iter().rev() {
            if Path::new(argument).is_file() {
                config.read(Path::new(argument), INCLUDE_DEPTH_MAX);
            } else if let Ok(table) = Table::from_str(argument) {
                config.tables.push(table);
            }
        }
        let mut seen = Vec::new();
        let home = env
            .path("CARGO_HOME")
            .or_else(|| Some(env.path("HOME")?.join(".cargo")));
        for cargo_folder in folder.ancestors().map(|folder| folder.join(".cargo")).chain(home) {
            if !seen.contains(&cargo_folder) {
                config.read_folder(&cargo_folder);
                seen.push(cargo_folder);
            }
        }
        config
    }

    fn read_folder(&mut self, folder: &Path) {
        // If both files exist, cargo prefers the name without an extension.
        if let Some(file) = ["config", "config.toml"]
            .iter()
            .map(|name| folder.join(name))
            .find(|file| file.is_file())
        {
            self.read(&file, INCLUDE_DEPTH_MAX);
        }
    }

    fn read(&mut self, file: &Path, depth: usize) {
        let Some(table) = std::fs::read_to_string(file)
            .ok()
            .and_then(|text| Table::from_str(&text).ok())
        else {
            return;
        };
        let included = included(&table, file.parent().unwrap_or(Path::new("")));
        self.tables.push(table);
        if depth > 0 {
            for file in included {
                self.read(&file, depth - 1);
            }
        }
    }

    /// The text at `keys` in the nearest source that has one.
    pub(crate) fn text(&self, keys: &[&str]) -> Option<&str> {
        self.tables.iter().find_map(|table| at(table, keys)?.as_str())
    }

    /// `build.rustflags` of all sources.
    pub(crate) fn build_rustflags(&self) -> Vec<String> {
        self.tables
            .iter()
            .filter_map(|table| at(table, &["build", "rustflags"]))
            .flat_map(strings)
            .collect()
    }

    /// `target.wasm32-wasip1.rustflags` and those of each `target.'cfg(..)'` that matches it, of all sources.
    pub(crate) fn target_rustflags(&self) -> Vec<String> {
        let cfg: Vec<Cfg> = TARGET_CFG.iter().filter_map(|cfg| Cfg::from_str(cfg).ok()).collect();
        let targets = self
            .tables
            .iter()
            .filter_map(|table| table.get("target")?.as_table())
            .flatten();
        targets
            .filter(|(name, _)| Platform::from_str(name).is_ok_and(|platform| platform.matches(TARGET, &cfg)))
            .filter_map(|(_, target)| target.get("rustflags"))
            .flat_map(strings)
            .collect()
    }
}

fn at<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a Value> {
    let (last, parents) = keys.split_last()?;
    let mut table = table;
    for key in parents {
        table = table.get(*key)?.as_table()?;
    }
    table.get(*last)
}

/// A list of arguments, which cargo accepts as an array or as text with spaces.
fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text.split_whitespace().map(str::to_string).collect(),
        Value::Array(values) => values
            .iter()
            .filter_map(|value| value.as_str().map(str::to_string))
            .collect(),
        _ => Vec::new(),
    }
}

/// The files that a configuration includes: a path, or a list of paths or of tables with a `path`.
fn included(table: &Table, folder: &Path) -> Vec<PathBuf> {
    let entries = match table.get("include") {
        Some(Value::Array(entries)) => entries.as_slice(),
        Some(entry) => std::slice::from_ref(entry),
        None => &[],
    };
    let path = |entry: &Value| Some(folder.join(entry.as_str().or_else(|| entry.get("path")?.as_str())?));
    entries.iter().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A tree of configuration files, read from its folder `a/b`.
    fn load(files: &[(&str, &str)], arguments: &[&str]) -> Config {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        for (name, text) in files {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let home = root.path().join("home");
        let arguments: Vec<String> = arguments.iter().map(|text| text.to_string()).collect();
        Config::load(
            &root.path().join("a/b"),
            &arguments,
            &Environment::fixed(&[("HOME", home.to_str().unwrap())]),
        )
    }

    #[test]
    fn all_levels_are_read_and_the_nearest_wins() {
        let config = load(
            &[
                (
                    "a/b/.cargo/config.toml",
                    "build.rustc = 'near'\nbuild.rustflags = ['-a']",
                ),
                ("a/.cargo/config", "build.rustc = 'middle'\nbuild.rustflags = '-b  -c'"),
                ("a/.cargo/config.toml", "build.rustflags = '-hidden-by-the-other-name'"),
                (
                    "home/.cargo/config.toml",
                    "build.rustc = 'far'\nbuild.rustflags = ['-d']",
                ),
            ],
            &["build.rustflags=['-e']"],
        );
        assert_eq!(config.text(&["build", "rustc"]), Some("near"));
        assert_eq!(config.build_rustflags(), ["-e", "-a", "-b", "-c", "-d"]);
        assert!(config.target_rustflags().is_empty());
    }

    #[test]
    fn the_last_argument_wins() {
        let config = load(
            &[("a/.cargo/config.toml", "build.rustc = 'file'")],
            &["build.rustc='x'", "build.rustc='y'"],
        );
        assert_eq!(config.text(&["build", "rustc"]), Some("y"));
    }

    #[track_caller]
    fn check_target(name: &str, holds: bool) {
        let config = load(
            &[(
                "a/.cargo/config.toml",
                &format!("[target.'{name}']\nrustflags = ['-x']"),
            )],
            &[],
        );
        assert_eq!(!config.target_rustflags().is_empty(), holds, "{name}");
    }

    #[test]
    fn targets_are_matched_by_name_and_by_cfg() {
        check_target("wasm32-wasip1", true);
        check_target("wasm32-wasip2", false);
        check_target("x86_64-unknown-linux-gnu", false);
        check_target("cfg(target_arch = \"wasm32\")", true);
        check_target("cfg(target_family = \"wasm\")", true);
        check_target("cfg(all(target_os = \"wasi\", not(target_env = \"p2\")))", true);
        check_target("cfg(any(unix, windows))", false);
        check_target("cfg(not(unix))", true);
        check_target("cfg(((", false);
    }

    #[test]
    fn includes_are_followed_and_circles_end() {
        let config = load(
            &[
                (
                    "a/.cargo/config.toml",
                    "include = ['one.toml', { path = 'two.toml', optional = true }, 'missing']",
                ),
                (
                    "a/.cargo/one.toml",
                    "build.rustflags = ['-one']\ninclude = 'config.toml'",
                ),
                ("a/.cargo/two.toml", "build.rustflags = ['-two']"),
            ],
            &[],
        );
        let flags = config.build_rustflags();
        assert!(
            flags.contains(&"-one".to_string()) && flags.contains(&"-two".to_string()),
            "{flags:?}"
        );
    }

    #[test]
    fn broken_files_are_left_to_cargo() {
        let config = load(
            &[
                ("a/.cargo/config.toml", "= nonsense"),
                ("home/.cargo/config.toml", "build = 3"),
            ],
            &["=="],
        );
        assert_eq!(config.text(&["build", "rustc"]), None);
        assert!(config.build_rustflags().is_empty());
    }
}
