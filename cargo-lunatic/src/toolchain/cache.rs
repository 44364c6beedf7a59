//! The user's cache folder, which keeps the toolchains that were made. Everything in it can be deleted at any time.

use std::path::{Path, PathBuf};

use crate::environment::Environment;

/// `LUNATIC_CACHE`, otherwise `lunatic` in `XDG_CACHE_HOME`, otherwise `~/.cache/lunatic`.
pub(crate) fn cache_folder(env: &Environment) -> Option<PathBuf> {
    // By its specification, a relative XDG_CACHE_HOME is invalid and must be ignored.
    env.path("LUNATIC_CACHE")
        .and_then(|folder| std::path::absolute(folder).ok())
        .or_else(|| {
            Some(
                env.path("XDG_CACHE_HOME")
                    .filter(|folder| folder.is_absolute())?
                    .join("lunatic"),
            )
        })
        .or_else(|| Some(env.path("HOME")?.join(".cache/lunatic")))
}

/// Total size of all files below `folder`; links are not followed.
pub(crate) fn folder_size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_size(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(vars: &[(&str, &str)], expected: Option<&str>) {
        assert_eq!(
            cache_folder(&Environment::fixed(vars)),
            expected.map(PathBuf::from),
            "{vars:?}"
        );
    }

    #[test]
    fn the_most_particular_variable_wins() {
        let all = [("LUNATIC_CACHE", "/l"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        check(&all, Some("/l"));
        check(&all[1..], Some("/x/lunatic"));
        check(&all[2..], Some("/h/.cache/lunatic"));
        check(
            &[("XDG_CACHE_HOME", "relative"), ("HOME", "/h")],
            Some("/h/.cache/lunatic"),
        );
        check(&[], None);
    }

    #[test]
    fn sizes_add_up() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/one"), [0; 10]).unwrap();
        std::fs::write(folder.path().join("two"), [0; 5]).unwrap();
        assert_eq!(folder_size(folder.path()), 15);
        assert_eq!(folder_size(&folder.path().join("missing")), 0);
    }
}
