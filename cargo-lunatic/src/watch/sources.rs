//! The source files of a program, and whether they have changed.
//!
//! Beside each program, cargo writes a file with the same name and the ending `.d`: a rule for `make` that lists all
//! sources of the program and of the packages that are in local folders. Changes are found by comparing times and
//! lengths, which needs no service of the operating system and works on every file system.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The state of a file; `None` if it does not exist.
type Stamp = Option<(SystemTime, u64)>;

/// The files of a program, and their state.
pub(crate) struct Sources(BTreeMap<PathBuf, Stamp>);

impl Sources {
    /// The sources of the program in `artifact`, and `others`, in their current state.
    pub(crate) fn of(artifact: &Path, others: &[PathBuf]) -> Self {
        let rule = fs::read_to_string(artifact.with_extension("d")).unwrap_or_default();
        let files = in_rule(&rule).into_iter().chain(others.iter().cloned());
        Self(files.map(|file| (file.clone(), stamp(&file))).collect())
    }

    /// A file that has changed since.
    pub(crate) fn changed(&self) -> Option<&Path> {
        let changed = self.0.iter().find(|(file, before)| stamp(file) != **before);
        changed.map(|(file, _)| file.as_path())
    }

    /// The same files in their current state.
    pub(crate) fn now(&self) -> Self {
        Self(self.0.keys().map(|file| (file.clone(), stamp(file))).collect())
    }
}

impl PartialEq for Sources {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

fn stamp(file: &Path) -> Stamp {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// The files on the right side of a rule. Spaces in paths are escaped with a backslash.
fn in_rule(rule: &str) -> Vec<PathBuf> {
    let right = rule.split_once(": ").map_or("", |(_, right)| right);
    let line = right.lines().next().unwrap_or_default();
    let (mut files, mut file, mut escaped) = (Vec::new(), String::new(), false);
    for letter in line.chars().chain([' ']) {
        match letter {
            '\\' if !escaped => escaped = true,
            ' ' if !escaped => {
                if !file.is_empty() {
                    files.push(PathBuf::from(std::mem::take(&mut file)));
                }
            }
            letter => {
                if escaped && letter != ' ' && letter != '\\' {
                    file.push('\\');
                }
                file.push(letter);
                escaped = false;
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let rule = "/t/x.wasm: /a/main.rs /a/with\\ space.rs C:\\\\b.rs\n\n/a/main.rs:\n";
        let files = ["/a/main.rs", "/a/with space.rs", "C:\\b.rs"].map(PathBuf::from);
        assert_eq!(in_rule(rule), files);
        assert_eq!(in_rule("no rule"), Vec::<PathBuf>::new());
    }

    #[test]
    fn changes_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (source, artifact) = (folder.path().join("main.rs"), folder.path().join("x.wasm"));
        fs::write(&source, "fn main() {}").unwrap();
        fs::write(folder.path().join("x.d"), format!("x.wasm: {}\n", source.display())).unwrap();
        let missing = folder.path().join("missing.toml");
        let sources = Sources::of(&artifact, std::slice::from_ref(&missing));
        assert_eq!(sources.changed(), None);
        fs::write(&source, "fn main() { }").unwrap();
        assert_eq!(sources.changed(), Some(&*source));
        let now = sources.now();
        assert_eq!(now.changed(), None);
        fs::write(&missing, "").unwrap();
        assert_eq!(now.changed(), Some(&*missing));
    }
}
