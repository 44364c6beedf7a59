//! Arguments of commands that cargo reads itself: all of them are passed on, except the target, which is always set.

use clap::error::ErrorKind;

use crate::args::parse_target;
use crate::shell::Shell;

/// The arguments of `cargo lunatic check`, `clippy` and `doc`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Passed {
    /// Options of the command, which cargo reads
    #[arg(value_name = "OPTIONS", num_args = 0.., allow_hyphen_values = true, help_heading = "Arguments")]
    options: Vec<String>,

    /// What follows a `--` that is the first argument
    #[arg(value_name = "ARGS", last = true, help_heading = "Arguments")]
    rest: Vec<String>,
}

impl Passed {
    /// The arguments for cargo, in the order of the command line.
    ///
    /// # Errors
    ///
    /// If `--target` names anything but the target of guests.
    pub(crate) fn to_cargo(&self) -> Result<Vec<String>, clap::Error> {
        let mut flags = Vec::new();
        let (own, foreign) = self.options.split_at(self.own_len());
        let mut options = own.iter();
        while let Some(option) = options.next() {
            let target = match option.strip_prefix("--target") {
                Some("") => options.next().map(String::as_str).unwrap_or_default(),
                Some(rest) if rest.starts_with('=') => &rest[1..],
                _ => {
                    flags.push(option.clone());
                    continue;
                }
            };
            parse_target(target).map_err(|why| {
                let text = format!("invalid value '{target}' for '--target <TRIPLE>': {why}\n");
                clap::Error::raw(ErrorKind::ValueValidation, text)
            })?;
        }
        flags.extend(foreign.iter().cloned());
        if !self.rest.is_empty() {
            flags.push("--".to_string());
            flags.extend(self.rest.iter().cloned());
        }
        Ok(flags)
    }

    /// The values of `--config`.
    pub(crate) fn config(&self) -> Vec<String> {
        values("--config", self.own())
    }

    pub(crate) fn shell(&self) -> Shell {
        let quiet = self.own().iter().any(|option| option == "-q" || option == "--quiet");
        let color = values("--color", self.own()).pop();
        Shell::new(quiet, color.as_deref())
    }

    /// The options for cargo itself: those before `--`.
    fn own(&self) -> &[String] {
        &self.options[..self.own_len()]
    }

    /// Their number. The command line's parser keeps a `--` among the options.
    fn own_len(&self) -> usize {
        let end = self.options.iter().position(|option| option == "--");
        end.unwrap_or(self.options.len())
    }
}

/// The values that `arguments` give for `flag`, as `--flag VALUE` or `--flag=VALUE`.
pub(crate) fn values(flag: &str, arguments: &[String]) -> Vec<String> {
    let mut values = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix(flag) {
            Some("") => values.extend(arguments.next().cloned()),
            Some(rest) => values.extend(rest.strip_prefix('=').map(str::to_string)),
            None => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        passed: Passed,
    }

    fn parse(line: &str) -> Passed {
        let words = ["check"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words)
            .unwrap_or_else(|error| panic!("{line}: {error}"))
            .passed
    }

    /// Asserts what cargo is given for `line`.
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let passed = parse(line).to_cargo().unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(passed.join(" "), expected, "{line}");
    }

    #[track_caller]
    fn check_as_it_is(line: &str) {
        check(line, line);
    }

    #[test]
    fn everything_is_passed_on_in_its_order() {
        check_as_it_is("");
        check_as_it_is("-p a --bin=b -r -vv");
        check_as_it_is("--tests --message-format json --keep-going -j -1");
        check_as_it_is("--no-deps --open");
        check_as_it_is("--fix --allow-dirty name -- -D warnings --target x");
        check_as_it_is("-- -D warnings");
        check_as_it_is("--release -- -- x");
    }

    #[test]
    fn cargo_judges_flags_that_are_unknown_here() {
        check_as_it_is("--no-such-flag -Zbuild-std=core -x --targets");
    }

    #[test]
    fn the_target_is_left_out_and_others_are_refused() {
        check("--target wasm32-wasip1 -r", "-r");
        check("-r --target=wasm32-wasi --lib", "-r --lib");
        for line in ["--target x86_64-unknown-linux-gnu", "--target=", "--target"] {
            let error = parse(line).to_cargo().unwrap_err();
            assert_eq!(error.exit_code(), 2);
            let text = error.to_string();
            assert!(text.contains("built only for wasm32-wasip1"), "{text}");
        }
    }

    #[test]
    fn values_are_found_in_both_forms() {
        let config = parse("--release --config a=1 --config=b=2 --configuration").config();
        assert_eq!(config, ["a=1", "b=2"]);
        for line in ["--config", "-- --config x", "-r -- --config x"] {
            assert!(parse(line).config().is_empty(), "{line}");
        }
    }
}
