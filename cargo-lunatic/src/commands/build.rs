//! `cargo lunatic build`: builds guests, as `cargo build` builds native programs.

use super::current_folder;
use crate::args::{Compile, Selection, WideSelection};
use crate::cargo::{Cargo, Verb};
use crate::error::Error;
use crate::shell::Shell;

/// Build programs for Lunatic
#[derive(Debug, clap::Args)]
pub(super) struct Build {
    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    wide: WideSelection,

    #[command(flatten)]
    compile: Compile,
}

impl Build {
    pub(super) fn shell(&self) -> Shell {
        self.compile.shell()
    }

    pub(super) fn execute(&self) -> Result<i32, Error> {
        let folder = current_folder()?;
        let cargo = Cargo::new(&folder, &self.compile.config, self.shell())?;
        let flags = [self.selection.to_cargo(), self.wide.to_cargo(), self.compile.to_cargo()].concat();
        cargo.call(Verb::Build, &flags)?;
        Ok(0)
    }
}
