//! Flags that grant a program folders and environment variables.

use std::path::PathBuf;

/// A folder that a program may use, with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dir {
    /// Its path: on the host, or in a configuration, inside the parent's folders.
    pub host: PathBuf,
    /// Its name inside.
    pub guest: String,
    /// Whether nothing in it may be changed.
    pub read_only: bool,
}

/// Why a flag is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlagError {
    /// `--dir` without a folder, or `HOST::` without a name for the guest.
    EmptyDir(String),
    /// `--env` without a name, such as `=VALUE`.
    EmptyName(String),
    /// A zero byte, which ends a string in WASI.
    ZeroByte(String),
    /// `--env NAME` passes on a variable whose value is not UTF-8.
    NotUnicode(String),
}

impl std::fmt::Display for FlagError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::EmptyDir(flag) => {
                write!(
                    f,
                    "`--dir {flag}` names no folder: write `--dir HOST`, `--dir HOST::GUEST` or `--dir HOST::GUEST:ro`"
                )
            }
            Self::EmptyName(flag) => {
                write!(
                    f,
                    "`--env {flag}` names no variable: write `--env NAME` or `--env NAME=VALUE`"
                )
            }
            Self::ZeroByte(flag) => write!(
                f,
                "{flag:?} contains a zero byte, which cannot be passed to a program: remove it"
            ),
            Self::NotUnicode(name) => write!(
                f,
                "the variable {name} is not UTF-8 and cannot be passed on: give its value with `--env {name}=VALUE`"
            ),
        }
    }
}

impl std::error::Error for FlagError {}

/// Parses `HOST` or `HOST::GUEST`, followed by `:ro` if the folder is read-only. Without `GUEST`, the folder has the
/// same name inside.
///
/// # Errors
///
/// [`FlagError::EmptyDir`], [`FlagError::ZeroByte`]. Whether the folder exists is checked when a system starts.
pub fn parse_dir(flag: &str) -> Result<Dir, FlagError> {
    if flag.contains('\0') {
        return Err(FlagError::ZeroByte(flag.into()));
    }
    let (name, read_only) = flag.strip_suffix(":ro").map_or((flag, false), |name| (name, true));
    let (host, guest) = name.split_once("::").unwrap_or((name, name));
    if host.is_empty() || guest.is_empty() {
        return Err(FlagError::EmptyDir(flag.into()));
    }
    Ok(Dir {
        host: PathBuf::from(host),
        guest: guest.into(),
        read_only,
    })
}

/// Parses `NAME=VALUE`, or `NAME` for the caller's value, which `caller` looks up.
///
/// Returns `None` if the caller has no such variable: then the program does not have it either.
///
/// # Errors
///
/// [`FlagError::EmptyName`], [`FlagError::ZeroByte`], [`FlagError::NotUnicode`].
pub fn parse_env(
    flag: &str,
    caller: impl FnOnce(&str) -> Option<std::ffi::OsString>,
) -> Result<Option<(String, String)>, FlagError> {
    if flag.contains('\0') {
        return Err(FlagError::ZeroByte(flag.into()));
    }
    let (name, value) = match flag.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (flag, None),
    };
    if name.is_empty() {
        return Err(FlagError::EmptyName(flag.into()));
    }
    let value = match value {
        Some(value) => value,
        None => match caller(name) {
            Some(value) => value.into_string().map_err(|_| FlagError::NotUnicode(name.into()))?,
            None => return Ok(None),
        },
    };
    Ok(Some((name.into(), value)))
}

/// Sets a variable in a list; replaces the value of an existing one.
pub fn set_env(env: &mut Vec<(String, String)>, name: String, value: String) {
    match env.iter_mut().find(|(known, _)| *known == name) {
        Some((_, old)) => *old = value,
        None => env.push((name, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    #[test]
    fn dir() {
        #[track_caller]
        fn check(flag: &str, expected: Result<(&str, &str), FlagError>) {
            let expected = expected.map(|(host, guest)| Dir {
                host: host.into(),
                guest: guest.into(),
                read_only: flag.ends_with(":ro"),
            });
            assert_eq!(parse_dir(flag), expected);
        }
        check(".", Ok((".", ".")));
        check("/srv/data", Ok(("/srv/data", "/srv/data")));
        check("data::/", Ok(("data", "/")));
        check("a:b::c", Ok(("a:b", "c")));
        check("a::b::c", Ok(("a", "b::c")));
        check("a::b:ro", Ok(("a", "b")));
        check("a:ro", Ok(("a", "a")));
        check(":ro", Err(FlagError::EmptyDir(":ro".into())));
        check("", Err(FlagError::EmptyDir("".into())));
        check("::/", Err(FlagError::EmptyDir("::/".into())));
        check("data::", Err(FlagError::EmptyDir("data::".into())));
        check("a\0b", Err(FlagError::ZeroByte("a\0b".into())));
    }

    #[test]
    fn env() {
        #[track_caller]
        fn check(flag: &str, expected: Result<Option<(&str, &str)>, FlagError>) {
            let caller = |name: &str| (name == "HOME").then(|| OsString::from("/home/ada"));
            let expected = expected.map(|pair| pair.map(|(name, value)| (name.into(), value.into())));
            assert_eq!(parse_env(flag, caller), expected);
        }
        check("A=1", Ok(Some(("A", "1"))));
        check("A=", Ok(Some(("A", ""))));
        check("A=b=c", Ok(Some(("A", "b=c"))));
        check("HOME", Ok(Some(("HOME", "/home/ada"))));
        check("UNSET", Ok(None));
        check("", Err(FlagError::EmptyName("".into())));
        check("=x", Err(FlagError::EmptyName("=x".into())));
        check("A=\0", Err(FlagError::ZeroByte("A=\0".into())));
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_unicode() {
        use std::os::unix::ffi::OsStringExt;
        let got = parse_env("A", |_| Some(OsString::from_vec(vec![0xff])));
        assert_eq!(got, Err(FlagError::NotUnicode("A".into())));
    }

    #[test]
    fn the_last_value_of_a_variable_counts() {
        let mut env = vec![("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())];
        set_env(&mut env, "A".into(), "3".into());
        set_env(&mut env, "C".into(), "4".into());
        assert_eq!(
            env,
            [("A", "3"), ("B", "2"), ("C", "4")].map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
    }
}
