//! Support for `runner = "lunatic"` in cargo's configuration: tells test programs from others.

use std::ffi::OsStr;
use std::path::{Component, Path};

/// Targets whose programs cargo can run with `lunatic`.
const TARGETS: [&str; 4] = [
    "wasm32-wasip1",
    "wasm32-wasip2",
    "wasm32-wasi",
    "wasm32-unknown-unknown",
];

/// Whether cargo has called with a test program: cargo sets a variable that names the package, and the file lies where
/// cargo builds tests. Benchmarks lie there as well, but are called with `--bench`.
pub fn is_test(file: &Path, args: &[String]) -> bool {
    crate::trust::is_called_by_cargo() && lies_among_tests(file) && !args.iter().any(|arg| arg == "--bench")
}

/// Whether a path ends in `TARGET/PROFILE/deps/NAME.wasm`.
fn lies_among_tests(file: &Path) -> bool {
    let mut folders = file.components().rev().skip(1).map(Component::as_os_str);
    file.extension() == Some(OsStr::new("wasm"))
        && folders.next() == Some(OsStr::new("deps"))
        && folders.next().is_some()
        && folders
            .next()
            .is_some_and(|target| TARGETS.iter().any(|known| target == *known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_lie_where_cargo_builds_them() {
        for (path, expected) in [
            ("/a/target/wasm32-wasip1/debug/deps/x-0123.wasm", true),
            ("/a/target/wasm32-wasip2/debug/deps/x-0123.wasm", true),
            ("target/wasm32-wasi/release/deps/x.wasm", true),
            ("/elsewhere/wasm32-wasip1/bench/deps/x.wasm", true),
            ("/a/target/wasm32-wasip1/debug/x.wasm", false),
            ("/a/target/wasm32-wasip1/debug/examples/x.wasm", false),
            ("/a/target/x86_64-unknown-linux-gnu/debug/deps/x.wasm", false),
            ("/a/target/wasm32-wasip1/debug/deps/x", false),
            ("deps/x.wasm", false),
        ] {
            assert_eq!(lies_among_tests(Path::new(path)), expected, "{path}");
        }
    }
}
