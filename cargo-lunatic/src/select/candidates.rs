//! The programs that a user may have meant, each as the command that runs it.

use cargo_metadata::{Metadata, Package, Target};

/// More commands than these are counted instead of listed.
const LISTED_MAX: usize = 32;

/// The commands that run programs and examples.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    pub(super) programs: Vec<String>,
    pub(super) examples: Vec<String>,
}

impl Candidates {
    /// The programs and examples of `packages`. Commands name the package where cargo would otherwise not find the
    /// program, or would find several.
    pub(super) fn of(packages: &[&Package], metadata: &Metadata) -> Candidates {
        let default = metadata.workspace_default_packages();
        let commands = |flag: &str, is_kind: fn(&Target) -> bool| {
            let of_package = |package: &&Package| {
                let is_default = default.iter().any(|other| other.id == package.id);
                let command = |target: &Target| {
                    let same = |other: &&Target| is_kind(other) && other.name == target.name;
                    let is_unique = default.iter().flat_map(|package| &package.targets).filter(same).count() == 1;
                    let package = (!is_default || !is_unique).then(|| format!(" -p {}", package.name));
                    let features = target.required_features.join(",");
                    let features = (!features.is_empty()).then(|| format!(" --features {features}"));
                    let [package, features] = [package, features].map(Option::unwrap_or_default);
                    format!("cargo lunatic run{package} {flag} {}{features}", target.name)
                };
                let targets = package.targets.iter().filter(|target| is_kind(target));
                targets.map(command).collect::<Vec<_>>()
            };
            let mut commands: Vec<String> = packages.iter().flat_map(of_package).collect();
            commands.sort();
            commands
        };
        Candidates {
            programs: commands("--bin", Target::is_bin),
            examples: commands("--example", is_program_example),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.programs.is_empty() && self.examples.is_empty()
    }
}

/// An example may be a library.
fn is_program_example(target: &Target) -> bool {
    target.is_example() && target.crate_types.contains(&cargo_metadata::CrateType::Bin)
}

impl std::fmt::Display for Candidates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (title, commands) in [("programs", &self.programs), ("examples", &self.examples)] {
            if commands.is_empty() {
                continue;
            }
            write!(f, "\n{title}:")?;
            for command in commands.iter().take(LISTED_MAX) {
                write!(f, "\n    {command}")?;
            }
            if commands.len() > LISTED_MAX {
                write!(f, "\n    and {} more", commands.len() - LISTED_MAX)?;
            }
        }
        Ok(())
    }
}
