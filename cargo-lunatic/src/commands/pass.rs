//! `cargo lunatic check`, `clippy` and `doc`: cargo's commands of these names, for guests.

use super::current_folder;
use crate::cargo::{Cargo, Verb};
use crate::error::Error;
use crate::passed::Passed;
use crate::shell::Shell;

/// A command of cargo that builds no programs.
#[derive(Debug, clap::Args)]
pub(super) struct Pass {
    #[command(flatten)]
    passed: Passed,
}

impl Pass {
    pub(super) fn shell(&self) -> Shell {
        self.passed.shell()
    }

    pub(super) fn execute(&self, verb: Verb) -> Result<i32, Error> {
        let arguments = self.passed.to_cargo().unwrap_or_else(|error| error.exit());
        let folder = current_folder()?;
        let cargo = Cargo::new(&folder, &self.passed.config(), self.shell())?;
        cargo.call(verb, &arguments)?;
        Ok(0)
    }
}
