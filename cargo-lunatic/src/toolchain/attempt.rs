//! What was tried without success, and what would help.

use std::fmt;

use crate::TARGET;

/// A way that did not lead to a toolchain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// What was tried.
    pub way: String,
    /// Why it failed.
    pub why: String,
    /// The command that would help, if there is one.
    pub help: Option<String>,
}

impl Attempt {
    pub(crate) fn new(way: impl Into<String>, why: impl Into<String>) -> Attempt {
        Attempt {
            way: way.into(),
            why: why.into(),
            help: None,
        }
    }

    pub(super) fn help(mut self, command: impl Into<String>) -> Attempt {
        self.help = Some(command.into());
        self
    }
}

/// There is no toolchain for guests, and none could be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Missing {
    /// The ways that were tried, in order.
    pub attempts: Vec<Attempt>,
}

impl Missing {
    /// Records the attempt if it failed, which ends the search: the error then holds all attempts so far.
    pub(super) fn note<T>(&mut self, result: Result<T, Attempt>) -> Result<T, Missing> {
        result.map_err(|attempt| {
            self.attempts.push(attempt);
            std::mem::take(self)
        })
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot build guests: Rust's standard library for {TARGET} is missing"
        )?;
        for (index, Attempt { way, why, help }) in self.attempts.iter().enumerate() {
            write!(
                f,
                "\n\n  {}. {way}:\n     {}",
                index + 1,
                why.trim_end().replace('\n', "\n     ")
            )?;
            if let Some(help) = help {
                write!(f, "\n     help: {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Missing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_each_way_its_reason_and_what_helps() {
        let missing = Missing {
            attempts: vec![
                Attempt::new("the Rust in use", "it lacks the target"),
                Attempt::new("`rustup`", "no network\nreally none\n").help("`rustup target add x`"),
            ],
        };
        assert_eq!(
            missing.to_string(),
            "cannot build guests: Rust's standard library for wasm32-wasip1 is missing\n\n  \
             1. the Rust in use:\n     it lacks the target\n\n  \
             2. `rustup`:\n     no network\n     really none\n     help: `rustup target add x`"
        );
    }
}
