//! Recognises the text that a panicking Rust guest writes to its standard error.
//!
//! The default panic hook of Rust's std writes the location and the message, and then the guest traps. Unless this is
//! handled, a user sees that text in one place and the trap's backtrace in another, with output of other processes in
//! between. So the text is held back while it is written. If the process then traps, it becomes part of the crash
//! report ([`PanicCapture::take`]); otherwise it is printed unchanged ([`PanicCapture::release`]).
//!
//! A write is recognised if it begins like this:
//!
//! ```text
//! thread 'NAME' (ID) panicked at FILE:LINE:COLUMN:     (with a newline before it; since Rust 1.89)
//! thread 'NAME' panicked at FILE:LINE:COLUMN:          (since Rust 1.73)
//! thread 'NAME' panicked at 'MESSAGE', FILE:LINE:COLUMN
//! memory allocation of N bytes failed
//! ```
//!
//! A short text arrives in one write, a longer one in one write per part.

use parking_lot::Mutex;
use std::borrow::Cow;
use std::sync::Arc;

/// The most bytes of a first line that may become that of a panic.
const HEADER_LEN_MAX: usize = 4 << 10;

/// The most bytes that are held back. A longer text is printed; the report then repeats its beginning.
pub const HELD_LEN_MAX: usize = 64 << 10;

/// The most bytes of ordinary text that are remembered.
const SAID_LEN_MAX: usize = 512;

/// The most bytes of a message in a report.
const MESSAGE_LEN_MAX: usize = 8 << 10;

/// What a panicking guest reported before it trapped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Panic {
    /// The message, without a trailing newline.
    pub message: String,
    /// `FILE:LINE:COLUMN`. `None` if the allocator failed.
    pub location: Option<String>,
    /// Whether the guest ran out of memory, which is not a panic in the narrow sense.
    pub out_of_memory: bool,
}

/// The panic text of a process, while it is writing one. A clone is another handle of the same capture.
#[derive(Clone, Default)]
pub struct PanicCapture(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    state: State,
    text: Vec<u8>,
    /// The beginning of a text that became too long and was printed.
    printed: Vec<u8>,
    /// The end of everything that was written.
    said: Vec<u8>,
}

impl Held {
    /// Remembers the end of what was written.
    fn remember(&mut self, text: &[u8]) {
        let text = &text[text.len().saturating_sub(SAID_LEN_MAX)..];
        let over = (self.said.len() + text.len()).saturating_sub(SAID_LEN_MAX);
        // The process has paid for this much, and not for the double.
        self.said.reserve_exact(SAID_LEN_MAX - self.said.len());
        self.said.drain(..over);
        self.said.extend_from_slice(text);
    }
}

#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Ordinary text.
    #[default]
    Outside,
    /// The first line is not complete.
    Header,
    /// It is a panic; everything that follows belongs to it.
    Panic,
}

impl PanicCapture {
    /// Takes text on its way to standard error, and returns the part of it, and of what was held, that must be printed
    /// now.
    pub fn filter<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let mut held = self.0.lock();
        held.remember(text);
        if held.state == State::Outside {
            if !begins(text) {
                return Cow::Borrowed(text);
            }
            held.state = State::Header;
        }
        held.text.extend_from_slice(text);
        if held.state == State::Header {
            held.state = header(&held.text);
        }
        match held.state {
            State::Outside => Cow::Owned(std::mem::take(&mut held.text)),
            _ if held.text.len() <= HELD_LEN_MAX => Cow::Borrowed(&[]),
            _ => {
                held.state = State::Outside;
                let text = std::mem::take(&mut held.text);
                held.printed = text[..HELD_LEN_MAX].to_vec();
                Cow::Owned(text)
            }
        }
    }

    /// Returns the bytes that it has allocated.
    pub fn size(&self) -> usize {
        let held = self.0.lock();
        held.text.capacity() + held.printed.capacity()
    }

    /// Called when the process has trapped: returns the panic that it announced, if any. Held text that is part of the
    /// panic will not be printed any more; [`release`](Self::release) returns the rest (such as another hook's text).
    pub fn take(&self) -> Option<Panic> {
        let mut held = self.0.lock();
        if held.state == State::Panic {
            held.state = State::Outside;
            let text = std::mem::take(&mut held.text);
            let (panic, len) = parse(&text);
            held.text = text[len..].to_vec();
            return Some(panic);
        }
        let printed = std::mem::take(&mut held.printed);
        (!printed.is_empty()).then(|| parse(&printed).0)
    }

    /// Returns the held text, which must be printed after all: the process ends and did not trap, or
    /// [`take`](Self::take) has left it.
    pub fn release(&self) -> Vec<u8> {
        let mut held = self.0.lock();
        held.state = State::Outside;
        std::mem::take(&mut held.text)
    }

    /// Returns the end of what the process has written, for the explanation of an exit code.
    pub fn last_words(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().said).into_owned()
    }
}

const THREAD: &[u8] = b"thread '";
const ALLOCATION: &[u8] = b"memory allocation of ";
const PANICKED: &str = " panicked at ";
const NOTES: [&str; 2] = ["\nnote: run with `RUST_BACKTRACE=", "\nstack backtrace:\n"];

/// Whether a write that begins like this may be the beginning of a panic.
fn begins(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\n").unwrap_or(text);
    text.starts_with(THREAD) || text.starts_with(ALLOCATION)
}

/// Classifies `text`, which [`begins`] like a panic.
fn header(text: &[u8]) -> State {
    let text = text.strip_prefix(b"\n").unwrap_or(text);
    let newline = text.iter().position(|byte| *byte == b'\n');
    let line = &text[..newline.unwrap_or(text.len())];
    let panic = match line.starts_with(ALLOCATION) {
        true => newline.is_some() && line.ends_with(b" bytes failed"),
        false => find(line, PANICKED).is_some(),
    };
    match newline {
        _ if panic => State::Panic,
        None if text.len() <= HEADER_LEN_MAX => State::Header,
        _ => State::Outside,
    }
}

/// Parses the text of a panic, and returns how many bytes of it belong to the panic.
fn parse(text: &[u8]) -> (Panic, usize) {
    let start = usize::from(text.starts_with(b"\n"));
    // The start of std's own note, or of the next panic's text; the note is dropped with everything that belongs to it.
    let note = NOTES
        .iter()
        .filter_map(|note| find(&text[start..], note))
        .min()
        .map(|at| start + at);
    let next = find(&text[start..], "\nthread ").map(|at| start + at);
    let body_end = [note, next].into_iter().flatten().min().unwrap_or(text.len());
    let end = match note {
        Some(note) if note == body_end => note_end(text, note),
        _ => body_end,
    };
    let body = String::from_utf8_lossy(&text[start..body_end]);
    let panic = match body.starts_with("memory allocation of ") {
        true => Panic {
            message: cut(&body),
            location: None,
            out_of_memory: true,
        },
        false => {
            let rest = body.split_once(PANICKED).map_or(&*body, |(_, rest)| rest);
            let (message, location) = message_and_location(rest);
            Panic {
                message: cut(message),
                location,
                out_of_memory: false,
            }
        }
    };
    (panic, end)
}

/// The end of std's note that begins at `at`: "stack backtrace:", which is empty in WebAssembly, and lines of "note: ".
fn note_end(text: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    for line in text[end..].split_inclusive(|byte| *byte == b'\n') {
        let ours = [
            &b"note: run with `RUST_BACKTRACE="[..],
            b"stack backtrace:\n",
            b"note: Some details are omitted",
        ];
        if !ours.iter().any(|start| line.starts_with(start)) {
            break;
        }
        end += line.len();
    }
    end
}

fn message_and_location(rest: &str) -> (&str, Option<String>) {
    let (line, message) = rest.split_once('\n').unwrap_or((rest, ""));
    if let Some(location) = line.strip_suffix(':')
        && is_location(location)
    {
        return (message, Some(location.into()));
    }
    // 'MESSAGE', FILE:LINE:COLUMN
    let old = rest
        .trim_end()
        .strip_prefix('\'')
        .and_then(|rest| rest.rsplit_once("', "));
    match old {
        Some((message, location)) if is_location(location) => (message, Some(location.into())),
        _ => (rest, None),
    }
}

/// `FILE:LINE:COLUMN`
fn is_location(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = text.rsplitn(3, ':');
    parts.next().is_some_and(is_number) && parts.next().is_some_and(is_number) && parts.next().is_some()
}

fn cut(message: &str) -> String {
    let message = message.trim_end_matches('\n');
    match message.len() <= MESSAGE_LEN_MAX {
        true => message.into(),
        false => format!("{}…", &message[..message.floor_char_boundary(MESSAGE_LEN_MAX)]),
    }
}

fn find(text: &[u8], what: &str) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOTE: &str = "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";

    /// Writes the pieces; nothing may be printed; then the process traps.
    #[track_caller]
    fn check(pieces: &[&str], message: &str, location: Option<&str>) {
        let capture = PanicCapture::default();
        for piece in pieces {
            assert_eq!(capture.filter(piece.as_bytes()), &b""[..], "{piece:?}");
        }
        let panic = capture.take().expect("a panic");
        assert_eq!((panic.message.as_str(), panic.location.as_deref()), (message, location));
        assert_eq!(String::from_utf8_lossy(&capture.release()), "");
    }

    #[test]
    fn the_last_words_are_remembered_whatever_is_printed() {
        let capture = PanicCapture::default();
        assert_eq!(capture.last_words(), "");
        for piece in ["Error: ", "Os { code: ", "44", " }\n"] {
            capture.filter(piece.as_bytes());
        }
        assert_eq!(capture.last_words(), "Error: Os { code: 44 }\n");
        capture.filter(&[b'x'; 3 * SAID_LEN_MAX]);
        capture.filter(b"end");
        let said = capture.last_words();
        assert!(said.len() == SAID_LEN_MAX && said.ends_with("xend"), "{said}");
    }

    /// Of Rust 1.95.
    #[test]
    fn texts_of_std() {
        check(
            &[
                "\nthread 'main' (1) panicked at panic.rs:3:65:\nindex out of bounds: the len is 3 but the index is 7\n",
                NOTE,
            ],
            "index out of bounds: the len is 3 but the index is 7",
            Some("panic.rs:3:65"),
        );
        check(
            &[
                "\nthread 'main' (1) panicked at a.rs:1:2:\nline one\nline two\n\nline four\n",
                NOTE,
            ],
            "line one\nline two\n\nline four",
            Some("a.rs:1:2"),
        );
        let pieces = [
            "\nthread '",
            "main",
            "' (",
            "1",
            ") panicked at ",
            "a.rs",
            ":",
            "10",
            ":",
            "25",
            ":\n",
            "xxx",
            "\n",
            NOTE,
        ];
        check(&pieces, "xxx", Some("a.rs:10:25"));
        check(
            &[
                "\nthread 'main' (1) panicked at a.rs:1:2:\nwhy\n",
                "stack backtrace:\n",
                "note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.\n",
            ],
            "why",
            Some("a.rs:1:2"),
        );
        // Only the first panic prints the note.
        check(
            &["\nthread '<unnamed>' panicked at a.rs:1:2:\nwhy\n"],
            "why",
            Some("a.rs:1:2"),
        );
    }

    /// Of Rust 1.73 and before.
    #[test]
    fn texts_of_older_std() {
        check(
            &["thread 'main' panicked at src/main.rs:3:5:\nwhy\n", NOTE],
            "why",
            Some("src/main.rs:3:5"),
        );
        check(
            &["thread 'main' panicked at 'why', src/main.rs:3:5\n", NOTE],
            "why",
            Some("src/main.rs:3:5"),
        );
        check(
            &["thread 'main' panicked at 'a\n', b', c.rs:3:5\n"],
            "a\n', b",
            Some("c.rs:3:5"),
        );
    }

    /// An empty message, a message without end, a Windows path.
    #[test]
    fn texts_with_odd_parts() {
        check(&["\nthread 'main' panicked at a.rs:1:2:\n\n"], "", Some("a.rs:1:2"));
        check(&["\nthread 'main' panicked at a.rs:1:2:\nwh"], "wh", Some("a.rs:1:2"));
        check(
            &["\nthread 'main' panicked at C:\\a.rs:1:2:\nwhy\n"],
            "why",
            Some("C:\\a.rs:1:2"),
        );
    }

    #[test]
    fn texts_of_the_allocator() {
        check(
            &["memory allocation of ", "100", " bytes failed\n", NOTE],
            "memory allocation of 100 bytes failed",
            None,
        );
    }

    #[test]
    fn what_follows_a_panic_is_printed() {
        let capture = PanicCapture::default();
        let second =
            "\nthread 'main' panicked at b.rs:1:2:\nagain\nthread panicked while processing panic. aborting.\n";
        capture.filter(b"\nthread 'main' panicked at a.rs:1:2:\nwhy\n");
        capture.filter(NOTE.as_bytes());
        capture.filter(second.as_bytes());
        assert_eq!(capture.take().unwrap().message, "why");
        assert_eq!(String::from_utf8(capture.release()).unwrap(), second);

        capture.filter(b"\nthread 'main' panicked at a.rs:1:2:\nwhy\n");
        capture.filter(NOTE.as_bytes());
        capture.filter(b"the hook says hello\n");
        assert_eq!(capture.take().unwrap().message, "why");
        assert_eq!(capture.release(), b"the hook says hello\n");
    }

    #[test]
    fn other_text_passes() {
        #[track_caller]
        fn check(pieces: &[&str], expected: &[&str]) {
            let capture = PanicCapture::default();
            let got: Vec<_> = pieces
                .iter()
                .map(|p| String::from_utf8(capture.filter(p.as_bytes()).into()).unwrap())
                .collect();
            assert_eq!(got, expected);
            assert_eq!(capture.take(), None);
        }
        check(&["hello\n"], &["hello\n"]);
        check(&["\n", "thread"], &["\n", "thread"]);
        check(&["thread 'a' is done\n"], &["thread 'a' is done\n"]);
        check(&["thread '", "a' is done\n", "x"], &["", "thread 'a' is done\n", "x"]);
        check(&["memory allocation of 3 bytes\n"], &["memory allocation of 3 bytes\n"]);
        check(
            &["x thread 'main' panicked at a.rs:1:2:\n"],
            &["x thread 'main' panicked at a.rs:1:2:\n"],
        );
    }

    #[test]
    fn a_process_that_ends_otherwise_prints_it() {
        let text = b"thread 'main' panicked at a.rs:1:2:\nonly a story\n";
        let capture = PanicCapture::default();
        assert_eq!(capture.filter(text), &b""[..]);
        assert_eq!(capture.release(), text);
        assert_eq!(capture.take(), None);
    }

    #[test]
    fn a_text_that_is_too_long_is_printed() {
        let capture = PanicCapture::default();
        let mut printed = capture.filter(b"\nthread 'main' panicked at a.rs:1:2:\n").len();
        for _ in 0..100 {
            printed += capture.filter(&[b'x'; 1000]).len();
        }
        assert_eq!(printed, 37 + 100_000);
        let panic = capture.take().unwrap();
        assert_eq!(panic.location.as_deref(), Some("a.rs:1:2"));
        assert_eq!(panic.message.len(), MESSAGE_LEN_MAX + "…".len());
    }

    proptest! {
        /// Nothing is lost and nothing is added, whatever comes in whatever pieces.
        #[test]
        fn text_is_printed_once(pieces in prop::collection::vec(piece(), 0..12)) {
            let capture = PanicCapture::default();
            let mut printed = Vec::new();
            for piece in &pieces {
                printed.extend_from_slice(&capture.filter(piece));
            }
            printed.extend(capture.release());
            prop_assert_eq!(printed, pieces.concat());
        }

        /// A trap takes the panic out of what is printed, and nothing after it; no text makes it fail.
        #[test]
        fn any_text_can_be_taken(pieces in prop::collection::vec(piece(), 0..12)) {
            let capture = PanicCapture::default();
            let mut printed = Vec::new();
            for piece in &pieces {
                printed.extend_from_slice(&capture.filter(piece));
            }
            capture.take();
            let rest = capture.release();
            prop_assert!(pieces.concat().starts_with(&printed));
            prop_assert!(pieces.concat().ends_with(&rest));
        }
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20),
            "[a-z\n ]{0,8}".prop_map(String::into_bytes),
            prop::sample::select(vec![
                "\nthread '",
                "thread 'main",
                "' (1) panicked at ",
                "src/a.rs:1:2:\n",
                "' panicked at 'x', a.rs:1:2\n",
                "\n",
                NOTE,
                "stack backtrace:\n",
                "memory allocation of 8 bytes failed\n",
                "\nthread 'm' panicked at a:1:2:\nx\n",
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
        ]
    }
}
