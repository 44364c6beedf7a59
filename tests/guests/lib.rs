//! What the guests of the system tests have in common: each is a program with several scenarios, and its first argument
//! names the one to run. A scenario asserts what it has to show, so that a main process that ends normally has shown it.

/// Runs the scenario that the first argument names; `--list` prints the names of all.
///
/// # Panics
///
/// If there is none of that name.
pub fn run(scenarios: &[(&str, fn())]) {
    let name = std::env::args().nth(1).unwrap_or_default();
    if name == "--list" {
        return scenarios.iter().for_each(|(name, _)| println!("{name}"));
    }
    match scenarios.iter().find(|(known, _)| *known == name) {
        Some((_, scenario)) => scenario(),
        None => panic!("there is no scenario {name:?}"),
    }
}

/// The `main` of a program with these functions as its scenarios.
#[macro_export]
macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        fn main() {
            $crate::run(&[$((stringify!($name), $name)),*]);
        }
    };
}
