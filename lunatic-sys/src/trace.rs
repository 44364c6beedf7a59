//! `lunatic::trace`: trace contexts, which identify the request that a process works for, and spans, the timed steps of
//! that work.
//!
//! A [`Context`] names a trace and a span in it, as in the W3C recommendation *Trace Context*. The host keeps one for
//! each process, and passes it on with each message, call and spawn of the process.

use std::fmt;

/// A kind of span: work within the process.
pub const INTERNAL: i32 = 0;
/// A kind of span: a request that is handled.
pub const SERVER: i32 = 1;
/// A kind of span: a request that is made.
pub const CLIENT: i32 = 2;
/// A kind of span: a message that another process works on later.
pub const PRODUCER: i32 = 3;
/// A kind of span: work on such a message.
pub const CONSUMER: i32 = 4;

/// Added to the kind of a span: it is the root of a new trace.
pub const ROOT: i32 = 8;
/// Added to the kind of a span: it becomes the current span.
pub const ENTER: i32 = 16;

/// The longest name of a span, in bytes.
pub const NAME_LEN_MAX: usize = 255;
/// The longest list of fields of one call, in bytes. All fields of a span together have the same limit.
pub const FIELDS_LEN_MAX: usize = 8 << 10;
/// The largest number of fields of a span.
pub const FIELDS_MAX: usize = 64;
/// The largest number of spans that a process can have open.
pub const OPEN_MAX: usize = 1024;
/// The longest `tracestate` that is passed on, in bytes.
pub const STATE_LEN_MAX: usize = 512;
/// The largest number of members of a `tracestate`.
const STATE_MEMBERS_MAX: usize = 32;
/// The length of a `traceparent`.
pub const PARENT_LEN: usize = 55;

/// The flag of a trace that is recorded.
pub const SAMPLED: u8 = 1;
/// The flags that are passed on: the trace is recorded, and its id is random.
const FLAGS: u8 = 3;

crate::imports! {
    namespace "lunatic::trace";

    /// Returns the length of the current context, 0 if there is none. The context is its `traceparent` of
    /// [`PARENT_LEN`] bytes, followed by its `tracestate`. If it has at most `capacity` bytes, it is copied to `to`; a
    /// longer one is put into the buffer.
    fn current(to: *mut u8, capacity: usize) -> i32;

    /// Sets the current context, written as [`current`] does, as if a message had brought it. Without bytes, there is
    /// no context then. Returns [`codes::OK`](crate::codes::OK); [`codes::INVALID`](crate::codes::INVALID) if it is not
    /// a context, in which case nothing changes; or [`codes::DENIED`](crate::codes::DENIED).
    fn set(context: *const u8, len: usize) -> i32;

    /// Returns 1 if spans are recorded, else 0. The result does not change while the process lives.
    fn recorded() -> i32;

    /// Opens a span within the current one. `kind` is [`INTERNAL`] to [`CONSUMER`], with [`ROOT`] and [`ENTER`] added;
    /// `fields` are encoded as in [`record`](crate::record). A long name is cut.
    ///
    /// Returns the number of the span in this process, 1 or more; or 0 if it is not recorded, because spans are not
    /// recorded, the process does not have the right, or it has too many open.
    fn open(kind: i32, name: *const u8, len: usize, fields: *const u8, fields_len: usize) -> i32;

    /// Makes an open span the current one. Returns [`codes::OK`](crate::codes::OK), or
    /// [`codes::INVALID`](crate::codes::INVALID) if there is no such span, or [`OPEN_MAX`] spans were entered and not
    /// left.
    fn enter(span: i32) -> i32;

    /// Leaves a span, which need not be the current one. The span that was entered before it becomes current again, or
    /// the context that the process was given. Returns [`codes::OK`](crate::codes::OK), or
    /// [`codes::INVALID`](crate::codes::INVALID) if the span was not entered.
    fn leave(span: i32) -> i32;

    /// Adds fields to an open span. Returns [`codes::OK`](crate::codes::OK), [`codes::INVALID`](crate::codes::INVALID),
    /// or [`codes::LIMIT`](crate::codes::LIMIT) if it has too many. Traps if the bytes are not fields.
    fn record(span: i32, fields: *const u8, len: usize) -> i32;

    /// Marks an open span as failed; the text gives the reason, and is cut if it is long. Returns
    /// [`codes::OK`](crate::codes::OK) or [`codes::INVALID`](crate::codes::INVALID).
    fn fail(span: i32, text: *const u8, len: usize) -> i32;

    /// Ends a span, and leaves it. Returns [`codes::OK`](crate::codes::OK), [`codes::INVALID`](crate::codes::INVALID),
    /// or [`codes::FULL`](crate::codes::FULL) if the span was dropped, because too many are waiting to be sent.
    fn close(span: i32) -> i32;
}

/// A span of a trace, and the data that is passed along with the trace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Context {
    /// The id of the trace; not all zero.
    pub trace: [u8; 16],
    /// The id of the span; not all zero.
    pub span: [u8; 8],
    /// [`SAMPLED`] if the trace is recorded.
    pub flags: u8,
    /// The data that other systems have added for themselves: the `tracestate`, or nothing.
    pub state: Box<str>,
}

impl Context {
    /// Parses a `traceparent` and a `tracestate`, which are not trusted. `None` if the `traceparent` breaks a rule. A
    /// `tracestate` that breaks a rule, or has more than 512 bytes, is omitted.
    #[must_use]
    pub fn parse(traceparent: &str, tracestate: &str) -> Option<Self> {
        let bytes = traceparent.as_bytes();
        let [version] = hex(bytes.get(..2)?)?;
        // Later versions may append more after another dash; the part before it keeps its meaning.
        let is_long = bytes.len() > PARENT_LEN && (version == 0 || bytes[PARENT_LEN] != b'-');
        let dashes = [2, 35, 52].iter().all(|at| bytes.get(*at) == Some(&b'-'));
        if version == 0xff || is_long || !dashes {
            return None;
        }
        let (trace, span) = (hex(bytes.get(3..35)?)?, hex(bytes.get(36..52)?)?);
        let [flags] = hex(bytes.get(53..PARENT_LEN)?)?;
        if trace == [0; 16] || span == [0; 8] {
            return None;
        }
        let state = if is_state(tracestate) { tracestate } else { "" };
        Some(Self {
            trace,
            span,
            flags: flags & FLAGS,
            state: state.into(),
        })
    }

    /// Parses the text that [`to_text`](Self::to_text) returns.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let (parent, state) = text.split_at_checked(PARENT_LEN)?;
        Self::parse(parent, state)
    }

    /// Returns the `traceparent`, followed by the `tracestate`.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{self}{}", self.state)
    }

    /// Returns whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// Displayed as the `traceparent`.
impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags, .. } = self;
        let (trace, span) = (u128::from_be_bytes(*trace), u64::from_be_bytes(*span));
        write!(f, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

/// Decodes hexadecimal digits; only lower-case letters are allowed.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, two) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in two {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | value;
        }
    }
    Some(bytes)
}

/// Whether a `tracestate` is passed on: it is a list of `KEY=VALUE` in visible ASCII.
fn is_state(state: &str) -> bool {
    let members = || state.split(',').map(str::trim).filter(|member| !member.is_empty());
    state.len() <= STATE_LEN_MAX
        && state.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && members().count() <= STATE_MEMBERS_MAX
        && members().all(|member| member.find('=').is_some_and(|at| at > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_is_read_as_it_was_written() {
        let context = Context::parse(PARENT, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7").unwrap();
        assert_eq!(
            (context.trace[0], context.span[7], context.flags),
            (0x4b, 0xb7, SAMPLED)
        );
        assert!(context.is_sampled());
        assert_eq!(context.to_string(), PARENT);
        assert_eq!(Context::from_text(&context.to_text()), Some(context));
        assert_eq!(PARENT.len(), PARENT_LEN);
    }

    /// The cases of the recommendation's own test suite, and some more.
    #[test]
    fn what_breaks_a_rule_is_no_context() {
        let ids = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
        for bad in [
            String::new(),
            "00".into(),
            format!("ff-{ids}-01"),
            format!("0-{ids}-01"),
            format!("00-{ids}-1"),
            format!("00-{ids}-01-extra"),
            format!("00-{ids}-01-"),
            format!("00-{ids}-01 "),
            format!("01-{ids}-01.extra"),
            format!("00_{ids}-01"),
            format!("00-{ids}_01"),
            format!("00-{}-01", ids.to_uppercase()),
            format!("00-{ids}-0G"),
            format!(" 00-{ids}-01"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01".into(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01".into(),
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01".into(),
            "00-ébf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01".into(),
        ] {
            assert_eq!(Context::parse(&bad, ""), None, "{bad:?}");
        }
        let later = Context::parse(&format!("cc-{ids}-09-what the future brings"), "").unwrap();
        assert_eq!(later.to_string(), PARENT, "what is not known is not passed on");
    }

    #[test]
    fn a_state_that_breaks_a_rule_is_left_out() {
        let state = |state: &str| Context::parse(PARENT, state).unwrap().state.to_string();
        for good in ["", "a=1", "a=1, b=2", "a=1,,b=", "t@v=a b"] {
            assert_eq!(state(good), good);
        }
        let many = vec!["a=1"; STATE_MEMBERS_MAX + 1].join(",");
        let long = format!("a={}", "1".repeat(STATE_LEN_MAX));
        for bad in ["a", "=1", "a=1\n", "a=é", &many, &long] {
            assert_eq!(state(bad), "");
        }
        assert_eq!(state(&long[..STATE_LEN_MAX]).len(), STATE_LEN_MAX);
    }
}
