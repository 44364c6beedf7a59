//! The flags of the log: which records of a program are written, how, and where.

use std::env;
use std::path::PathBuf;

use anyhow::Context as _;
use lunatic_host::log::{Filter, Format, Log};
use lunatic_host::wasi::Output;

/// The options of the log on the command line.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LogArgs {
    /// Which log records of the program are written: a level (off, error, warn, info, debug, trace), and other levels
    /// for some targets, such as `info,shop::stock=debug` [default: RUST_LOG, or info]
    #[arg(
        id = "log-level",
        long = "log-level",
        value_name = "FILTER",
        help_heading = "Host options"
    )]
    pub level: Option<String>,

    /// The format of log records [default: text]
    #[arg(
        id = "log-format",
        long = "log-format",
        value_enum,
        value_name = "FORMAT",
        help_heading = "Host options"
    )]
    pub format: Option<LogFormat>,

    /// Append log records, and the host's reports about processes, to this file, which SIGHUP reopens [default:
    /// standard error]
    #[arg(
        id = "log-file",
        long = "log-file",
        value_name = "PATH",
        help_heading = "Host options"
    )]
    pub file: Option<PathBuf>,
}

/// The format of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line of text per record
    Text,
    /// One line of JSON per record
    Json,
}

/// The variable that decides which records are logged, unless a flag does.
const VARIABLE: &str = "RUST_LOG";

impl LogArgs {
    /// Opens the log that these flags describe: in their file, or on `stderr` if they name none.
    pub(crate) fn open(&self, stderr: &Output) -> anyhow::Result<Log> {
        let Some(file) = &self.file else {
            return self.on(stderr);
        };
        let log = Log::to_file(file, self.format(), self.filter()?);
        log.with_context(|| format!("--log-file: cannot write to {}", file.display()))
    }

    /// The same on `stderr`, without the file: for tests, each of which has its own log.
    pub(crate) fn on(&self, stderr: &Output) -> anyhow::Result<Log> {
        Ok(Log::new(stderr.clone(), self.format(), self.filter()?))
    }

    fn format(&self) -> Format {
        match self.format {
            Some(LogFormat::Json) => Format::Json,
            Some(LogFormat::Text) | None => Format::Text,
        }
    }

    /// Which records are written.
    fn filter(&self) -> anyhow::Result<Filter> {
        if let Some(level) = &self.level {
            return level.parse().with_context(|| format!("--log-level {level}"));
        }
        let Some(level) = env::var(VARIABLE).ok().filter(|level| !level.is_empty()) else {
            return Ok(Filter::default());
        };
        // The variable may be meant for another program, with a richer syntax.
        Ok(level.parse().unwrap_or_else(|error| {
            eprintln!("note: {VARIABLE} is passed over, as {error}");
            Filter::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_is_an_error_that_names_the_flag() {
        let args = LogArgs {
            level: Some("a=b".into()),
            ..LogArgs::default()
        };
        let error = format!("{:#}", args.on(&Output::discard()).err().unwrap());
        assert!(
            error.contains("--log-level a=b") && error.contains("not a filter"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error_that_names_the_flag() {
        let args = LogArgs {
            file: Some("/no/such/folder/log".into()),
            ..LogArgs::default()
        };
        let error = format!("{:#}", args.open(&Output::discard()).err().unwrap());
        assert!(
            error.contains("--log-file") && error.contains("/no/such/folder/log"),
            "{error}"
        );
    }
}
