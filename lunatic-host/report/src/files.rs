//! Explains errors about files, whose usual texts name neither the path nor the right that is missing.
//!
//! WASI has only numbers for errors, and a program that passes one on says "No such file or directory (os error 44)".
//! If the program has no folder that contains a path, its libc does not even ask the host. So the explanation is made
//! when the program has failed: from the error that it reported, the folders that it has, and the last path that the
//! host refused.

use std::fmt::Write as _;

/// The most bytes of a path that are kept.
pub const PATH_LEN_MAX: usize = 256;

/// The most folders that are named.
const FOLDERS_MAX: usize = 8;

/// Numbers of errors in WASI, `errno` in its `typenames.witx`.
const ACCES: u32 = 2;
const NOENT: u32 = 44;
const PERM: u32 = 63;
const ROFS: u32 = 69;
const NOTCAPABLE: u32 = 76;

/// The last path that a process wanted and did not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The path, within one of its folders.
    pub path: String,
    /// The operation that it may not do, such as "may not open"; `None` if there is no such file.
    pub denied: Option<&'static str>,
}

impl Refusal {
    /// Returns the refusal of a path that a guest wrote; only the beginning of a long path is kept.
    pub fn new(path: &[u8], denied: Option<&'static str>) -> Self {
        let mut path = String::from_utf8_lossy(&path[..path.len().min(PATH_LEN_MAX)]).into_owned();
        // Each byte that is no text has become three.
        path.truncate(path.floor_char_boundary(PATH_LEN_MAX));
        Self { path, denied }
    }
}

/// What a process can reach in the file system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// The names of its folders, as it sees them.
    pub folders: Vec<String>,
    /// Whether its configuration, and not the command line, decides about its folders.
    pub is_configured: bool,
    /// The last path that it did not get.
    pub refused: Option<Refusal>,
}

impl Files {
    /// Returns the bytes that it has allocated.
    pub fn size(&self) -> usize {
        let folders: usize = self.folders.iter().map(|name| size_of::<String>() + name.len()).sum();
        folders + self.refused.as_ref().map_or(0, |refused| refused.path.len())
    }

    /// Explains the error about a file that `text` reports, if it reports one; in one line.
    pub fn explain(&self, text: &str) -> Option<String> {
        match last_error(text)? {
            ACCES | PERM | ROFS | NOTCAPABLE if self.denied().is_some() => self.denied(),
            NOENT | NOTCAPABLE => Some(self.missing()),
            _ => None,
        }
    }

    fn denied(&self) -> Option<String> {
        let refused = self.refused.as_ref()?;
        let (what, path) = (refused.denied?, &refused.path);
        let how = if self.is_configured {
            "`ProcessConfig::dir` with a folder that the parent can change would allow it"
        } else {
            "`--dir HOST::GUEST`, without `:ro`, would allow it"
        };
        Some(format!("it {what} {path:?}: {how}"))
    }

    fn missing(&self) -> String {
        let how = if self.is_configured {
            "with `ProcessConfig::dir`"
        } else {
            "with `--dir .` or `--dir HOST::GUEST`"
        };
        let Some((first, others)) = self.folders.split_first() else {
            return format!("it was given no folder, so it cannot open files: give it one {how}");
        };
        let mut text = format!("it can open files only in its folders: `{first}`");
        for folder in others.iter().take(FOLDERS_MAX - 1) {
            let _ = write!(text, ", `{folder}`");
        }
        if self.folders.len() > FOLDERS_MAX {
            let _ = write!(text, " and {} more", self.folders.len() - FOLDERS_MAX);
        }
        let _ = write!(text, " (give it another {how})");
        if let Some(Refusal { path, denied: None }) = &self.refused {
            let _ = write!(text, "; the last path that it did not find there: {path:?}");
        }
        text
    }
}

/// The number of the last error in a text: as Rust's std displays it, as it shows it for debugging, or as its text for
/// a path that no folder contains.
fn last_error(text: &str) -> Option<u32> {
    let number = |before: &str| {
        let at = text.rfind(before)?;
        let rest = &text[at + before.len()..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        Some((at, rest[..digits].parse().ok()?))
    };
    let no_folder = || Some((text.rfind("a pre-opened file descriptor")?, NOENT));
    let found = [number("(os error "), number("Os { code: "), no_folder()];
    found.into_iter().flatten().max().map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_FOUND: &str = "called `Result::unwrap()` on an `Err` value: Os { code: 44, kind: NotFound, message: \"No such file or directory\" }";

    fn files(folders: &[&str], refused: Option<Refusal>) -> Files {
        Files {
            folders: folders.iter().map(|folder| (*folder).to_owned()).collect(),
            is_configured: false,
            refused,
        }
    }

    #[test]
    fn errors_are_found_in_every_form() {
        for (text, number) in [
            ("No such file or directory (os error 44)", Some(44)),
            (NOT_FOUND, Some(44)),
            (
                "Error: reading the settings\n\nCaused by:\n    Permission denied (os error 2)\n",
                Some(2),
            ),
            ("(os error 44), then (os error 63)", Some(63)),
            ("Os { code: 63, kind: X } after (os error 44)", Some(44)),
            (
                "failed to find a pre-opened file descriptor through which \"x\" could be opened",
                Some(44),
            ),
            ("(os error ", None),
            ("(os error 99999999999999999999)", None),
            ("code 44", None),
            ("", None),
        ] {
            assert_eq!(last_error(text), number, "{text}");
        }
    }

    #[test]
    fn a_process_without_folders_is_told_of_the_flag() {
        let mut none = files(&[], None);
        assert_eq!(
            none.explain(NOT_FOUND).unwrap(),
            "it was given no folder, so it cannot open files: give it one with `--dir .` or `--dir HOST::GUEST`"
        );
        none.is_configured = true;
        assert!(none.explain(NOT_FOUND).unwrap().ends_with("with `ProcessConfig::dir`"));
        assert_eq!(none.explain("connection refused (os error 14)"), None);
        assert_eq!(none.explain("attempt to divide by zero"), None);
    }

    #[test]
    fn a_path_that_is_not_there_is_named() {
        let missing = Refusal::new(b"data.txt", None);
        let found = files(&[".", "/data"], Some(missing)).explain(NOT_FOUND).unwrap();
        assert!(
            found.starts_with("it can open files only in its folders: `.`, `/data` (give it"),
            "{found}"
        );
        assert!(
            found.ends_with("the last path that it did not find there: \"data.txt\""),
            "{found}"
        );
        let many = vec!["x"; 20];
        assert!(
            files(&many, None)
                .explain(NOT_FOUND)
                .unwrap()
                .contains(" and 12 more (give")
        );
    }

    #[test]
    fn a_denial_is_told_for_the_errors_of_denials() {
        let denied = files(&["/ro"], Some(Refusal::new(b"new", Some("may not open"))));
        for number in [2, 63, 69, 76] {
            let text = format!("cannot save: (os error {number})");
            assert_eq!(
                denied.explain(&text).unwrap(),
                "it may not open \"new\": `--dir HOST::GUEST`, without `:ro`, would allow it"
            );
        }
        // Of another kind than the last refusal.
        assert!(
            denied
                .explain(NOT_FOUND)
                .unwrap()
                .starts_with("it can open files only in")
        );
        assert_eq!(files(&["/ro"], None).explain("(os error 2)"), None);
        assert!(files(&["/ro"], None).explain("(os error 76)").is_some());
    }

    #[test]
    fn paths_are_cut_and_need_not_be_text() {
        let long = Refusal::new(&[b'x'; 4096], None);
        assert_eq!(long.path.len(), PATH_LEN_MAX);
        assert_eq!(Refusal::new(b"\xff\x1b", None).path, "\u{fffd}\u{1b}");
    }
}
