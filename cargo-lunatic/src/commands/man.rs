//! `cargo lunatic man`: manual pages.

use std::path::PathBuf;

use crate::error::Error;
use crate::shell::Shell;

/// Write manual pages, one for each command, into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "In ~/.local/share/man/man1, `man` and `cargo help lunatic` find them.")]
pub(super) struct Man {
    /// Folder, which is created if it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Print only errors
    #[arg(short, long)]
    quiet: bool,
}

impl Man {
    pub(super) fn shell(&self) -> Shell {
        Shell::new(self.quiet, None)
    }

    pub(super) fn execute(&self, command: clap::Command) -> Result<i32, Error> {
        let failed = |source| Error::File {
            action: "write manual pages in",
            path: self.folder.clone(),
            source,
        };
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        clap_mangen::generate_to(command, &self.folder).map_err(failed)?;
        self.shell()
            .status("Created", format!("manual pages in `{}`", self.folder.display()));
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::commands::Cli;

    #[test]
    fn there_is_a_page_for_every_command() {
        let folder = tempfile::tempdir().unwrap();
        let man = Man {
            folder: folder.path().join("man/man1"),
            quiet: true,
        };
        assert_eq!(man.execute(Cli::command()).unwrap(), 0);
        for (page, part) in [
            ("cargo-lunatic.1", "cargo\\-lunatic\\-doctor"),
            ("cargo-lunatic-run.1", "\\-\\-example"),
            ("cargo-lunatic-new.1", "\\-\\-template"),
        ] {
            let text = std::fs::read_to_string(man.folder.join(page)).unwrap();
            assert!(text.contains(part), "{page}: {part}: {text}");
        }
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let man = Man {
            folder: file,
            quiet: true,
        };
        let error = man.execute(Cli::command()).unwrap_err().to_string();
        assert!(error.starts_with("cannot write manual pages in `"), "{error}");
    }
}
