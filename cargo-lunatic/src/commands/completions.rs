//! `cargo lunatic completions`: scripts that complete its command line in a shell.

use std::io::Write as _;
use std::path::PathBuf;

use clap_complete::Shell;

use crate::error::Error;

/// The name that shells know. Zsh's completion of `cargo lunatic` calls that of `cargo-lunatic`.
const NAME: &str = "cargo-lunatic";

/// Print a script that completes the command line in a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Where to put it:
  bash  cargo lunatic completions bash > ~/.local/share/bash-completion/completions/cargo-lunatic
  fish  cargo lunatic completions fish > ~/.config/fish/completions/cargo-lunatic.fish
  zsh   cargo lunatic completions zsh > DIR/_cargo-lunatic, with a DIR of your fpath

The scripts complete `cargo-lunatic`, which is the same program as `cargo lunatic`. In zsh, they complete both.")]
pub(super) struct Completions {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(&self, command: clap::Command) -> Result<i32, Error> {
        let script = script(self.shell, command);
        std::io::stdout().write_all(&script).map_err(|source| Error::File {
            action: "write",
            path: PathBuf::from("standard output"),
            source,
        })?;
        Ok(0)
    }
}

/// In memory, because the generator panics if it cannot write.
fn script(shell: Shell, mut command: clap::Command) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, NAME, &mut script);
    if shell != Shell::Bash {
        return script;
    }
    // The generator for Bash writes the hyphen of the program's name in two ways, so that subcommands would not be found.
    String::from_utf8_lossy(&script)
        .replace("cargo__subcmd__lunatic", "cargo__lunatic")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, ValueEnum};

    use super::*;
    use crate::commands::Cli;

    #[test]
    fn every_script_knows_the_commands_and_their_flags() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell, Cli::command())).unwrap();
            for part in [NAME, "doctor", "all-targets", "wasm32-wasip1", "template", "library"] {
                // Bash has no descriptions.
                let is_there = script.contains(part) || (*shell == Shell::Bash && part == "wasm32-wasip1");
                assert!(is_there, "{shell}: {part}");
            }
        }
    }

    #[cfg(unix)]
    #[track_caller]
    fn check_bash(words: &[&str], expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("script");
        std::fs::write(&file, script(Shell::Bash, Cli::command())).unwrap();
        let complete = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                        _cargo__lunatic \"$1\" \"${@: -1}\" \"${@: -2:1}\"; echo \"${COMPREPLY[@]}\"";
        let output = std::process::Command::new("bash")
            .args(["--norc", "-c", complete, "bash"])
            .arg(&file)
            .arg(NAME)
            .args(words)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected, "{words:?}");
    }

    #[cfg(unix)]
    #[test]
    fn bash_completes_commands_flags_and_values() {
        check_bash(&["doc"], "doc doctor");
        check_bash(&["new", "--temp"], "--template");
        check_bash(&["new", "--template", "a"], "actor");
        check_bash(&["run", "--all-f"], "--all-features");
        check_bash(&["completions", "z"], "zsh");
    }
}
