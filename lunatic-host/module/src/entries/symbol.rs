//! The part of a function's name that is the same in every build.

use std::fmt::{self, Write as _};

/// The longest name in bytes. A few bytes of a mangled name can stand for a megabyte; no programmer's name is that
/// long.
const NAME_LEN_MAX: usize = 4096;

/// The name of a function without what only distinguishes builds; `None` if nothing is left, or too much.
pub(super) fn stable(mangled: &str) -> Option<String> {
    let mut name = Bounded(String::new());
    // The alternate form has no hashes and disambiguators. Names that Rust has not mangled are unchanged.
    write!(name, "{:#}", rustc_demangle::demangle(mangled)).ok()?;
    let name = name.0;
    // Linkers can demangle, too, but do not remove the hash of Rust's legacy mangling.
    let stable = without_hash(&name).unwrap_or(&name);
    (!stable.is_empty()).then(|| stable.to_owned())
}

/// Removes `::h0123456789abcdef` from the end of a demangled legacy name.
fn without_hash(name: &str) -> Option<&str> {
    let (path, hash) = name.rsplit_once("::h")?;
    let is_hash = hash.len() == 16 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then_some(path)
}

/// A string that cannot become longer than [`NAME_LEN_MAX`].
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > NAME_LEN_MAX {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mangled: &str, expected: &str) {
        assert_eq!(stable(mangled).as_deref(), Some(expected), "{mangled}");
    }

    /// Names as rustc 1.95 makes them, with the hashes of several builds.
    #[test]
    fn what_differs_between_builds_is_left_out() {
        for hash in ["16a60184fecc8e9b", "73d0f0197782ac63"] {
            check(&format!("_ZN1b5enter17h{hash}E"), "b::enter");
            check(&format!("b::enter::h{hash}"), "b::enter");
        }
        for crate_hash in ["daSGdKRVcDK_", "cDYhGFDiVyL_", "1_", "_"] {
            let check = |rest: &str, expected: &str| check(&format!("_RINvCs{crate_hash}1b5enter{rest}"), expected);
            check("NCNvB2_4main0EB2_", "b::enter::<b::main::{closure#0}>");
            check("NCNvB2_4mains_0EB2_", "b::enter::<b::main::{closure#1}>");
            check(
                "NCINvNtB2_5inner7generichE0EB2_",
                "b::enter::<b::inner::generic<u8>::{closure#0}>",
            );
        }
    }

    #[test]
    fn other_names_stay() {
        for name in [
            "main",
            "_start",
            "foo(int, char*)",
            "_ZN3foo3barEv",
            "a::h123",
            "a::h0123456789ABCDEF",
            "_R",
            "_ZN",
        ] {
            check(name, name);
        }
        assert_eq!(stable(""), None);
    }

    #[test]
    fn names_have_an_end() {
        let longest = "a".repeat(NAME_LEN_MAX);
        check(&longest, &longest);
        assert_eq!(stable(&format!("{longest}a")), None);

        // Each type argument is a tuple that holds the one before it twice: 200 bytes that stand for a megabyte.
        let mut bomb = String::from("_RINvC1a1f");
        let mut last = bomb.len() - "_R".len();
        bomb += "TmE";
        for _ in 0..14 {
            let here = bomb.len() - "_R".len();
            bomb += &format!("TB{0}_B{0}_E", base_62(last - 1));
            last = here;
        }
        bomb += "E";
        assert!(rustc_demangle::demangle(&bomb).to_string().len() > NAME_LEN_MAX);
        assert_eq!(stable(&bomb), None);
    }

    fn base_62(number: usize) -> String {
        let digits: Vec<char> = ('0'..='9').chain('a'..='z').chain('A'..='Z').collect();
        let low = digits[number % 62];
        match number / 62 {
            0 => low.to_string(),
            high => format!("{}{low}", base_62(high)),
        }
    }
}
