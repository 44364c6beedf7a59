//! Explains errors of Rust's std about what WebAssembly does not have: their texts do not say what to use instead.

/// Texts of std, and what to use instead.
const TEXTS: [(&str, &str); 3] = [
    (
        "failed to spawn thread",
        "there are no threads: start a process with `lunatic::Process::spawn`",
    ),
    (
        "no filesystem on wasm",
        "there is no folder for temporary files: give the program one with `--dir HOST::/tmp`, and name it",
    ),
    (
        "operation not supported on this platform",
        "std has no threads, sockets or subprocesses on WebAssembly: use `lunatic::Process` and `lunatic::net`",
    ),
];

/// Explains the error that `text` reports, if it is one of these; in one line.
pub fn explain(text: &str) -> Option<&'static str> {
    TEXTS
        .iter()
        .find_map(|(part, advice)| text.contains(part).then_some(*advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_std_say_what_to_use() {
        const UNSUPPORTED: &str = "Error { kind: Unsupported, message: \"operation not supported on this platform\" }";
        let thread = format!("failed to spawn thread: {UNSUPPORTED}");
        assert!(explain(&thread).unwrap().contains("lunatic::Process::spawn"));
        assert!(explain(UNSUPPORTED).unwrap().contains("lunatic::net"));
        assert!(explain("no filesystem on wasm").unwrap().contains("--dir"));
        assert_eq!(explain("attempt to divide by zero"), None);
    }
}
