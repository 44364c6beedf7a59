//! The modules of a crate, and what the paths in them lead to.

use std::collections::{BTreeMap, BTreeSet};

use crate::Tree;
use crate::source::{self, Body, Text};

/// The names that are being looked up, each with the module it is looked up in: what needs itself leads to nothing.
type Trail = Vec<(usize, String)>;

/// The modules of one library or program. The first is its root.
pub(crate) struct Modules {
    pub(crate) all: Vec<Module>,
    /// What could not be read, a sentence each.
    pub(crate) broken: Vec<String>,
}

pub(crate) struct Module {
    /// The file that it is in.
    pub(crate) file: String,
    parent: Option<usize>,
    /// By name. Of two files for two platforms both are here.
    children: BTreeMap<String, Vec<usize>>,
    pub(crate) text: Text,
}

/// What a path leads to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Module(usize),
    /// Something that is defined in this module.
    Item(usize),
}

/// Where the files of a module's children lie.
struct Place {
    file: String,
    folder: String,
}

impl Modules {
    /// Reads the root and all files that it declares directly or indirectly, those for tests left out.
    pub(crate) fn read(tree: &Tree, root: &str) -> Modules {
        let mut modules = Modules {
            all: Vec::new(),
            broken: Vec::new(),
        };
        let place = Place {
            file: root.to_owned(),
            folder: folder_of(root).to_owned(),
        };
        modules.add_file(tree, place, None);
        modules
    }

    fn add_file(&mut self, tree: &Tree, place: Place, parent: Option<usize>) -> usize {
        let text = source::read(tree.text(&place.file)).unwrap_or_else(|error| {
            let line = error.span().start().line;
            self.broken.push(format!(
                "{}:{line}: cannot be read: {error}: write it so that it compiles",
                place.file
            ));
            Text::default()
        });
        self.add(tree, text, place, parent)
    }

    fn add(&mut self, tree: &Tree, mut text: Text, place: Place, parent: Option<usize>) -> usize {
        let children = std::mem::take(&mut text.children);
        let id = self.all.len();
        self.all.push(Module {
            file: place.file.clone(),
            parent,
            children: BTreeMap::new(),
            text,
        });
        for child in children {
            let inner = match child.body {
                Body::Inline(text) => {
                    let folder = format!("{}{}/", place.folder, child.name);
                    self.add(
                        tree,
                        text,
                        Place {
                            file: place.file.clone(),
                            folder,
                        },
                        Some(id),
                    )
                }
                Body::File(path) => match child_place(tree, &place, &child.name, path.as_deref()) {
                    Some(inner) => self.add_file(tree, inner, Some(id)),
                    None => {
                        let (file, line, name) = (&place.file, child.line, &child.name);
                        self.broken
                            .push(format!("{file}:{line}: the file of `mod {name}` is missing: add it"));
                        continue;
                    }
                },
            };
            self.all[id].children.entry(child.name).or_default().push(inner);
        }
        id
    }

    /// The files that the modules are in.
    pub(crate) fn files(&self) -> BTreeSet<&str> {
        self.all.iter().map(|module| module.file.as_str()).collect()
    }

    /// What a path in the module `from` leads to, if that is in this crate. An import leads on to where the item is
    /// defined.
    pub(crate) fn resolve(&self, from: usize, path: &[String]) -> BTreeSet<Target> {
        self.follow(from, path, &mut Trail::new())
    }

    fn follow(&self, from: usize, path: &[String], trail: &mut Trail) -> BTreeSet<Target> {
        let Some((first, rest)) = path.split_first() else {
            return BTreeSet::new();
        };
        match first.as_str() {
            "crate" => self.descend(0, rest, trail),
            "self" => self.descend(from, rest, trail),
            "super" => match self.all[from].parent {
                Some(parent) if rest.first().is_some_and(|next| next == "super") => self.follow(parent, rest, trail),
                Some(parent) => self.descend(parent, rest, trail),
                None => BTreeSet::new(),
            },
            _ => self.find(from, path, trail),
        }
    }

    /// What a path leads to whose beginning has led to a module. A name that is not found there was made by a macro.
    fn descend(&self, module: usize, rest: &[String], trail: &mut Trail) -> BTreeSet<Target> {
        if rest.is_empty() {
            return BTreeSet::from([Target::Module(module)]);
        }
        let found = self.find(module, rest, trail);
        if found.is_empty() {
            BTreeSet::from([Target::Item(module)])
        } else {
            found
        }
    }

    /// What a path leads to that begins with a name in a module's scope.
    fn find(&self, module: usize, path: &[String], trail: &mut Trail) -> BTreeSet<Target> {
        let (first, rest) = path.split_first().expect("callers pass a name");
        let step = (module, first.clone());
        if trail.contains(&step) {
            return BTreeSet::new();
        }
        trail.push(step);
        // What a module defines hides what it imports, and that hides what globs bring.
        let mut found = self.find_defined(module, first, rest, trail);
        if found.is_empty() {
            let uses = self.all[module].text.uses.iter();
            for used in uses.filter(|used| used.name.as_ref() == Some(first)) {
                found.extend(self.follow(module, &[used.path.as_slice(), rest].concat(), trail));
            }
        }
        if found.is_empty() {
            found = self.find_by_globs(module, path, trail);
        }
        trail.pop();
        found
    }

    fn find_defined(&self, module: usize, first: &str, rest: &[String], trail: &mut Trail) -> BTreeSet<Target> {
        let mut found = BTreeSet::new();
        for child in self.all[module].children.get(first).into_iter().flatten() {
            found.extend(self.descend(*child, rest, trail));
        }
        if self.all[module].text.items.contains(first) {
            found.insert(Target::Item(module));
        }
        found
    }

    fn find_by_globs(&self, module: usize, path: &[String], trail: &mut Trail) -> BTreeSet<Target> {
        let mut found = BTreeSet::new();
        for glob in self.all[module].text.uses.iter().filter(|used| used.name.is_none()) {
            for target in self.follow(module, &glob.path, trail) {
                if let Target::Module(other) = target {
                    found.extend(self.find(other, path, trail));
                }
            }
        }
        found
    }
}

/// The file of a module that is declared by name only.
fn child_place(tree: &Tree, parent: &Place, name: &str, path: Option<&str>) -> Option<Place> {
    if let Some(path) = path {
        let file = normal(&format!("{}{path}", folder_of(&parent.file)));
        return tree.files.contains_key(&file).then(|| Place {
            folder: folder_of_children(&file),
            file,
        });
    }
    let name = name.trim_start_matches("r#");
    [
        format!("{}{name}.rs", parent.folder),
        format!("{}{name}/mod.rs", parent.folder),
    ]
    .into_iter()
    .find(|file| tree.files.contains_key(file))
    .map(|file| Place {
        folder: format!("{}{name}/", parent.folder),
        file,
    })
}

/// The folder that a file is in, with a `/` at its end.
fn folder_of(file: &str) -> &str {
    &file[..file.rfind('/').map_or(0, |at| at + 1)]
}

fn folder_of_children(file: &str) -> String {
    match file.strip_suffix("/mod.rs") {
        Some(folder) => format!("{folder}/"),
        None => format!("{}/", file.trim_end_matches(".rs")),
    }
}

/// A path without `..` in it.
fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split("::").map(str::to_owned).collect()
    }

    /// Where a path in `a/src/deep/mod.rs` leads to: a file, with `mod` before it if it is the module itself.
    fn lead(path_text: &str) -> Vec<String> {
        let tree = Tree::made_up(&[
            (
                "a/src/lib.rs",
                "mod deep; mod flat; mod platform { pub struct Inner; } pub use flat::Flat as Renamed;
                #[path = \"odd/place.rs\"] mod odd; macro_rules! make { () => {} } use flat::*; fn root() {}",
            ),
            (
                "a/src/deep/mod.rs",
                "mod child; use super::flat; pub use child::Child; use crate::flat::child::*; use serde::Serialize;
                use looped::looped;",
            ),
            ("a/src/deep/child.rs", "pub struct Child; pub use super::super::root;"),
            ("a/src/flat.rs", "pub mod child; pub struct Flat; pub enum Kind {}"),
            ("a/src/flat/child.rs", "pub struct Globbed;"),
            ("a/src/odd/place.rs", "mod below; pub struct Odd;"),
            ("a/src/odd/place/below.rs", "pub struct Below;"),
        ]);
        let modules = Modules::read(&tree, "a/src/lib.rs");
        assert_eq!(modules.broken, [""; 0]);
        let from = modules
            .all
            .iter()
            .position(|module| module.file == "a/src/deep/mod.rs")
            .unwrap();
        modules
            .resolve(from, &path(path_text))
            .into_iter()
            .map(|target| match target {
                Target::Module(id) => format!("mod {}", modules.all[id].file),
                Target::Item(id) => modules.all[id].file.clone(),
            })
            .collect()
    }

    #[test]
    fn paths_lead_to_where_things_are_defined() {
        for (path, file) in [
            ("crate::flat", "mod a/src/flat.rs"),
            ("crate::flat::Flat", "a/src/flat.rs"),
            ("crate::flat::Kind::First", "a/src/flat.rs"),
            ("crate::flat::made_by_a_macro", "a/src/flat.rs"),
            ("crate::flat::child::Globbed::new", "a/src/flat/child.rs"),
            ("crate::platform::Inner", "a/src/lib.rs"),
            ("crate::Renamed", "a/src/flat.rs"),
            ("crate::deep::Child", "a/src/deep/child.rs"),
            ("crate::Kind", "a/src/flat.rs"),
            ("crate::odd::Odd", "a/src/odd/place.rs"),
            ("crate::odd::below::Below", "a/src/odd/place/below.rs"),
            ("super::root", "a/src/lib.rs"),
            ("self::child::root", "a/src/lib.rs"),
            ("child::Child", "a/src/deep/child.rs"),
            ("flat::Flat", "a/src/flat.rs"),
            ("Child", "a/src/deep/child.rs"),
            ("Globbed", "a/src/flat/child.rs"),
        ] {
            assert_eq!(lead(path), [file], "{path}");
        }
        for path in ["std::fmt", "Serialize", "looped", "x"] {
            assert_eq!(lead(path), [""; 0], "{path}");
        }
    }

    #[test]
    fn missing_and_broken_files_are_told() {
        let tree = Tree::made_up(&[("lib.rs", "\nmod gone;\nmod bad;"), ("bad.rs", "fn {")]);
        assert_eq!(
            Modules::read(&tree, "lib.rs").broken,
            [
                "lib.rs:2: the file of `mod gone` is missing: add it",
                "bad.rs:1: cannot be read: cannot parse string into token stream: write it so that it compiles",
            ]
        );
    }
}
