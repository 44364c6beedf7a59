//! Messages on stderr in cargo's style: a green word, then what is being done.

use std::fmt::Display;
use std::io::IsTerminal;

use lunatic_cli::untrusted::lines;

const GREEN: &str = "\x1b[1;32m";
const RED: &str = "\x1b[1;31m";
#[cfg(target_os = "linux")]
const YELLOW: &str = "\x1b[1;33m";
const RESET: &str = "\x1b[0m";

/// Where progress and errors go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shell {
    quiet: bool,
    color: bool,
}

impl Shell {
    /// Follows `--quiet` and `--color`, otherwise cargo's `CARGO_TERM_COLOR`, otherwise whether stderr is a terminal.
    pub(crate) fn new(quiet: bool, color: Option<&str>) -> Shell {
        let from_env = std::env::var("CARGO_TERM_COLOR").ok();
        let color = match color.or(from_env.as_deref()) {
            Some("always") => true,
            Some("never") => false,
            _ => std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::io::stderr().is_terminal(),
        };
        Shell { quiet, color }
    }

    /// Passes on a line about the progress of another program, unless quiet.
    pub(crate) fn line(&self, line: &str) {
        if !self.quiet {
            eprintln!("{line}");
        }
    }

    /// Reports what is being done: `verb` in cargo's column, then `what`. Prints nothing if quiet.
    pub(crate) fn status(&self, verb: &str, what: impl Display) {
        if !self.quiet {
            let verb = format!("{verb:>12}");
            eprintln!("{} {what}", self.paint(GREEN, &verb));
        }
    }

    /// Warns, unless quiet: the toolchain from Debian's packages, which only Linux has, is all that warns.
    #[cfg(target_os = "linux")]
    pub(crate) fn warning(&self, what: impl Display) {
        if !self.quiet {
            eprintln!("{}: {}", self.paint(YELLOW, "warning"), lines(what));
        }
    }

    /// Reports an error with all its causes, even if quiet.
    pub(crate) fn error(&self, error: &dyn std::error::Error) {
        self.failure(error);
        let mut cause = error.source();
        while let Some(error) = cause {
            eprintln!("\nCaused by:\n  {}", lines(error).to_string().replace('\n', "\n  "));
            cause = error.source();
        }
    }

    /// Reports a failure that has no cause to show, even if quiet.
    pub(crate) fn failure(&self, what: impl Display) {
        eprintln!("{}: {}", self.paint(RED, "error"), lines(what));
    }

    fn paint(&self, color: &str, text: &str) -> String {
        if self.color {
            format!("{color}{text}{RESET}")
        } else {
            text.to_string()
        }
    }
}
