//! The two flags with which guests are compiled: the size of their stack, and how symbols are mangled.
//!
//! Cargo takes rustc's flags from exactly one of four places, the first that is set: `CARGO_ENCODED_RUSTFLAGS`,
//! `RUSTFLAGS`, `target.*.rustflags`, `build.rustflags`. Setting one disables those after it, so this module adds its
//! flags to the place that applies.

use std::ffi::OsString;

use crate::TARGET;
use crate::config::Config;
use crate::environment::Environment;

/// Bytes of stack in each process of a guest, unless the guest's own flags set another size.
///
/// The linker's default is 1 MiB. A process touches only the pages that it needs, but its whole stack lies below its
/// data in the same memory, and the size of this area decides how many processes fit side by side. 256 KiB hold some
/// thousand ordinary calls; a program that recurses deeper sets `-Clink-arg=-zstack-size=BYTES` in its own flags.
pub const DEFAULT_STACK_SIZE: usize = 256 * 1024;

/// Separates flags in `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\u{1f}";

/// How the flags reach cargo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// The user's own flags already contain everything.
    Nothing,
    /// In this environment variable, which holds the user's flags and ours.
    Variable(&'static str, OsString),
    /// In this `--config` argument, which cargo merges with its files.
    Config(String),
}

/// One of our flags.
struct Flag {
    text: String,
    /// If the user's flags contain this, alone or within an argument, the user has set the flag.
    set_by: &'static str,
}

/// Our flags, which the workspace's configuration may contain as well.
fn ours() -> [Flag; 2] {
    [
        Flag {
            text: format!("-Clink-arg=-zstack-size={DEFAULT_STACK_SIZE}"),
            set_by: "stack-size=",
        },
        // With the older mangling, all spawned closures have the same name, because it drops the types of a function:
        // reports could not tell them apart, and none of them could be found in another version of the module.
        Flag {
            text: "-Csymbol-mangling-version=v0".into(),
            set_by: "symbol-mangling-version=",
        },
    ]
}

/// Those of our flags that the user's flags do not set.
fn missing_in(flags: &str) -> Vec<String> {
    ours()
        .into_iter()
        .filter(|flag| !flags.contains(flag.set_by))
        .map(|flag| flag.text)
        .collect()
}

/// Finds the place that applies, and adds the missing flags to it.
pub(crate) fn carrier(config: &Config, env: &Environment) -> Carrier {
    for (name, separator) in [("CARGO_ENCODED_RUSTFLAGS", SEPARATOR), ("RUSTFLAGS", " ")] {
        // A variable that is set but empty still applies.
        if let Some(mut flags) = env.get(name) {
            let missing = missing_in(&flags.to_string_lossy());
            if missing.is_empty() {
                return Carrier::Nothing;
            }
            for flag in missing {
                if !flags.is_empty() {
                    flags.push(separator);
                }
                flags.push(flag);
            }
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
    let missing = missing_in(&flags.join(" "));
    if missing.is_empty() {
        return Carrier::Nothing;
    }
    Carrier::Config(format!("{key}=[\"{}\"]", missing.join("\",\"")))
}

/// The flags of a key of the configuration: those of its files and of its variable.
fn of_key(variable: &str, mut flags: Vec<String>, env: &Environment) -> Vec<String> {
    flags.extend(
        env.text(variable)
            .iter()
            .flat_map(|text| text.split_whitespace().map(str::to_string)),
    );
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: &str = "-Clink-arg=-zstack-size=262144";
    const NAMES: &str = "-Csymbol-mangling-version=v0";

    #[track_caller]
    fn check(vars: &[(&str, &str)], config: &[&str], expected: Carrier) {
        let arguments: Vec<String> = config.iter().map(|text| text.to_string()).collect();
        let folder = tempfile::tempdir().unwrap();
        let env = Environment::fixed(vars);
        let config = Config::load(folder.path(), &arguments, &env);
        assert_eq!(carrier(&config, &env), expected, "{vars:?} {arguments:?}");
    }

    fn config(key: &str) -> Carrier {
        Carrier::Config(format!("{key}=[\"{STACK}\",\"{NAMES}\"]"))
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
            Carrier::Variable("RUSTFLAGS", format!("-g {STACK} {NAMES}").into()),
        );
        check(
            &[("RUSTFLAGS", "")],
            &["build.rustflags='-g'"],
            Carrier::Variable("RUSTFLAGS", format!("{STACK} {NAMES}").into()),
        );
        check(
            &[("RUSTFLAGS", "-g"), ("CARGO_ENCODED_RUSTFLAGS", "--cfg\u{1f}a b")],
            &[],
            Carrier::Variable(
                "CARGO_ENCODED_RUSTFLAGS",
                format!("--cfg\u{1f}a b\u{1f}{STACK}\u{1f}{NAMES}").into(),
            ),
        );
    }

    #[test]
    fn what_the_user_sets_stays() {
        check(
            &[("RUSTFLAGS", "-C link-arg=-zstack-size=65536")],
            &[],
            Carrier::Variable("RUSTFLAGS", format!("-C link-arg=-zstack-size=65536 {NAMES}").into()),
        );
        check(
            &[(
                "CARGO_ENCODED_RUSTFLAGS",
                "-C\u{1f}link-args=-z stack-size=65536\u{1f}-Csymbol-mangling-version=legacy",
            )],
            &[],
            Carrier::Nothing,
        );
        check(
            &[],
            &["target.wasm32-wasip1.rustflags=['-Clink-arg=-zstack-size=65536']"],
            Carrier::Config(format!("target.wasm32-wasip1.rustflags=[\"{NAMES}\"]")),
        );
        check(
            &[],
            &["build.rustflags='-Csymbol-mangling-version=legacy'"],
            Carrier::Config(format!("build.rustflags=[\"{STACK}\"]")),
        );
        check(
            &[(
                "CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS",
                "-Clink-arg=-zstack-size=1 -Csymbol-mangling-version=v0",
            )],
            &[],
            Carrier::Nothing,
        );
    }

    #[test]
    fn the_workspaces_own_configuration_says_the_same() {
        let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let config = Config::load(workspace, &[], &Environment::fixed(&[]));
        let flags: Vec<String> = ours().into_iter().map(|flag| flag.text).collect();
        assert_eq!(config.target_rustflags(), flags);
    }

    #[test]
    fn a_stack_size_that_is_not_in_force_does_not_count() {
        let vars = [("RUSTFLAGS", "-g")];
        let config = ["target.wasm32-wasip1.rustflags=['-Clink-arg=-zstack-size=65536']"];
        check(
            &vars,
            &config,
            Carrier::Variable("RUSTFLAGS", format!("-g {STACK} {NAMES}").into()),
        );
    }
}
