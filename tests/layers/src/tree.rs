//! What the rules read: the files of a checkout, and its crates.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, TargetKind};

/// The files and the crates of a checkout.
pub struct Tree {
    /// Texts by path. A path begins at the root of the checkout and has `/` between folders. Files of which no rule
    /// reads the text have none here.
    pub files: BTreeMap<String, String>,
    pub crates: Vec<Crate>,
}

/// A crate of the workspace, as its manifest says.
pub struct Crate {
    pub name: String,
    /// The path of its `Cargo.toml`.
    pub manifest: String,
    /// The files that its library and its programs begin with.
    pub roots: Vec<String>,
    /// The crates that it uses when it is not being tested, optional ones included.
    pub dependencies: Vec<String>,
}

impl Tree {
    /// Reads the checkout that this crate is part of.
    ///
    /// # Panics
    ///
    /// If cargo does not understand the workspace, or a file cannot be read.
    pub fn of_checkout() -> Tree {
        let metadata = MetadataCommand::new()
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .no_deps()
            .other_options(["--offline".to_owned()])
            .exec()
            .expect("cargo metadata reads the workspace");
        let root = metadata.workspace_root.as_std_path();
        let mut files = BTreeMap::new();
        read_folder(root, root, &mut files).expect("the files of the checkout can be read");
        Tree {
            files,
            crates: crates(&metadata),
        }
    }

    /// The text of a file, empty if there is no such file.
    pub fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", String::as_str)
    }
}

/// Adds the files of a folder and of those in it.
fn read_folder(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            // Cargo marks its own output so.
            let is_output = path.ends_with(".git") || path.join("CACHEDIR.TAG").exists();
            if !is_output {
                read_folder(root, &path, files)?;
            }
            continue;
        }
        let is_read = path
            .extension()
            .is_some_and(|extension| ["rs", "md", "toml"].iter().any(|read| extension == *read));
        let text = if is_read {
            fs::read_to_string(&path)?
        } else {
            String::new()
        };
        files.insert(below(root, &path), text);
    }
    Ok(())
}

/// A path from the root of the checkout, with `/` between folders on each platform.
fn below(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).expect("all that is read lies in the checkout");
    path.components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}

fn crates(metadata: &Metadata) -> Vec<Crate> {
    let root = metadata.workspace_root.as_std_path();
    let is_production = |kind: &TargetKind| matches!(kind, TargetKind::Lib | TargetKind::Bin | TargetKind::ProcMacro);
    metadata
        .packages
        .iter()
        .map(|package| Crate {
            name: package.name.to_string(),
            manifest: below(root, package.manifest_path.as_std_path()),
            roots: package
                .targets
                .iter()
                .filter(|target| target.kind.iter().any(is_production))
                .map(|target| below(root, target.src_path.as_std_path()))
                .collect(),
            dependencies: package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind == DependencyKind::Normal)
                .map(|dependency| dependency.name.clone())
                .collect(),
        })
        .collect()
}

impl Crate {
    /// The folder that the manifest lies in, with a `/` at its end.
    pub(crate) fn folder(&self) -> &str {
        self.manifest
            .strip_suffix("Cargo.toml")
            .expect("manifests are named Cargo.toml")
    }
}

#[cfg(test)]
impl Tree {
    /// A tree that is made up of these files, without crates.
    pub(crate) fn made_up(files: &[(&str, &str)]) -> Tree {
        let files = files
            .iter()
            .map(|(path, text)| (path.to_string(), text.to_string()))
            .collect();
        Tree {
            files,
            crates: Vec::new(),
        }
    }

    /// Adds a crate with a library in this folder. Its manifest names what it uses from line 3 on.
    pub(crate) fn with(mut self, name: &str, folder: &str, dependencies: &[&str]) -> Tree {
        let mut manifest = format!("[package] # {name}\n[dependencies]\n");
        for dependency in dependencies {
            manifest.push_str(&format!("{dependency}.workspace = true\n"));
        }
        self.files.insert(format!("{folder}/Cargo.toml"), manifest);
        self.crates.push(Crate {
            name: name.to_owned(),
            manifest: format!("{folder}/Cargo.toml"),
            roots: vec![format!("{folder}/src/lib.rs")],
            dependencies: dependencies.iter().map(|name| name.to_string()).collect(),
        });
        self
    }
}
