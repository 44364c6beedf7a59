//! The rights of a native program: the current folder, the environment and the network.

use std::ffi::OsString;
use std::path::Path;

use lunatic_host::SystemConfig;
use lunatic_rights::{Dir, flags};

/// Whether cargo has started this process. The user has then built the program, and could run it without a sandbox as
/// well.
pub(crate) fn is_called_by_cargo() -> bool {
    std::env::var_os("CARGO_MANIFEST_DIR").is_some()
}

/// Grants a system the current folder, the environment, and the network unless the caller has given rules for it.
pub(crate) fn trust(config: &mut SystemConfig) {
    add_environment(&mut config.wasi.env, std::env::vars_os());
    add_current_folder(&mut config.wasi.dirs);
    if config.net.is_empty() {
        config.net.push("*".parse().expect("this is a rule"));
    }
}

/// Adds the host's variables, except those that are already set and those that cannot be passed to a program.
pub(crate) fn add_environment(env: &mut Vec<(String, String)>, host: impl Iterator<Item = (OsString, OsString)>) {
    let given = std::mem::take(env);
    for (name, value) in host {
        if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string())
            && !name.is_empty()
            && !name.contains('=')
        {
            env.push((name, value));
        }
    }
    for (name, value) in given {
        flags::set_env(env, name, value);
    }
}

/// Adds the current folder, as `.` and under its own path, for programs that build paths from `CARGO_MANIFEST_DIR`.
pub(crate) fn add_current_folder(dirs: &mut Vec<Dir>) {
    let current = std::env::current_dir().ok();
    let own_name = current.as_deref().and_then(Path::to_str).map(str::to_owned);
    for guest in [Some(".".to_owned()), own_name].into_iter().flatten() {
        if !dirs.iter().any(|dir| dir.guest == guest) {
            dirs.push(Dir {
                host: ".".into(),
                guest,
                read_only: false,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn programs_get_the_hosts_variables() {
        let mut env = vec![("A".to_owned(), "given".to_owned())];
        let host = [("A", "host"), ("B", "2"), ("", "nameless"), ("=C:", "odd")];
        let host = host.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        add_environment(&mut env, host.into_iter());
        assert_eq!(
            env,
            [("A", "given"), ("B", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[cfg(unix)]
    #[test]
    fn variables_that_are_not_unicode_are_left_out() {
        use std::os::unix::ffi::OsStringExt;
        let mut env = Vec::new();
        let host = [
            ("A".into(), OsString::from_vec(vec![0xff])),
            (OsString::from_vec(vec![0xff]), "1".into()),
        ];
        add_environment(&mut env, host.into_iter());
        assert_eq!(env, []);
    }

    #[test]
    fn the_current_folder_is_given_unless_its_names_are_taken() {
        let own = std::env::current_dir().unwrap().to_str().unwrap().to_owned();
        let guests = |dirs: &[Dir]| dirs.iter().map(|dir| dir.guest.clone()).collect::<Vec<_>>();
        let mut dirs = Vec::new();
        add_current_folder(&mut dirs);
        assert_eq!(guests(&dirs), [".".to_owned(), own.clone()]);
        let mut dirs = vec![flags::parse_dir("/tmp::.").unwrap()];
        add_current_folder(&mut dirs);
        assert_eq!(guests(&dirs), [".".to_owned(), own]);
        assert_eq!(dirs[0].host, Path::new("/tmp"));
    }
}
