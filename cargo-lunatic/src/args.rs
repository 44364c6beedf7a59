//! Cargo's flags as `cargo lunatic` accepts them, and how it passes them on.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;

use crate::{TARGET, TARGET_OLD_NAME};

/// Packages, bins and examples: the selection that `run`, `build` and `test` share.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Target selection")]
pub(crate) struct Selection {
    /// Package of the program (see `cargo help pkgid`)
    #[arg(short, long, value_name = "SPEC", help_heading = "Package selection")]
    pub(crate) package: Vec<String>,

    /// Name of the bin target
    #[arg(long, value_name = "NAME")]
    pub(crate) bin: Vec<String>,

    /// Name of the example target
    #[arg(long, value_name = "NAME")]
    pub(crate) example: Vec<String>,
}

/// The selection of many targets, for `build` and `test`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Target selection")]
pub(crate) struct WideSelection {
    /// All packages of the workspace
    #[arg(long, visible_alias = "all", help_heading = "Package selection")]
    workspace: bool,

    /// Exclude these packages
    #[arg(
        long,
        value_name = "SPEC",
        requires = "workspace",
        help_heading = "Package selection"
    )]
    exclude: Vec<String>,

    /// Only this package's library
    #[arg(long)]
    lib: bool,

    /// All binaries
    #[arg(long)]
    bins: bool,

    /// All examples
    #[arg(long)]
    examples: bool,

    /// Only the test target with this name
    #[arg(long, value_name = "NAME")]
    test: Vec<String>,

    /// All test targets
    #[arg(long)]
    tests: bool,

    /// Only the benchmark with this name
    #[arg(long, value_name = "NAME")]
    bench: Vec<String>,

    /// All benchmarks
    #[arg(long)]
    benches: bool,

    /// All targets
    #[arg(long)]
    all_targets: bool,
}

/// How to compile, and how verbosely.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Compilation options")]
pub(crate) struct Compile {
    /// Build with optimisations
    #[arg(short, long, conflicts_with = "profile")]
    release: bool,

    /// Build with this profile
    #[arg(long, value_name = "PROFILE-NAME")]
    profile: Option<String>,

    /// Number of parallel jobs [default: the number of CPUs]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    jobs: Option<String>,

    /// Build as much as possible instead of stopping at the first error
    #[arg(long)]
    keep_going: bool,

    /// Build for this target: wasm32-wasip1, the default and the only one, or wasm32-wasi, its old name
    #[arg(long, value_name = "TRIPLE", value_parser = parse_target)]
    target: Option<Target>,

    /// Folder for all build output
    #[arg(long, value_name = "DIRECTORY")]
    target_dir: Option<PathBuf>,

    /// Features to activate, separated by spaces or commas
    #[arg(short = 'F', long, value_name = "FEATURES", help_heading = "Feature selection")]
    features: Vec<String>,

    /// Activate all features
    #[arg(long, help_heading = "Feature selection")]
    all_features: bool,

    /// Do not activate the `default` feature
    #[arg(long, help_heading = "Feature selection")]
    no_default_features: bool,

    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH", help_heading = "Manifest options")]
    pub(crate) manifest_path: Option<PathBuf>,

    /// Fail if Cargo.lock would change
    #[arg(long, help_heading = "Manifest options")]
    locked: bool,

    /// Do not use the network
    #[arg(long, help_heading = "Manifest options")]
    offline: bool,

    /// Same as --locked and --offline together
    #[arg(long, help_heading = "Manifest options")]
    frozen: bool,

    /// Ignore the `rust-version` of packages
    #[arg(long, help_heading = "Manifest options")]
    ignore_rust_version: bool,

    /// Override a value of cargo's configuration
    #[arg(long, value_name = "KEY=VALUE|PATH", help_heading = "Options")]
    pub(crate) config: Vec<String>,

    /// Print more details (-vv: even more)
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Options")]
    verbose: u8,

    /// Print only errors
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Options")]
    pub(crate) quiet: bool,

    /// When to use colours: auto, always, never
    #[arg(long, value_name = "WHEN", help_heading = "Options",
          value_parser = PossibleValuesParser::new(["auto", "always", "never"]), hide_possible_values = true)]
    pub(crate) color: Option<String>,
}

/// An accepted `--target`; there is only one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target;

/// Accepts the names of the only target.
pub(crate) fn parse_target(name: &str) -> Result<Target, String> {
    if name == TARGET || name == TARGET_OLD_NAME {
        return Ok(Target);
    }
    Err(format!(
        "guests of Lunatic are built only for {TARGET}; leave out `--target`"
    ))
}

impl Selection {
    /// Whether the user named the program.
    pub(crate) fn names_target(&self) -> bool {
        !self.bin.is_empty() || !self.example.is_empty()
    }

    pub(crate) fn to_cargo(&self) -> Vec<String> {
        let mut flags = Flags::default();
        flags.values("--package", &self.package);
        flags.values("--bin", &self.bin);
        flags.values("--example", &self.example);
        flags.0
    }
}

impl WideSelection {
    pub(crate) fn to_cargo(&self) -> Vec<String> {
        let mut flags = Flags::default();
        flags.switch("--workspace", self.workspace);
        flags.values("--exclude", &self.exclude);
        flags.switch("--lib", self.lib);
        flags.switch("--bins", self.bins);
        flags.switch("--examples", self.examples);
        flags.values("--test", &self.test);
        flags.switch("--tests", self.tests);
        flags.values("--bench", &self.bench);
        flags.switch("--benches", self.benches);
        flags.switch("--all-targets", self.all_targets);
        flags.0
    }
}

impl Compile {
    /// All flags for `cargo build` and `cargo test`, except the target, which is always set.
    pub(crate) fn to_cargo(&self) -> Vec<String> {
        let mut flags = Flags::default();
        flags.switch("--release", self.release);
        flags.values("--profile", &self.profile);
        flags.values("--jobs", &self.jobs);
        flags.switch("--keep-going", self.keep_going);
        flags.values(
            "--target-dir",
            &self.target_dir.as_ref().map(|path| path.to_string_lossy().into_owned()),
        );
        flags.values("--features", &self.features);
        flags.switch("--all-features", self.all_features);
        flags.switch("--no-default-features", self.no_default_features);
        flags.switch("--ignore-rust-version", self.ignore_rust_version);
        flags.0.extend((0..self.verbose).map(|_| "--verbose".to_string()));
        flags.values("--color", &self.color);
        flags.0.extend(self.to_metadata());
        flags.0
    }

    /// The flags that `cargo metadata` also accepts.
    pub(crate) fn to_metadata(&self) -> Vec<String> {
        let mut flags = Flags::default();
        flags.values(
            "--manifest-path",
            &self
                .manifest_path
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned()),
        );
        flags.switch("--locked", self.locked);
        flags.switch("--offline", self.offline);
        flags.switch("--frozen", self.frozen);
        flags.values("--config", &self.config);
        flags.switch("--quiet", self.quiet);
        flags.0
    }
}

/// Collects flags as `--name` and `--name=value`, so that no value can be taken for a flag.
#[derive(Default)]
struct Flags(Vec<String>);

impl Flags {
    fn switch(&mut self, name: &str, on: bool) {
        if on {
            self.0.push(name.to_string());
        }
    }

    fn values<'a>(&mut self, name: &str, values: impl IntoIterator<Item = &'a String>) {
        self.0.extend(values.into_iter().map(|value| format!("{name}={value}")));
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct All {
        #[command(flatten)]
        selection: Selection,
        #[command(flatten)]
        wide: WideSelection,
        #[command(flatten)]
        compile: Compile,
    }

    fn parse(line: &str) -> Result<All, clap::Error> {
        All::try_parse_from(["cargo-lunatic"].into_iter().chain(line.split_whitespace()))
    }

    /// Asserts what cargo is given for `line`.
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let all = parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let passed = [all.selection.to_cargo(), all.wide.to_cargo(), all.compile.to_cargo()].concat();
        assert_eq!(passed.join(" "), expected, "{line}");
    }

    #[test]
    fn passes_cargos_flags_on() {
        check("", "");
        check("-p a --package b", "--package=a --package=b");
        check("--bin x --example=y", "--bin=x --example=y");
        check(
            "-r -j 3 -F a,b --features c",
            "--release --jobs=3 --features=a,b --features=c",
        );
        check("-j -1 --profile bench", "--profile=bench --jobs=-1");
        check("--all --exclude x", "--workspace --exclude=x");
        check(
            "--lib --bins --examples --tests --test t --all-targets",
            "--lib --bins --examples --test=t --tests --all-targets",
        );
        check("--benches --bench b", "--bench=b --benches");
        check(
            "--all-features --no-default-features",
            "--all-features --no-default-features",
        );
        check(
            "-vv --manifest-path ../a/Cargo.toml --target-dir=/t",
            "--target-dir=/t --verbose --verbose --manifest-path=../a/Cargo.toml",
        );
        check("--locked --offline --frozen -q", "--locked --offline --frozen --quiet");
        check(
            "--config a.b=1 --config f.toml --color always",
            "--color=always --config=a.b=1 --config=f.toml",
        );
    }

    #[test]
    fn the_old_name_of_the_target_is_taken_and_others_are_refused() {
        for name in ["wasm32-wasi", "wasm32-wasip1"] {
            check(&format!("--target {name}"), "");
        }
        for name in ["wasm32-wasip2", "x86_64-unknown-linux-gnu", ""] {
            let error = parse(&format!("--target={name}")).unwrap_err().to_string();
            assert!(error.contains("built only for wasm32-wasip1"), "{error}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [
            "-r --profile dev",
            "-q -v",
            "--exclude a",
            "--color sometimes",
            "--unknown",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn metadata_gets_only_what_it_knows() {
        let all = parse("-r --offline -F a --manifest-path m -p x").unwrap();
        assert_eq!(all.compile.to_metadata(), ["--manifest-path=m", "--offline"]);
    }
}
