//! The kernel gets time and random numbers in one place, so that a test can give it others.

use crate::Tree;
use crate::modules::{Module, Modules};

/// The module of the kernel that may ask, without `.rs`.
const ENVIRONMENT: &str = "lunatic-host/kernel/src/environment";

/// What is asked for in one place each: how paths to it end, or begin if they begin with a crate.
const SOURCES: [Source; 3] = [
    Source {
        name: "Instant::now",
        is: |path| path.ends_with(&["Instant", "now"]),
    },
    Source {
        name: "SystemTime::now",
        is: |path| path.ends_with(&["SystemTime", "now"]),
    },
    Source {
        name: "rand::random",
        is: is_random,
    },
];

struct Source {
    name: &'static str,
    is: fn(&[&str]) -> bool,
}

/// Whether a path leads to random numbers that have no seed.
fn is_random(path: &[&str]) -> bool {
    match path {
        ["rand", function] => {
            ["random", "rng", "fill", "make_rng", "thread_rng"].contains(function) || function.starts_with("random_")
        }
        ["rand", "rngs", generator, ..] => ["OsRng", "SysRng", "ThreadRng"].contains(generator),
        ["getrandom", ..] => true,
        _ => false,
    }
}

/// The rule: a sentence for each place outside of the environment, and for each but the first in it.
pub fn check(tree: &Tree) -> Vec<String> {
    let mut violations = Vec::new();
    for member in tree.crates.iter().filter(|member| member.name == "lunatic-kernel") {
        for root in &member.roots {
            let modules = Modules::read(tree, root);
            for source in &SOURCES {
                violations.extend(check_source(&modules, source));
            }
        }
    }
    violations
}

fn check_source(modules: &Modules, source: &Source) -> Vec<String> {
    let mut violations = Vec::new();
    let mut first: Option<String> = None;
    for module in &modules.all {
        let is_environment = module
            .file
            .strip_prefix(ENVIRONMENT)
            .is_some_and(|rest| rest.starts_with(['.', '/']));
        for line in lines_with(module, source) {
            let place = format!("{}:{line}", module.file);
            if !is_environment {
                violations.push(format!(
                    "{place}: asks `{}`, which only {ENVIRONMENT} may: have the environment passed in, and ask that",
                    source.name
                ));
            } else if let Some(first) = &first {
                violations.push(format!(
                    "{place}: asks `{}` a second time: call what does it at {first}",
                    source.name
                ));
            } else {
                first = Some(place);
            }
        }
    }
    violations
}

/// The lines of a module that name a source, also by an import.
fn lines_with(module: &Module, source: &Source) -> Vec<usize> {
    let mut lines = Vec::new();
    for mention in &module.text.mentions {
        let import = module
            .text
            .uses
            .iter()
            .find(|used| used.name.as_ref() == mention.path.first());
        let path: Vec<&str> = match import {
            Some(used) => used.path.iter().chain(&mention.path[1..]).map(String::as_str).collect(),
            None => mention.path.iter().map(String::as_str).collect(),
        };
        if (source.is)(&path) {
            lines.push(mention.line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(timers: &str, environment: &str) -> Vec<String> {
        let tree = Tree::made_up(&[
            ("lunatic-host/kernel/src/lib.rs", "mod environment; mod timers;"),
            ("lunatic-host/kernel/src/environment.rs", environment),
            ("lunatic-host/kernel/src/timers.rs", timers),
        ]);
        check(&tree.with("lunatic-kernel", "lunatic-host/kernel", &[]))
    }

    const GOOD: &str =
        "use std::time::Instant;\nfn now() -> Instant { Instant::now() }\nfn seed() { rand::random() }\n";

    #[test]
    fn one_place_each_holds() {
        let tests = "use std::time::Instant; #[cfg(test)] mod tests { fn f() { Instant::now() } }";
        assert_eq!(check_text(tests, GOOD), [""; 0]);
    }

    #[test]
    fn others_may_not_ask() {
        for (timers, name) in [
            ("fn f() {\n std::time::Instant::now() }", "Instant::now"),
            (
                "use std::time::Instant as Clock; fn f() {\n Clock::now() }",
                "Instant::now",
            ),
            (
                "use std::time; fn f() {\n dbg!(time::SystemTime::now()) }",
                "SystemTime::now",
            ),
            ("fn f() {\n x.unwrap_or_else(std::time::Instant::now) }", "Instant::now"),
            ("use rand::random; fn f() {\n random::<u64>() }", "rand::random"),
            ("use rand::rngs::SysRng; fn f() {\n SysRng.fill() }", "rand::random"),
        ] {
            assert_eq!(
                check_text(timers, GOOD),
                [format!(
                    "lunatic-host/kernel/src/timers.rs:2: asks `{name}`, which only lunatic-host/kernel/src/environment \
                     may: have the environment passed in, and ask that"
                )]
            );
        }
    }

    #[test]
    fn nor_may_the_environment_in_two_places() {
        assert_eq!(
            check_text("", &format!("{GOOD}fn again() {{ Instant::now() }}")),
            [
                "lunatic-host/kernel/src/environment.rs:4: asks `Instant::now` a second time: call what does it at \
              lunatic-host/kernel/src/environment.rs:2"
            ]
        );
    }
}
