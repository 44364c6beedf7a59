//! `lunatic doctor`: reports how far this machine can confine the host, and the limits of the machine.

use std::fmt::Write as _;
use std::fs;

use lunatic_confine::{Confined, Extent, Paths};
use lunatic_host::cache_folder;

/// One line for each mechanism of this machine, with advice for those that are missing. Changes nothing.
pub fn report() -> String {
    // This confines a thread that ends, not the program.
    let confined = std::thread::spawn(|| lunatic_confine::host(&Paths::default())).join();
    let cache = cache_folder().map_or("none".to_owned(), |folder| folder.display().to_string());
    let memory = fs::read_to_string("/proc/meminfo").ok();
    let limits = fs::read_to_string("/proc/self/limits").ok();
    let limit = |name| {
        limits
            .as_deref()
            .and_then(|text| field(text, name))
            .unwrap_or("unknown")
    };
    let mut text = confinement(&confined.unwrap_or_default());
    for (name, value) in [
        (
            "memory",
            memory
                .as_deref()
                .and_then(|text| field(text, "MemTotal:"))
                .unwrap_or("unknown"),
        ),
        ("address space", limit("Max address space")),
        ("descriptors", limit("Max open files")),
        ("cache", &cache),
    ] {
        line(&mut text, name, value);
    }
    text
}

/// The mechanisms that are active, and advice for those that are missing.
fn confinement(confined: &Confined) -> String {
    let mut text = String::new();
    line(&mut text, "lunatic", env!("CARGO_PKG_VERSION"));
    line(&mut text, "system", &crate::platform());
    let active = |is_active| if is_active { "active" } else { "missing" };
    line(&mut text, "no_new_privs", active(confined.no_new_privileges));
    let version = confined
        .landlock
        .map_or("none".to_owned(), |version| version.to_string());
    let files = match confined.files {
        Extent::Full => format!("active (version {version})"),
        Extent::Part => format!(
            "active in part (version {version}): programs run as they should; Linux 6.12 or newer enforces all of it"
        ),
        Extent::None => format!("missing: a bug of the host could reach all of the user's files; {LANDLOCK}"),
    };
    line(&mut text, "Landlock", &files);
    let calls = if confined.calls {
        "active".to_owned()
    } else {
        format!("missing: a bug of the host could make any system call; {SECCOMP}")
    };
    line(&mut text, "seccomp", &calls);
    text
}

/// How to get what is missing.
#[cfg(target_os = "linux")]
const LANDLOCK: &str = "use Linux 5.13 or newer, with `landlock` in the kernel's parameter `lsm=`";
#[cfg(target_os = "linux")]
const SECCOMP: &str = "use Linux 5.16 or newer on x86-64, ARM64 or RISC-V, and a container that allows `seccomp`";
#[cfg(not(target_os = "linux"))]
const LANDLOCK: &str = "only Linux has it";
#[cfg(not(target_os = "linux"))]
const SECCOMP: &str = "only Linux has it";

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<14} {value}");
}

/// The value after a name at the start of a line, trimmed; of a limit, the soft one.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?.trim();
    Some(rest.split("  ").next().unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_advice() {
        let text = confinement(&Confined::default());
        assert!(
            text.contains("Landlock       missing: ") && text.contains("seccomp        missing: "),
            "{text}"
        );
        let all = Confined {
            no_new_privileges: true,
            files: Extent::Full,
            landlock: Some(7),
            calls: true,
        };
        let text = confinement(&all);
        assert!(
            !text.contains("missing") && text.contains("active (version 7)"),
            "{text}"
        );
    }

    #[test]
    fn fields_are_found() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max open files            1024                 1048576              files     \n";
        assert_eq!(field(text, "Max open files"), Some("1024"));
        assert_eq!(field("MemTotal:        8145320 kB\n", "MemTotal:"), Some("8145320 kB"));
        assert_eq!(field(text, "Max cpu time"), None);
    }
}
