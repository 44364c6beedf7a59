//! The one flag that guests are compiled with: the size of their stack.
//!
//! Cargo takes rustc's flags from exactly one of four places: `CARGO_ENCODED_RUSTFLAGS`, `RUSTFLAGS`,
//! `target.*.rustflags`, `build.rustflags`, the first that is there. Setting one silences those after it. So ours is
//! added to the one that is in force.

use std::ffi::OsString;

use crate::TARGET;
use crate::config::Config;
use crate::environment::Environment;

/// Bytes of stack that a guest gets for each of its processes, unless its own flags set another size.
///
/// The linker's default is 1 MiB. A process touches only the pages it needs, but its whole stack lies below its data in
/// the same memory, and the room a process takes decides how many fit side by side. 256 KiB hold some thousand
/// ordinary calls; a program that recurses deeper sets `-Clink-arg=-zstack-size=BYTES` in its own flags.
pub const DEFAULT_STACK_SIZE: usize = 256 * 1024;

/// What separates flags in `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\u{1f}";

/// How the flag reaches cargo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// The user's own flags already set a stack size.
    Nothing,
    /// This environment variable, with the user's flags and ours.
    Variable(&'static str, OsString),
    /// This `--config` argument, which cargo joins with what its files say.
    Config(String),
}

/// The flag itself, as the workspace's configuration may carry it too.
pub(crate) fn stack_size_flag() -> String {
    format!("-Clink-arg=-zstack-size={DEFAULT_STACK_SIZE}")
}

/// Finds the place that is in force and adds the stack size to it.
pub(crate) fn carrier(config: &Config, env: &Environment) -> Carrier {
    for (name, separator) in [("CARGO_ENCODED_RUSTFLAGS", SEPARATOR), ("RUSTFLAGS", " ")] {
        // Set but empty is still in force.
        if let Some(mut flags) = env.get(name) {
            if sets_stack_size(&flags.to_string_lossy()) {
                return Carrier::Nothing;
            }
            if !flags.is_empty() {
                flags.push(separator);
            }
            flags.push(stack_size_flag());
            return Carrier::Variable(name, flags);
        }
    }
    let target = of_key("CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS", config.target_rustflags(), env);
    let build = of_key("CARGO_BUILD_RUSTFLAGS", config.build_rustflags(), env);
    let (key, flags) = if target.is_empty() && !build.is_empty() {
        ("build.rustflags".to_string(), build)
    } else {
        (format!("target.{TARGET}.rustflags"), target)
    };
    if flags.iter().any(|flag| sets_stack_size(flag)) {
        return Carrier::Nothing;
    }
    Carrier::Config(format!("{key}=[\"{}\"]", stack_size_flag()))
}

/// The flags of a key of the configuration: what its files say and what its variable says.
fn of_key(variable: &str, mut flags: Vec<String>, env: &Environment) -> Vec<String> {
    flags.extend(
        env.text(variable)
            .iter()
            .flat_map(|text| text.split_whitespace().map(str::to_string)),
    );
    flags
}

/// `-zstack-size=N`, `-z stack-size=N`, alone or among other link arguments.
fn sets_stack_size(flags: &str) -> bool {
    flags.contains("stack-size=")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "-Clink-arg=-zstack-size=262144";

    #[track_caller]
    fn check(vars: &[(&str, &str)], config: &[&str], expected: Carrier) {
        let arguments: Vec<String> = config.iter().map(|text| text.to_string()).collect();
        let folder = tempfile::tempdir().unwrap();
        let env = Environment::fixed(vars);
        let config = Config::load(folder.path(), &arguments, &env);
        assert_eq!(carrier(&config, &env), expected, "{vars:?} {arguments:?}");
    }

    fn config(key: &str) -> Carrier {
        Carrier::Config(format!("{key}=[\"{OURS}\"]"))
    }

    #[test]
    fn goes_where_the_users_flags_are() {
        let target = config("target.wasm32-wasip1.rustflags");
        check(&[], &[], target.clone());
        check(
            &[],
            &["target.wasm32-wasip1.rustflags=['-Copt-level=1']"],
            target.clone(),
        );
        check(
            &[],
            &["target.x86_64-unknown-linux-gnu.rustflags=['-Copt-level=1']"],
            target.clone(),
        );
        check(&[], &["build.rustflags=['-Dwarnings']"], config("build.rustflags"));
        check(
            &[],
            &[
                "build.rustflags=['-Dwarnings']",
                "target.'cfg(target_os=\"wasi\")'.rustflags='-g'",
            ],
            target.clone(),
        );
        check(
            &[("CARGO_BUILD_RUSTFLAGS", "-Dwarnings")],
            &[],
            config("build.rustflags"),
        );
        check(
            &[
                ("CARGO_BUILD_RUSTFLAGS", "-Dwarnings"),
                ("CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS", "-g"),
            ],
            &[],
            target.clone(),
        );
        check(
            &[("RUSTFLAGS", "-g")],
            &[],
            Carrier::Variable("RUSTFLAGS", format!("-g {OURS}").into()),
        );
        check(
            &[("RUSTFLAGS", "")],
            &["build.rustflags='-g'"],
            Carrier::Variable("RUSTFLAGS", OURS.into()),
        );
        check(
            &[("RUSTFLAGS", "-g"), ("CARGO_ENCODED_RUSTFLAGS", "--cfg\u{1f}a b")],
            &[],
            Carrier::Variable("CARGO_ENCODED_RUSTFLAGS", format!("--cfg\u{1f}a b\u{1f}{OURS}").into()),
        );
    }

    #[test]
    fn the_users_stack_size_stays() {
        check(
            &[("RUSTFLAGS", "-C link-arg=-zstack-size=65536")],
            &[],
            Carrier::Nothing,
        );
        check(
            &[("CARGO_ENCODED_RUSTFLAGS", "-C\u{1f}link-args=-z stack-size=65536")],
            &[],
            Carrier::Nothing,
        );
        check(
            &[],
            &["target.wasm32-wasip1.rustflags=['-Clink-arg=-zstack-size=65536']"],
            Carrier::Nothing,
        );
        check(
            &[],
            &["build.rustflags='-Clink-arg=-zstack-size=65536'"],
            Carrier::Nothing,
        );
        check(
            &[("CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS", "-Clink-arg=-zstack-size=1")],
            &[],
            Carrier::Nothing,
        );
    }

    #[test]
    fn the_workspaces_own_configuration_says_the_same() {
        let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let config = Config::load(workspace, &[], &Environment::fixed(&[]));
        assert!(config.target_rustflags().contains(&stack_size_flag()));
    }

    #[test]
    fn a_stack_size_that_is_not_in_force_does_not_count() {
        let vars = [("RUSTFLAGS", "-g")];
        let config = ["target.wasm32-wasip1.rustflags=['-Clink-arg=-zstack-size=65536']"];
        check(
            &vars,
            &config,
            Carrier::Variable("RUSTFLAGS", format!("-g {OURS}").into()),
        );
    }
}
