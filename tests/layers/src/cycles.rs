//! No large cycle of files inside the kernel and inside the host.
//!
//! An arrow goes from a file that imports or names something to the file that defines it. A re-export (`pub use`) only
//! passes a name on: the arrow goes from the file that uses the name to the file that defines the item. `mod child` is
//! no arrow, and neither is the import of a module whose items are not used.

use std::collections::BTreeMap;

use crate::graph::{self, Arrow, Cut};
use crate::modules::{Modules, Target};
use crate::{Crate, Tree};

/// The crates that the rule holds for.
const CRATES: [&str; 2] = ["lunatic-kernel", "lunatic-host"];

/// How many files may use each other in a circle: enough for one mechanism and its parts.
const FILES_MAX: usize = 8;

/// How many arrows of a cut are named. One who has to remove more has to redesign.
const NAMED_MAX: usize = 12;

/// The arrows between the files of a crate.
pub struct Arrows {
    files: Vec<String>,
    /// What each arrow is made of.
    uses: BTreeMap<Arrow, FirstUse>,
}

/// The first use that makes an arrow, and how many there are.
struct FirstUse {
    line: usize,
    path: String,
    count: usize,
}

/// The rule: a sentence for each cycle that is too large.
pub fn check(tree: &Tree) -> Vec<String> {
    let mut violations = Vec::new();
    for member in tree
        .crates
        .iter()
        .filter(|member| CRATES.contains(&member.name.as_str()))
    {
        for root in &member.roots {
            let modules = Modules::read(tree, root);
            violations.extend(modules.broken.iter().cloned());
            violations.extend(Arrows::of(&modules).too_large(member));
        }
    }
    violations
}

impl Arrows {
    pub(crate) fn of(modules: &Modules) -> Arrows {
        let files: Vec<String> = modules.files().into_iter().map(str::to_owned).collect();
        let mut arrows = Arrows {
            files,
            uses: BTreeMap::new(),
        };
        for (id, module) in modules.all.iter().enumerate() {
            // A re-export is no use: whoever uses the name is found by it.
            for used in module.text.uses.iter().filter(|used| !used.is_reexport) {
                for target in modules.resolve(id, &used.path) {
                    match target {
                        Target::Module(_) if used.name.is_some() => {}
                        Target::Module(to) | Target::Item(to) => arrows.add(modules, id, to, used.line, &used.path),
                    }
                }
            }
            for mention in &module.text.mentions {
                for target in modules.resolve(id, &mention.path) {
                    if let Target::Item(to) = target {
                        arrows.add(modules, id, to, mention.line, &mention.path);
                    }
                }
            }
        }
        arrows
    }

    fn add(&mut self, modules: &Modules, from: usize, to: usize, line: usize, path: &[String]) {
        let file = |id: usize| {
            self.files
                .binary_search(&modules.all[id].file)
                .expect("all files are there, sorted")
        };
        let arrow = (file(from), file(to));
        if arrow.0 == arrow.1 {
            return;
        }
        let first = self.uses.entry(arrow).or_insert_with(|| FirstUse {
            line,
            path: path.join("::"),
            count: 0,
        });
        first.count += 1;
        if line < first.line {
            (first.line, first.path) = (line, path.join("::"));
        }
    }

    /// The components with more than one file, the largest first.
    fn components(&self) -> Vec<Vec<usize>> {
        let arrows: Vec<_> = self.uses.keys().copied().collect();
        let mut components = graph::components(self.files.len(), &arrows);
        components.retain(|component| component.len() > 1);
        components.iter_mut().for_each(|component| component.sort_unstable());
        components
    }

    /// The arrows inside a component.
    fn inside(&self, component: &[usize]) -> Vec<Arrow> {
        self.uses
            .keys()
            .copied()
            .filter(|(from, to)| component.contains(from) && component.contains(to))
            .collect()
    }

    fn too_large(&self, member: &Crate) -> Vec<String> {
        let components = self.components();
        components
            .iter()
            .filter(|component| component.len() > FILES_MAX)
            .map(|component| self.describe(member, component))
            .collect()
    }

    /// Says where to cut a cycle that is too large, and which files are in it.
    fn describe(&self, member: &Crate, component: &[usize]) -> String {
        let arrows = self.inside(component);
        let (mut cut, advice) = match graph::cut(self.files.len(), &arrows, FILES_MAX, NAMED_MAX) {
            Cut::AnyOf(cut) => (cut, "remove any one of these"),
            Cut::AllOf(cut) => (cut, "remove all of these"),
            Cut::Beginning(cut) => (cut, "remove many arrows, these first"),
        };
        // First those that cost least to remove: an arrow that is new has few places, too.
        cut.sort_by_key(|arrow| self.uses[arrow].count);
        let mut named: Vec<_> = cut.iter().take(NAMED_MAX).map(|arrow| self.name(*arrow)).collect();
        if cut.len() > NAMED_MAX {
            named.push(format!("… and {} more", cut.len() - NAMED_MAX));
        }
        let first = self.uses[&cut[0]].line;
        let source = format!("{}src/", member.folder());
        let files: Vec<_> = component
            .iter()
            .map(|file| self.files[*file].trim_start_matches(source.as_str()))
            .collect();
        format!(
            "{}:{first}: closes a cycle of {} files and {} arrows in `{}`, where {FILES_MAX} files are allowed: {advice}, \
             by moving what is used to a file below both, or by passing it in:\n    {}\n  The files: {}",
            self.files[cut[0].0],
            component.len(),
            arrows.len(),
            member.name,
            named.join("\n    "),
            files.join(", "),
        )
    }

    fn name(&self, arrow: Arrow) -> String {
        let FirstUse { line, path, count } = &self.uses[&arrow];
        let more = if *count > 1 {
            format!(" ({count} places)")
        } else {
            String::new()
        };
        format!(
            "{}:{line} uses `{path}` of {}{more}",
            self.files[arrow.0], self.files[arrow.1]
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crate with a chain of files `f0` … `f9`, each of which uses the next, and one more text at the end of one.
    fn chain(file: &str, addition: &str) -> Tree {
        let mut files = vec![
            (
                "k/src/lib.rs".to_owned(),
                (0..10).map(|i| format!("mod f{i};\n")).collect::<String>(),
            ),
            ("k/src/f9/part.rs".to_owned(), "pub struct Part;\n".to_owned()),
        ];
        for i in 0..9 {
            files.push((
                format!("k/src/f{i}.rs"),
                format!("use crate::f{}::item;\npub fn item() {{}}\n", i + 1),
            ));
        }
        files.push((
            "k/src/f9/mod.rs".to_owned(),
            "mod part;\npub use part::Part;\npub fn item() {}\n".to_owned(),
        ));
        for (path, text) in &mut files {
            if path == file {
                text.push_str(addition);
            }
        }
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        Tree::made_up(&files).with("lunatic-kernel", "k", &[])
    }

    fn check_one(file: &str, addition: &str, expected: &[&str]) {
        let violations = check(&chain(file, addition));
        assert_eq!(violations.len(), 1, "{violations:?}");
        for part in expected {
            assert!(violations[0].contains(part), "{part} in {}", violations[0]);
        }
    }

    #[test]
    fn a_chain_and_a_small_cycle_hold() {
        assert_eq!(check(&chain("", "")), [""; 0]);
        assert_eq!(
            check(&chain("k/src/f9/mod.rs", "use crate::f2::item as other;")),
            [""; 0]
        );
    }

    #[test]
    fn an_arrow_that_closes_a_large_cycle_is_named() {
        for (file, addition, line) in [
            ("k/src/f9/mod.rs", "use crate::f0::item as other;", 4),
            ("k/src/f9/mod.rs", "\nfn other() { super::f1::item() }", 5),
        ] {
            let arrow = format!("{file}:{line} uses `");
            check_one(
                file,
                addition,
                &[
                    "closes a cycle of",
                    "`lunatic-kernel`, where 8 files are allowed",
                    &arrow,
                ],
            );
        }
    }

    #[test]
    fn a_cycle_goes_through_reexports_to_the_defining_file() {
        let mut tree = chain("k/src/f8.rs", "use crate::f9::Part;\n");
        tree.files.insert(
            "k/src/f9/part.rs".to_owned(),
            "pub struct Part;\nuse crate::f0::item;".to_owned(),
        );
        let violations = check(&tree);
        assert!(
            violations[0].contains("k/src/f8.rs:3 uses `crate::f9::Part` of k/src/f9/part.rs"),
            "{violations:?}"
        );
    }

    #[test]
    fn tests_and_reexports_alone_are_no_arrows() {
        assert_eq!(
            check(&chain(
                "k/src/f9/mod.rs",
                "#[cfg(test)] mod tests { use crate::f0::item; }"
            )),
            [""; 0]
        );
        assert_eq!(
            check(&chain(
                "k/src/f9/part.rs",
                "pub use crate::f0::item as other; use super::item;"
            )),
            [""; 0]
        );
    }
}
