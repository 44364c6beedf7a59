//! The source files of a program, and whether they have changed.
//!
//! Beside each program, cargo writes a file with the same name and the ending `.d`: a rule for `make` that lists all
//! sources of the program and of the packages that are in local folders. Changes are found by comparing times and
//! lengths, which needs no service of the operating system and works on every file system.
//!
//! Cargo writes this file only when a build succeeds. Until then, all Rust files beside the known ones count as sources,
//! and so do their folders, so that a file that was missing is noticed. Whatever is in the folder of the build is ignored:
//! the build itself writes there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The state of a file; `None` if it does not exist.
type Stamp = Option<(SystemTime, u64)>;

/// The files of a program, and their state.
pub(crate) struct Sources(BTreeMap<PathBuf, Stamp>);

/// The most files and folders that are looked at beside the known sources.
const NEIGHBOURS_MAX: usize = 10_000;

impl Sources {
    /// The sources of the program in `artifact`, and `others`, in their current state.
    pub(crate) fn of(artifact: &Path, others: &[PathBuf]) -> Self {
        let rule = fs::read_to_string(artifact.with_extension("d")).unwrap_or_default();
        let output = output_folder(artifact);
        let files = in_rule(&rule).into_iter().chain(others.iter().cloned());
        Self::of_files(files.filter(|file| !file.starts_with(output)))
    }

    /// These files in their current state.
    pub(crate) fn of_files(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let stamped = |file: PathBuf| {
            let stamp = stamp(&file);
            (file, stamp)
        };
        Self(files.into_iter().map(stamped).collect())
    }

    /// All Rust files in a folder, and all folders in it.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let mut this = Self(BTreeMap::new());
        this.add_folder(folder);
        this
    }

    /// The same files, and all Rust files in their folders.
    pub(crate) fn with_neighbours(mut self) -> Self {
        let is_source = |file: &&PathBuf| file.extension().is_some_and(|ending| ending == "rs");
        let folders = self.0.keys().filter(is_source).filter_map(|file| file.parent());
        let folders: BTreeSet<PathBuf> = folders.map(Path::to_owned).collect();
        for folder in folders {
            self.add_folder(&folder);
        }
        self
    }

    fn add_folder(&mut self, folder: &Path) {
        let mut folders = vec![folder.to_owned()];
        let mut left = NEIGHBOURS_MAX;
        while let Some(folder) = folders.pop() {
            self.add(folder.clone());
            for entry in fs::read_dir(folder).into_iter().flatten().flatten().take(left) {
                left -= 1;
                let name = entry.file_name();
                // A folder of cargo's output has any name, but says what it is.
                let is_hidden = name.as_encoded_bytes().starts_with(b".");
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && !is_hidden && !entry.path().join("CACHEDIR.TAG").exists() => {
                        folders.push(entry.path());
                    }
                    Ok(kind) if kind.is_file() && !is_hidden && name.as_encoded_bytes().ends_with(b".rs") => {
                        self.add(entry.path());
                    }
                    _ => {}
                }
            }
        }
    }

    fn add(&mut self, file: PathBuf) {
        let stamp = || stamp(&file);
        let stamp = self.0.get(&file).copied().unwrap_or_else(stamp);
        self.0.insert(file, stamp);
    }

    /// After a build that began when the sources were as in `before`: a file that has changed meanwhile has yet to be built.
    pub(crate) fn since(mut self, before: &Self) -> Self {
        for (file, stamp) in &mut self.0 {
            // The build itself may have written this one.
            let is_lock = file.file_name().is_some_and(|name| name == "Cargo.lock");
            if let Some(former) = before.0.get(file).filter(|_| !is_lock) {
                *stamp = *former;
            }
        }
        self
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

/// The folder to which a build writes everything that belongs to an artifact.
fn output_folder(artifact: &Path) -> &Path {
    let folder = artifact.parent().unwrap_or(artifact);
    match folder.file_name() {
        // `target/wasm32-wasip1/debug/examples`
        Some(name) if name == "examples" => folder.parent().unwrap_or(folder),
        _ => folder,
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
        // Not beside the source: what lies in the folder of the build is ignored.
        let (source, artifact) = (folder.path().join("main.rs"), folder.path().join("out/x.wasm"));
        fs::create_dir(folder.path().join("out")).unwrap();
        fs::write(&source, "fn main() {}").unwrap();
        fs::write(folder.path().join("out/x.d"), format!("x.wasm: {}\n", source.display())).unwrap();
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

    #[test]
    fn what_changes_during_a_build_has_yet_to_be_built() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let artifact = file("out/x.wasm");
        fs::create_dir_all(file("out/build")).unwrap();
        let all = ["main.rs", "other.rs", "Cargo.lock", "out/build/generated.rs"].map(file);
        all.iter().for_each(|file| fs::write(file, "").unwrap());
        let rule = all.each_ref().map(|file| file.display().to_string()).join(" ");
        fs::write(file("out/x.d"), format!("x.wasm: {rule}\n")).unwrap();
        let before = Sources::of_files(all.clone());
        for written in &all[2..] {
            fs::write(written, "written by the build").unwrap();
        }
        assert_eq!(Sources::of(&artifact, &[]).since(&before).changed(), None);
        fs::write(&all[1], "saved by the user").unwrap();
        assert_eq!(Sources::of(&artifact, &[]).since(&before).changed(), Some(&*all[1]));
    }

    #[test]
    fn new_files_beside_the_sources_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        for made in ["src/deep", "src/.git", "src/target"] {
            fs::create_dir_all(file(made)).unwrap();
        }
        for written in ["src/main.rs", "src/deep/a.rs", "src/target/CACHEDIR.TAG"] {
            fs::write(file(written), "").unwrap();
        }
        let look = || Sources::of_files([file("src/main.rs")]).with_neighbours();
        for (written, is_seen) in [
            ("src/.git/x.rs", false),
            ("src/target/x.rs", false),
            ("src/new.rs", true),
            ("src/deep/a.rs", true),
            ("src/deep/b.rs", true),
        ] {
            let before = look();
            fs::write(file(written), "mod x;").unwrap();
            assert_eq!(before.changed().is_some(), is_seen, "{written}");
            assert!(look() == look());
        }
        assert!(Sources::in_folder(folder.path()) == Sources::in_folder(folder.path()).with_neighbours());
    }
}
