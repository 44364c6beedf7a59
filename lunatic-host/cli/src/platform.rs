//! The platform that this program was built for, and how far Lunatic is tested there.

use std::env::consts::{ARCH, OS};

/// Returns the operating system and the processor, for `doctor`, with a note unless all tests of Lunatic run there.
pub fn platform() -> String {
    describe(OS, ARCH)
}

fn describe(system: &str, processor: &str) -> String {
    let note = match (system, processor) {
        ("linux", "x86_64") => return format!("{system} {processor}"),
        ("linux", "aarch64") => "its tests run in an emulator, and only some of them",
        ("macos", _) => {
            "the compiler has checked Lunatic for it, but no test has run; the host is not confined, and knows neither how \
             much memory it uses nor how much is free"
        }
        _ => "Lunatic is not tested here",
    };
    format!("{system} {processor}: {note} (docs/operating.md, Platforms)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_without_tests_say_so() {
        assert_eq!(describe("linux", "x86_64"), "linux x86_64");
        for (system, processor) in [("linux", "aarch64"), ("macos", "aarch64"), ("freebsd", "x86_64")] {
            assert!(describe(system, processor).contains("test"), "{system} {processor}");
        }
    }
}
