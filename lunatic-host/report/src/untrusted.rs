//! Texts of guests in messages of the host.
//!
//! Terminals interpret control characters: a guest with such characters in its panic message or file name could move
//! the cursor, set the title of the window, write to the clipboard, or fake a line of the host. Characters that change
//! the direction of text deceive readers in a similar way. Both are escaped, for example as `\u{1b}`. The output that a
//! guest itself writes is not shown by the host, and is not changed.

use std::fmt::{self, Display, Write};

/// Formats a text as one line: line ends and tabs are escaped, too.
pub fn line(text: impl Display) -> impl Display {
    Shown {
        text,
        is_allowed: |_| false,
    }
}

/// Formats a text that may contain several lines, and tabs.
pub fn lines(text: impl Display) -> impl Display {
    Shown {
        text,
        is_allowed: |c| matches!(c, '\n' | '\t'),
    }
}

struct Shown<T> {
    text: T,
    /// Which of the special characters may be in the text.
    is_allowed: fn(char) -> bool,
}

/// Passes on what is written to it, with escapes.
struct Escape<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    is_allowed: fn(char) -> bool,
}

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_allowed = self.is_allowed;
        write!(Escape { out: f, is_allowed }, "{}", self.text)
    }
}

impl Write for Escape<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        let is_escaped = |c| does_something(c) && !(self.is_allowed)(c);
        while let Some(at) = rest.find(is_escaped) {
            let (before, found) = rest.split_at(at);
            let mut chars = found.chars();
            self.out.write_str(before)?;
            for c in chars.next().into_iter().flat_map(char::escape_default) {
                self.out.write_char(c)?;
            }
            rest = chars.as_str();
        }
        self.out.write_str(rest)
    }
}

/// Returns whether this character affects a terminal or the order in which a text is read: C0 and C1, characters that
/// change the direction of text, and those that end a line or a paragraph.
pub fn does_something(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_does_something_is_escaped() {
        for (text, in_a_line, in_lines) in [
            (
                "größe 🦀 `a`\\n \"b\"",
                "größe 🦀 `a`\\n \"b\"",
                "größe 🦀 `a`\\n \"b\"",
            ),
            ("a\nb\tc\r", "a\\nb\\tc\\r", "a\nb\tc\\r"),
            ("\u{1b}]0;x\u{7}", "\\u{1b}]0;x\\u{7}", "\\u{1b}]0;x\\u{7}"),
            (
                "\u{9b}31m\u{7f}\0",
                "\\u{9b}31m\\u{7f}\\u{0}",
                "\\u{9b}31m\\u{7f}\\u{0}",
            ),
            (
                "\u{202e}\u{2066}\u{61c}",
                "\\u{202e}\\u{2066}\\u{61c}",
                "\\u{202e}\\u{2066}\\u{61c}",
            ),
            ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}", "\\u{2028}\\u{2029}"),
        ] {
            assert_eq!(line(text).to_string(), in_a_line);
            assert_eq!(lines(text).to_string(), in_lines);
        }
    }

    /// Characters, of which many are escaped.
    fn text() -> impl Strategy<Value = String> {
        let special = prop::sample::select(vec![
            '\u{1b}', '\u{7}', '\r', '\n', '\t', '\u{85}', '\u{9d}', '\u{200f}', '\u{2067}',
        ]);
        let chars = prop::collection::vec(prop_oneof![special, any::<char>()], 0..30);
        chars.prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn nothing_that_does_something_is_left_and_nothing_else_is_changed(text in text()) {
            let (one, many) = (line(&text).to_string(), lines(&text).to_string());
            prop_assert!(!one.contains(does_something), "{:?}", one);
            prop_assert!(!many.contains(|c| does_something(c) && c != '\n' && c != '\t'), "{:?}", many);
            let kept = |text: &str| text.chars().filter(|c| !does_something(*c)).collect::<String>();
            let escapes = |text: &str| {
                let escape = |c: char| if does_something(c) { c.escape_default().to_string() } else { c.to_string() };
                text.chars().map(escape).collect::<String>()
            };
            prop_assert_eq!(&one, &escapes(&text));
            if kept(&text) == text {
                prop_assert_eq!(&one, &text);
            }
        }
    }
}
