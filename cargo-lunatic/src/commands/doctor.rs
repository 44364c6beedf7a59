//! `cargo lunatic doctor`: reports what is available for building and running guests, and what is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use lunatic_cli::untrusted;

use super::current_folder;
use crate::cargo;
use crate::config::Config;
use crate::environment::Environment;
use crate::error::Error;
use crate::rights_file;
use crate::rustflags::{self, Carrier, DEFAULT_STACK_SIZE};
use crate::scratch::Scratch;
use crate::shell::Shell;
use crate::toolchain::{Missing, Search, Toolchain, c, cache_folder, folder_size};

/// Report what is available for building and running guests; changes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 if guests can be built, 1 if not.")]
pub(super) struct Doctor {}

impl Doctor {
    pub(super) fn shell(&self) -> Shell {
        Shell::new(false, None)
    }

    pub(super) fn execute(&self) -> Result<i32, Error> {
        let folder = current_folder()?;
        let env = Environment::Process;
        let config = Config::load(&folder, &[], &env);
        let found = Search {
            folder: &folder,
            config: &config,
            env: &env,
            shell: self.shell(),
        }
        .find();
        let mut report = Report::default();
        report.line("lunatic", env!("CARGO_PKG_VERSION"));
        match &found {
            Ok(toolchain) => report.toolchain(toolchain, &folder),
            Err(_) => report.line("target", "missing"),
        }
        report.line("C compiler", c_compiler(&env));
        report.line("guest stack", stack(&rustflags::carrier(&config, &env)));
        report.rights(&folder);
        report.machine();
        report.caches(&env);
        put(report.text());
        match found {
            Ok(toolchain) => Ok(verdict(try_out(&toolchain))),
            Err(missing) => {
                put(format!("\n{}\n", advice(&missing)));
                Ok(1)
            }
        }
    }
}

/// Prints a part of the report. The verdict is in the exit code as well.
fn put(text: impl AsRef<str>) {
    if let Err(error) = lunatic_cli::put(text.as_ref()) {
        eprintln!("error: cannot print: {error}");
    }
}

/// Reports whether a program could be built, and returns the exit code.
fn verdict(result: Result<std::time::Duration, String>) -> i32 {
    match result {
        Ok(duration) => {
            put(format!("\nGuests can be built: a test program took {duration:.2?}.\n"));
            0
        }
        Err(why) => {
            put(format!(
                "\nGuests cannot be built, although the target is there:\n  {}\n\nReinstall the target: `rustup target \
                 remove {target}` and `rustup target add {target}`, or delete the folder named above if it is in \
                 the cache.\n",
                why.trim_end().replace('\n', "\n  "),
                target = crate::TARGET,
            ));
            1
        }
    }
}

fn advice(missing: &Missing) -> String {
    format!(
        "{missing}\n\nRun `cargo lunatic build` in a project: it adds the target with rustup, or makes it from Debian's \
         packages.\nTo do it yourself: rustup target add {}",
        crate::TARGET
    )
}

fn c_compiler(env: &Environment) -> String {
    match c::find(env) {
        c::Found::Chosen => "as your own variables say".to_string(),
        c::Found::Compiler(compiler) => compiler.clang.display().to_string(),
        c::Found::Missing => {
            "none for WebAssembly; a build that wants one installs it, or says how (only for guests with C code)"
                .to_string()
        }
    }
}

fn stack(carrier: &Carrier) -> String {
    match carrier {
        Carrier::Nothing => "as your own rustflags say".to_string(),
        _ => format!("{} KiB for each process", DEFAULT_STACK_SIZE / 1024),
    }
}

/// Compiles and links a program, and returns how long this took.
fn try_out(toolchain: &Toolchain) -> Result<std::time::Duration, String> {
    let folder =
        Scratch::new("doctor").map_err(|error| format!("cannot make a folder for temporary files: {error}"))?;
    try_out_in(toolchain, folder.path())
}

fn try_out_in(toolchain: &Toolchain, folder: &Path) -> Result<std::time::Duration, String> {
    let text = |error: std::io::Error| format!("cannot write in `{}`: {error}", folder.display());
    let source = folder.join("hello.rs");
    std::fs::write(&source, "fn main() { println!(\"hello\"); }\n").map_err(text)?;
    let started = std::time::Instant::now();
    let mut command = Command::new(rustc_of(toolchain));
    command
        .args(["--edition=2024", "--target", crate::TARGET, "-o"])
        .arg(folder.join("hello.wasm"))
        .arg(&source);
    let output = command
        .output()
        .map_err(|error| format!("cannot start rustc: {error}"))?;
    if output.status.success() {
        Ok(started.elapsed())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn rustc_of(toolchain: &Toolchain) -> PathBuf {
    let set = || Environment::Process.path("RUSTC");
    toolchain
        .rustc
        .clone()
        .or_else(set)
        .unwrap_or_else(|| PathBuf::from("rustc"))
}

/// A table of names and values.
#[derive(Debug, Default)]
struct Report {
    lines: Vec<(&'static str, String)>,
}

impl Report {
    fn line(&mut self, name: &'static str, value: impl Into<String>) {
        self.lines.push((name, value.into()));
    }

    fn toolchain(&mut self, toolchain: &Toolchain, folder: &Path) {
        self.line("cargo", first_line(cargo::command(toolchain, folder).arg("--version")));
        self.line(
            "rustc",
            first_line(Command::new(rustc_of(toolchain)).arg("--version").current_dir(folder)),
        );
        self.line("target", format!("{}: {}", crate::TARGET, toolchain.way));
        self.line("", toolchain.library_folder.display().to_string());
    }

    /// The rights that `lunatic.toml` of the package in `folder`, or above it, grants.
    fn rights(&mut self, folder: &Path) {
        let package = folder.ancestors().find(|folder| folder.join("Cargo.toml").is_file());
        match package.map(rights_file::read) {
            None | Some(Ok(None)) => self.line(
                "rights",
                format!(
                    "standard streams, clocks, random numbers; there is no {}",
                    rights_file::FILE
                ),
            ),
            Some(Ok(Some((path, file)))) => {
                self.line("rights", path.display().to_string());
                // The file may be from a stranger, if the project is.
                let lines = file.lines().into_iter().map(|line| untrusted::line(line).to_string());
                lines.for_each(|line| self.line("", line));
            }
            Some(Err(error)) => self.line("rights", format!("unreadable: {error}")),
        }
    }

    fn machine(&mut self) {
        self.line("system", lunatic_cli::platform());
        let cores = std::thread::available_parallelism().map_or("unknown".to_string(), |cores| cores.to_string());
        self.line("cores", cores);
        if let Some(memory) = memory() {
            self.line("memory", memory);
        }
        for (name, file) in [
            ("kernel", "/proc/sys/kernel/osrelease"),
            ("map limit", "/proc/sys/vm/max_map_count"),
        ] {
            if let Ok(value) = std::fs::read_to_string(file) {
                self.line(name, value.trim());
            }
        }
    }

    fn caches(&mut self, env: &Environment) {
        let folders = [cache_folder(env), lunatic_cli::cache_folder()];
        let mut seen: Vec<PathBuf> = Vec::new();
        for folder in folders.into_iter().flatten() {
            if !seen.iter().any(|other| folder.starts_with(other)) {
                self.line(
                    "cache",
                    format!("{} ({})", folder.display(), bytes(folder_size(&folder))),
                );
                seen.push(folder);
            }
        }
    }

    fn text(&self) -> String {
        let width = self.lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        self.lines
            .iter()
            .map(|(name, value)| format!("{name:width$}  {}\n", untrusted::lines(value)))
            .collect()
    }
}

fn first_line(command: &mut Command) -> String {
    match command.output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout)
            .lines()
            .next()
            .unwrap_or("says nothing")
            .to_string(),
        Err(error) => format!("cannot be started: {error}"),
    }
}

/// Total and available memory, if the kernel reports them.
fn memory() -> Option<String> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    Some(format!(
        "{}, {} available",
        bytes(meminfo(&text, "MemTotal:")?),
        bytes(meminfo(&text, "MemAvailable:")?)
    ))
}

/// A field of `/proc/meminfo`, in bytes.
fn meminfo(text: &str, field: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

/// Formats a size.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "bytes" {
        format!("{bytes} bytes")
    } else {
        format!("{value:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        for (size, expected) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (5 << 30, "5.0 GiB"),
        ] {
            assert_eq!(bytes(size), expected);
        }
    }

    #[test]
    fn memory_is_read_from_the_kernels_text() {
        let text = "MemTotal:       24576 kB\nMemFree:  1 kB\nMemAvailable:   12288 kB\n";
        assert_eq!(meminfo(text, "MemTotal:"), Some(24576 * 1024));
        assert_eq!(meminfo(text, "MemAvailable:"), Some(12288 * 1024));
        assert_eq!(meminfo(text, "SwapTotal:"), None);
        assert_eq!(meminfo("MemTotal: many kB", "MemTotal:"), None);
    }

    #[test]
    fn the_table_is_aligned() {
        let mut report = Report::default();
        report.line("a", "1");
        report.line("long", "2");
        assert_eq!(report.text(), "a     1\nlong  2\n");
    }

    #[test]
    fn no_line_moves_the_cursor() {
        let mut report = Report::default();
        report.line("", "dir \u{1b}[2J::/x");
        assert_eq!(report.text(), "  dir \\u{1b}[2J::/x\n");
    }

    #[test]
    fn a_compiler_that_fails_is_a_failed_check() {
        assert_eq!(verdict(Err("linker not found\n".to_string())), 1);
        assert_eq!(verdict(Ok(std::time::Duration::from_millis(5))), 0);
    }
}
