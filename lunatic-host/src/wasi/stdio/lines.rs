//! Decides whose turn it is on a stream that many processes write to.
//!
//! The rule: **a process that has begun a line keeps the stream until the line ends**. What others write meanwhile is
//! held, and follows in the order in which their lines were completed. Nothing is added and nothing is lost: the output
//! is always an interleaving of what the processes wrote, each in its own order.
//!
//! A line cannot be kept forever. The keeper loses it when it ends, when more than [`HELD_LEN_MAX`] bytes are held, or
//! when something has been held for [`HOLD_MAX`] (the caller asks for [`Lines::deadline`]). Then everything that is
//! held is written as it is. So a prompt without a newline is visible immediately, or after [`HOLD_MAX`] at the latest.
//!
//! This is only the state machine: it says what may be written, and never writes.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// The longest that text waits for another process to finish its line.
pub(super) const HOLD_MAX: Duration = Duration::from_millis(100);

/// The most bytes that wait for another process to finish its line, if nothing else is said.
pub(super) const HELD_LEN_MAX: usize = 256 << 10;

/// What a piece of text takes up besides its bytes, which counts towards the bytes that wait.
const PIECE_SIZE: usize = 96;

/// Identifies a writing process; unique on one stream.
pub(super) type WriterId = u64;

/// Complete text that waits for the keeper to finish its line.
struct Held {
    text: Vec<u8>,
    /// A report of the host: starts on a line of its own, after an inserted newline if necessary.
    report: bool,
}

/// Which process is in the middle of a line, and what waits for it.
///
/// Invariant: nothing is held and nobody waits unless there is a keeper.
pub(super) struct Lines {
    /// The most bytes that are held.
    held_max: usize,
    keeper: Option<WriterId>,
    held: Vec<Held>,
    /// Lines that others than the keeper have begun.
    waiting: HashMap<WriterId, Vec<u8>>,
    /// The order in which they were begun. May contain writers that no longer wait.
    order: VecDeque<WriterId>,
    /// Bytes in `held` and `waiting`.
    held_len: usize,
    /// When something was first held for the current keeper.
    since: Option<Instant>,
    /// Whether the last byte that was written was not a newline.
    mid_line: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self::holding_up_to(HELD_LEN_MAX)
    }
}

impl Lines {
    /// Lines of which at most this many bytes are held.
    pub(super) fn holding_up_to(held_max: usize) -> Self {
        Self {
            held_max,
            keeper: None,
            held: Vec::new(),
            waiting: HashMap::new(),
            order: VecDeque::new(),
            held_len: 0,
            since: None,
            mid_line: false,
        }
    }

    /// Whether more is held than may be.
    fn holds_too_much(&self) -> bool {
        self.held_len + (self.held.len() + self.order.len()) * PIECE_SIZE > self.held_max
    }

    /// The fast path: true if `text` may be written now as a whole, with nothing before or after it.
    pub(super) fn pass(&mut self, writer: WriterId, text: &[u8]) -> bool {
        if self.keeper.is_some_and(|keeper| keeper != writer) || self.since.is_some() {
            return false;
        }
        if let Some(last) = text.last() {
            self.mid_line = *last != b'\n';
            self.keeper = self.mid_line.then_some(writer);
        }
        true
    }

    /// Takes text of a process, and appends to `out` what may be written now.
    pub(super) fn write(&mut self, writer: WriterId, text: &[u8], now: Instant, out: &mut Vec<u8>) {
        let (lines, rest) = match text.iter().rposition(|byte| *byte == b'\n') {
            Some(newline) => text.split_at(newline + 1),
            None => (&[][..], text),
        };
        if self.keeper.is_none_or(|keeper| keeper == writer) {
            self.put(lines, out);
            if !lines.is_empty() {
                self.keeper = None;
                self.next_keeper(now, out);
            }
            if !rest.is_empty() {
                if self.keeper.is_none_or(|keeper| keeper == writer) {
                    self.put(rest, out);
                    self.keeper = Some(writer);
                } else {
                    self.wait(writer, rest, now);
                }
            }
        } else {
            if !lines.is_empty() {
                let mut text = self.waiting.remove(&writer).unwrap_or_default();
                text.extend_from_slice(lines);
                self.held_len += lines.len();
                self.held.push(Held { text, report: false });
                self.since.get_or_insert(now);
            }
            if !rest.is_empty() {
                self.wait(writer, rest, now);
            }
        }
        if self.holds_too_much() {
            self.release(out);
        }
    }

    /// Takes a report of the host, which is complete and starts on a line of its own.
    pub(super) fn report(&mut self, text: &[u8], now: Instant, out: &mut Vec<u8>) {
        if self.keeper.is_none() {
            return self.put_report(text, out);
        }
        self.held_len += text.len();
        self.held.push(Held {
            text: text.to_vec(),
            report: true,
        });
        self.since.get_or_insert(now);
        if self.holds_too_much() {
            self.release(out);
        }
    }

    /// Records that the writer will write no more: its unfinished line counts as finished.
    pub(super) fn end(&mut self, writer: WriterId, now: Instant, out: &mut Vec<u8>) {
        if self.keeper == Some(writer) {
            self.keeper = None;
            self.next_keeper(now, out);
        } else if let Some(text) = self.waiting.remove(&writer) {
            self.held.push(Held { text, report: false });
            if self.holds_too_much() {
                self.release(out);
            }
        }
    }

    /// How long the held text can wait for the keeper, if there is any.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + HOLD_MAX)
    }

    /// Releases all held text, finished or not.
    pub(super) fn release(&mut self, out: &mut Vec<u8>) {
        self.keeper = None;
        self.put_held(out);
        while let Some(writer) = self.order.pop_front() {
            if let Some(text) = self.waiting.remove(&writer) {
                self.put(&text, out);
                self.keeper = Some(writer);
            }
        }
        self.held_len = 0;
        self.since = None;
    }

    fn wait(&mut self, writer: WriterId, text: &[u8], now: Instant) {
        self.since.get_or_insert(now);
        self.held_len += text.len();
        let order = &mut self.order;
        let line = self.waiting.entry(writer).or_insert_with(|| {
            order.push_back(writer);
            Vec::new()
        });
        line.extend_from_slice(text);
    }

    /// After a keeper: writes finished lines first, then chooses the writer that has waited longest with an unfinished
    /// one.
    fn next_keeper(&mut self, now: Instant, out: &mut Vec<u8>) {
        if self.since.is_none() {
            return;
        }
        self.put_held(out);
        while let Some(writer) = self.order.pop_front() {
            if let Some(text) = self.waiting.remove(&writer) {
                self.held_len -= text.len();
                self.put(&text, out);
                self.keeper = Some(writer);
                break;
            }
        }
        self.since = (!self.waiting.is_empty()).then_some(now);
    }

    fn put_held(&mut self, out: &mut Vec<u8>) {
        for held in std::mem::take(&mut self.held) {
            self.held_len = self.held_len.saturating_sub(held.text.len());
            match held.report {
                true => self.put_report(&held.text, out),
                false => self.put(&held.text, out),
            }
        }
    }

    fn put_report(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if self.mid_line {
            self.put(b"\n", out);
        }
        self.put(text, out);
    }

    fn put(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if let Some(last) = text.last() {
            self.mid_line = *last != b'\n';
            out.extend_from_slice(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a writer does in a script: writes, ends, or time passes (`""` by nobody is the deadline).
    enum Step {
        Write(WriterId, &'static str),
        Report(&'static str),
        End(WriterId),
        Deadline,
    }
    use Step::*;

    #[track_caller]
    fn check(steps: &[Step], expected: &[&str]) {
        let mut lines = Lines::default();
        let now = Instant::now();
        let got: Vec<String> = steps
            .iter()
            .map(|step| {
                let mut out = Vec::new();
                match step {
                    Write(writer, text) if lines.pass(*writer, text.as_bytes()) => out.extend(text.as_bytes()),
                    Write(writer, text) => lines.write(*writer, text.as_bytes(), now, &mut out),
                    Report(text) => lines.report(text.as_bytes(), now, &mut out),
                    End(writer) => lines.end(*writer, now, &mut out),
                    Deadline => lines.release(&mut out),
                }
                String::from_utf8(out).unwrap()
            })
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn turns() {
        // Whole lines never wait.
        check(&[Write(1, "a\n"), Write(2, "b\n")], &["a\n", "b\n"]);
        // A prompt is visible at once, and so is the rest of its line.
        check(
            &[Write(1, "name: "), Write(1, "ada\n"), Write(2, "b\n")],
            &["name: ", "ada\n", "b\n"],
        );
        // The pieces of two lines do not mix.
        check(
            &[
                Write(1, "a "),
                Write(2, "x "),
                Write(1, "b\n"),
                Write(2, "y\n"),
                Write(1, "c\n"),
            ],
            &["a ", "", "b\nx ", "y\n", "c\n"],
        );
        // Finished lines wait for the keeper in order; a keeper that goes on lets them out at each newline.
        check(
            &[Write(1, "a"), Write(2, "x\n"), Write(3, "y\n"), Write(1, "b\nc")],
            &["a", "", "", "b\nx\ny\nc"],
        );
        // A keeper that ends lets the others go on; nothing is added.
        check(
            &[Write(1, "."), Write(2, "."), End(1), Write(2, "\n")],
            &[".", "", ".", "\n"],
        );
        check(
            &[Write(1, "a"), Write(2, "b"), End(2), Write(1, "c\n")],
            &["a", "", "", "c\nb"],
        );
        // The deadline.
        check(
            &[
                Write(1, "wait"),
                Write(2, "x\n"),
                Write(3, "y"),
                Deadline,
                Write(3, "z\n"),
                Write(1, "ing\n"),
            ],
            &["wait", "", "", "x\ny", "z\n", "ing\n"],
        );
    }

    #[test]
    fn reports_start_a_line() {
        check(&[Report("r\n"), Write(1, "a\n"), Report("r\n")], &["r\n", "a\n", "r\n"]);
        check(&[Write(1, "a"), Report("r\n"), Write(1, "b\n")], &["a", "", "b\nr\n"]);
        check(&[Write(1, "a"), Report("r\n"), End(1)], &["a", "", "\nr\n"]);
        check(&[Write(1, "a"), End(1), Report("r\n")], &["a", "", "\nr\n"]);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        assert!(lines.pass(1, b"begun"));
        let line = [b'x'; 1024];
        while out.is_empty() {
            lines.write(2, &line, Instant::now(), &mut out);
            assert!(lines.held_len <= HELD_LEN_MAX);
        }
        assert!(out.len() <= HELD_LEN_MAX + line.len());
        assert_eq!(lines.held_len, 0);
        assert_eq!(lines.deadline(), None);

        // Many writers of a byte each, that end or do not.
        let mut lines = Lines::holding_up_to(16 << 10);
        let mut out = Vec::new();
        assert!(lines.pass(0, b"begun"));
        for writer in 1..1000 {
            lines.write(writer, b"x", Instant::now(), &mut out);
            if writer % 2 == 0 {
                lines.end(writer, Instant::now(), &mut out);
            }
            assert!(lines.held.len() + lines.order.len() <= (16 << 10) / PIECE_SIZE + 1);
        }
    }

    proptest! {
        /// Whatever is written in whatever order: each writer's bytes come out, in its own order, and nothing else.
        #[test]
        fn output_is_an_interleaving(steps in prop::collection::vec((0u64..4, "[a-c\n]{0,4}", 0u8..10), 0..60)) {
            let mut lines = Lines::default();
            let mut out = Vec::new();
            let mut wrote: Vec<Vec<u8>> = vec![Vec::new(); 4];
            let now = Instant::now();
            for (writer, text, what) in &steps {
                // Each writer has its own letters, so that its part of the output can be told.
                let text: Vec<u8> = text.bytes().map(|b| if b == b'\n' { b } else { b + 3 * *writer as u8 }).collect();
                match what {
                    0 => lines.end(*writer, now, &mut out),
                    1 => lines.release(&mut out),
                    _ => {
                        wrote[*writer as usize].extend(&text);
                        match lines.pass(*writer, &text) {
                            true => out.extend(&text),
                            false => lines.write(*writer, &text, now, &mut out),
                        }
                    }
                }
                prop_assert!(lines.keeper.is_some() || (lines.held.is_empty() && lines.waiting.is_empty()));
                prop_assert_eq!(lines.since.is_some(), !lines.held.is_empty() || !lines.waiting.is_empty());
                let len = lines.held.iter().map(|h| h.text.len()).sum::<usize>()
                    + lines.waiting.values().map(|w| w.len()).sum::<usize>();
                prop_assert_eq!(lines.held_len, len);
            }
            for writer in 0..4 {
                lines.end(writer, now, &mut out);
            }
            lines.release(&mut out);
            let newlines = |text: &[u8]| text.iter().filter(|b| **b == b'\n').count();
            prop_assert_eq!(newlines(&out), wrote.iter().map(|w| newlines(w)).sum::<usize>());
            for (writer, wrote) in wrote.iter().enumerate() {
                let own = b'a' + 3 * writer as u8..b'd' + 3 * writer as u8;
                let came: Vec<u8> = out.iter().copied().filter(|b| own.contains(b)).collect();
                let went: Vec<u8> = wrote.iter().copied().filter(|b| *b != b'\n').collect();
                prop_assert_eq!(came, went);
            }
        }
    }
}
