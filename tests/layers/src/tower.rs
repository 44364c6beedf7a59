//! The crates form a tower: each uses only what stands below it.
//!
//! The list `tower` of ARCHITECTURE.md is the tower: a line a floor, the highest first. A bar divides the floors that
//! have a host's side and a guest's side; a crate on one side does not use the other. Floors without a bar belong to both.

use crate::listing::{self, DOCUMENT, Entry};
use crate::{Crate, Tree};

/// Crates that may not be used, whichever floor they are on. A `*` at the end of a name stands for anything.
const FORBIDDEN: [Forbidden; 7] = [
    Forbidden {
        by: "lunatic-sys",
        names: &["*"],
        instead: "guests and hosts compile the contract, which has no logic: put the code on one side of it",
    },
    Forbidden {
        by: "lunatic-kernel",
        names: &[
            "wasmtime*",
            "wasmparser*",
            "wiggle*",
            "tokio*",
            "mio",
            "socket2",
            "rustls*",
            "libc",
            "lunatic-rights",
        ],
        instead: "the kernel knows processes only: have it passed in through the body or the environment",
    },
    Forbidden {
        by: "lunatic-rights",
        names: &["wasmtime*", "tokio*", "clap"],
        instead: "rights only decide: enforce them in `lunatic-host`, and parse flags in `lunatic-cli`",
    },
    Forbidden {
        by: "lunatic-module",
        names: &["wasmtime*"],
        instead: "what is done with bytes stands there: compile them in `lunatic-host`",
    },
    Forbidden {
        by: "lunatic-memory",
        names: &["lunatic*"],
        instead: "memory knows nothing of processes: pass it numbers and bytes",
    },
    Forbidden {
        by: "lunatic-confine",
        names: &["lunatic*"],
        instead: "it knows paths and system calls only: pass it the paths",
    },
    Forbidden {
        by: "lunatic-host",
        names: &["lunatic-compat", "clap", "libsqlite3-sys"],
        instead: "the core knows no extension and no command line: use it in `lunatic-compat` or `lunatic-cli`",
    },
];

/// What a crate may not use, and what to do in place of that.
struct Forbidden {
    by: &'static str,
    names: &'static [&'static str],
    instead: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Host,
    Guest,
    Both,
}

/// Where a crate stands.
#[derive(Clone, Copy)]
struct Place {
    /// Counted from the top.
    floor: usize,
    side: Side,
}

/// The rule: a sentence for each dependency that goes up, aside or across, or that is forbidden.
pub fn check(tree: &Tree) -> Vec<String> {
    let entries = match listing::read(tree, "tower") {
        Ok(entries) => entries,
        Err(missing) => return vec![missing],
    };
    let (tower, mut violations) = places(&entries);
    let place_of = |name: &str| {
        tower
            .iter()
            .find(|(placed, _)| *placed == name)
            .map(|(_, place)| *place)
    };
    for user in &tree.crates {
        match place_of(&user.name) {
            Some(place) => violations.extend(check_crate(tree, user, place, &place_of)),
            None => violations.push(format!(
                "{}:1: `{}` has no place in the list `tower` of {DOCUMENT}: write it above all that it uses",
                user.manifest, user.name
            )),
        }
    }
    violations
}

/// Where each crate stands that the list names, and a sentence for each that it names twice.
fn places<'a>(entries: &[Entry<'a>]) -> (Vec<(&'a str, Place)>, Vec<String>) {
    let mut tower: Vec<(&str, Place)> = Vec::new();
    let mut twice = Vec::new();
    for (floor, entry) in entries.iter().enumerate() {
        let sides = match entry.text.split_once('|') {
            Some((host, guest)) => vec![(host, Side::Host), (guest, Side::Guest)],
            None => vec![(entry.text, Side::Both)],
        };
        for (names, side) in sides {
            for name in names.split_whitespace() {
                if tower.iter().any(|(placed, _)| *placed == name) {
                    twice.push(format!(
                        "{DOCUMENT}:{}: `{name}` has two places in the tower: remove one",
                        entry.line
                    ));
                }
                tower.push((name, Place { floor, side }));
            }
        }
    }
    (tower, twice)
}

/// A sentence for each wrong dependency of one crate.
fn check_crate(tree: &Tree, user: &Crate, place: Place, place_of: &dyn Fn(&str) -> Option<Place>) -> Vec<String> {
    let mut violations = Vec::new();
    for used in &user.dependencies {
        let arrow = || {
            format!(
                "{}:{}: `{}` uses `{used}`",
                user.manifest,
                line_of(tree.text(&user.manifest), used),
                user.name
            )
        };
        let is_member = tree.crates.iter().any(|member| member.name == *used);
        if let Some(forbidden) = forbidden(&user.name, used) {
            violations.push(format!("{}, which it may not: {}", arrow(), forbidden.instead));
        } else if is_member && place_of(used).is_some_and(|below| !may_use(place, below)) {
            violations.push(format!(
                "{}, which does not stand below it in the list `tower` of {DOCUMENT}: move what it needs to a lower \
                 crate, or have it passed in from above",
                arrow()
            ));
        }
    }
    violations
}

fn may_use(user: Place, used: Place) -> bool {
    user.floor < used.floor && (user.side == used.side || user.side == Side::Both || used.side == Side::Both)
}

fn forbidden(user: &str, used: &str) -> Option<&'static Forbidden> {
    let matches = |pattern: &&str| match pattern.strip_suffix('*') {
        Some(start) => used.starts_with(start),
        None => used == *pattern,
    };
    FORBIDDEN
        .iter()
        .find(|forbidden| forbidden.by == user && forbidden.names.iter().any(matches))
}

/// The line of a manifest that says that the crate uses another.
fn line_of(manifest: &str, used: &str) -> usize {
    let mut is_normal = false;
    for (line, number) in manifest.lines().zip(1..) {
        if line.starts_with('[') {
            // `[dependencies]`, `[dependencies.NAME]` or `[target.'cfg(…)'.dependencies]`.
            is_normal = line.contains("dependencies") && !line.contains("dev-") && !line.contains("build-");
            if is_normal && line.ends_with(&format!(".{used}]")) {
                return number;
            }
        }
        let is_named = line
            .strip_prefix(used)
            .is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
        if is_normal && (is_named || line.contains(&format!("package = \"{used}\""))) {
            return number;
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOWER: &str = "```text tower\nlunatic-tests\nlunatic-host | lunatic-http\nlunatic-kernel lunatic-memory | \
                         lunatic\nlunatic-sys\n```\n";

    fn good() -> Tree {
        Tree::made_up(&[(DOCUMENT, TOWER)])
            .with("lunatic-tests", "tests", &["lunatic-host", "lunatic-http"])
            .with(
                "lunatic-host",
                "lunatic-host",
                &["wasmtime", "lunatic-kernel", "lunatic-memory"],
            )
            .with("lunatic-http", "lunatic/http", &["lunatic"])
            .with("lunatic-memory", "lunatic-host/memory", &["libc"])
            .with("lunatic", "lunatic", &["lunatic-sys"])
            .with("lunatic-sys", "lunatic-sys", &[])
    }

    fn check_one(tree: Tree, expected: &str) {
        let violations = check(&tree);
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert!(violations[0].starts_with(expected), "{}", violations[0]);
    }

    #[test]
    fn a_tower_holds() {
        assert_eq!(check(&good()), [""; 0]);
    }

    #[test]
    fn arrows_go_neither_up_nor_aside_nor_across() {
        for used in ["lunatic-host", "lunatic-memory", "lunatic"] {
            check_one(
                good().with("lunatic-kernel", "lunatic-host/kernel", &["lunatic-sys", used]),
                &format!(
                    "lunatic-host/kernel/Cargo.toml:4: `lunatic-kernel` uses `{used}`, which does not stand below it"
                ),
            );
        }
    }

    #[test]
    fn forbidden_crates_are_told() {
        check_one(
            good().with(
                "lunatic-kernel",
                "lunatic-host/kernel",
                &["lunatic-sys", "parking_lot", "tokio-util"],
            ),
            "lunatic-host/kernel/Cargo.toml:5: `lunatic-kernel` uses `tokio-util`, which it may not: the kernel knows",
        );
    }

    #[test]
    fn each_crate_has_one_place() {
        check_one(
            good().with("lunatic-dashboard", "dashboard", &[]),
            "dashboard/Cargo.toml:1: `lunatic-dashboard` has no place in the list `tower`",
        );
        let mut twice = good();
        twice.files.insert(
            DOCUMENT.to_owned(),
            TOWER.replace("lunatic-sys", "lunatic-sys lunatic-tests"),
        );
        check_one(twice, "ARCHITECTURE.md:5: `lunatic-tests` has two places in the tower");
    }

    #[test]
    fn a_dependency_is_found_however_it_is_written() {
        for (manifest, line) in [
            ("[dependencies]\nlibc-print = \"1\"\nlibc = \"0.2\"\n", 3),
            (
                "[dev-dependencies]\nlibc = \"1\"\n[dependencies]\nlibc.workspace = true\n",
                4,
            ),
            ("[target.'cfg(unix)'.dependencies]\nlibc={ version = \"1\" }\n", 2),
            ("[dependencies]\n[dependencies.libc]\nversion = \"1\"\n", 2),
            ("[dependencies]\nc = { package = \"libc\" }\n", 2),
        ] {
            assert_eq!(line_of(manifest, "libc"), line, "{manifest}");
        }
    }
}
