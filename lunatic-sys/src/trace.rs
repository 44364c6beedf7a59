//! `lunatic::trace`: which request a process works for, and spans: pieces of that work, for the people who run the program.
//!
//! A [`Context`] names a trace and a span in it, as the W3C recommendation *Trace Context* does. The host keeps one for each
//! process, and gives it to whatever the process sends, calls and spawns.

use std::fmt;

/// A span of something that happens within the process.
pub const INTERNAL: i32 = 0;
/// A span of a request that is answered.
pub const SERVER: i32 = 1;
/// A span of a request that is made.
pub const CLIENT: i32 = 2;
/// A span of a message that is sent for somebody to work on later.
pub const PRODUCER: i32 = 3;
/// A span of work on such a message.
pub const CONSUMER: i32 = 4;

/// To be added to the kind of a span: it begins a trace of its own.
pub const ROOT: i32 = 8;
/// To be added to the kind of a span: it is the current one from now on.
pub const ENTER: i32 = 16;

/// The longest name of a span, in bytes.
pub const NAME_LEN_MAX: usize = 255;
/// The longest list of fields of one call, in bytes; what a span has of fields in all is bounded by it, too.
pub const FIELDS_LEN_MAX: usize = 8 << 10;
/// The most fields that a span has.
pub const FIELDS_MAX: usize = 64;
/// The most spans that a process has open.
pub const OPEN_MAX: usize = 1024;
/// The longest `tracestate` that is passed on, in bytes.
pub const STATE_LEN_MAX: usize = 512;
/// The most members of a `tracestate`.
const STATE_MEMBERS_MAX: usize = 32;
/// The length of a `traceparent`.
pub const PARENT_LEN: usize = 55;

/// The flag of a trace that is recorded.
pub const SAMPLED: u8 = 1;
/// The flags that are passed on: that a trace is recorded, and that its id is random.
const FLAGS: u8 = 3;

crate::imports! {
    namespace "lunatic::trace";

    /// The length of the current context, 0 if there is none: its `traceparent` of [`PARENT_LEN`] bytes, and behind it its
    /// `tracestate`. If it has at most `capacity` bytes, it has been copied to `to`; a longer one waits in the buffer.
    fn current(to: *mut u8, capacity: usize) -> i32;

    /// Makes this, written as [`current`] does, the context that a message has brought; of no length, none.
    /// [`codes::OK`](crate::codes::OK), [`codes::INVALID`](crate::codes::INVALID) if it is no context, and nothing changes;
    /// [`codes::DENIED`](crate::codes::DENIED).
    fn set(context: *const u8, len: usize) -> i32;

    /// 1 if spans are recorded, else 0. It stays so for as long as the process lives.
    fn recorded() -> i32;

    /// Opens a span within the current one. `kind` is [`INTERNAL`] to [`CONSUMER`], with [`ROOT`] and [`ENTER`]; `fields` are
    /// those of [`record`](crate::record). A long name is cut. The number of the span in this process, 1 or more; 0 if it is not recorded, because
    /// nobody wants it, the process may not, or has too many open.
    fn open(kind: i32, name: *const u8, len: usize, fields: *const u8, fields_len: usize) -> i32;

    /// Makes an open span the current one. [`codes::OK`](crate::codes::OK), or [`codes::INVALID`](crate::codes::INVALID) if there
    /// is none, or [`OPEN_MAX`] were entered and not left.
    fn enter(span: i32) -> i32;

    /// Leaves a span, which need not be the current one: that which was entered before it is current again, or what the process
    /// was given. [`codes::OK`](crate::codes::OK), or [`codes::INVALID`](crate::codes::INVALID) if it is not entered.
    fn leave(span: i32) -> i32;

    /// Adds fields to an open span. [`codes::OK`](crate::codes::OK), [`codes::INVALID`](crate::codes::INVALID), or
    /// [`codes::LIMIT`](crate::codes::LIMIT) if it has as many as it may. Bytes that are no fields trap.
    fn record(span: i32, fields: *const u8, len: usize) -> i32;

    /// Says that what an open span is about has failed, and why. [`codes::OK`](crate::codes::OK) or
    /// [`codes::INVALID`](crate::codes::INVALID). A long text is cut.
    fn fail(span: i32, text: *const u8, len: usize) -> i32;

    /// Ends a span, and leaves it.
    /// [`codes::OK`](crate::codes::OK), [`codes::INVALID`](crate::codes::INVALID), or
    /// [`codes::FULL`](crate::codes::FULL) if it was dropped, because too many wait to be taken.
    fn close(span: i32) -> i32;
}

/// A span of a trace, and what goes along with the trace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Context {
    /// The trace; not all zero.
    pub trace: [u8; 16],
    /// The span; not all zero.
    pub span: [u8; 8],
    /// [`SAMPLED`] if the trace is recorded.
    pub flags: u8,
    /// What other systems have added, for themselves: the `tracestate`, or nothing.
    pub state: Box<str>,
}

impl Context {
    /// Reads a `traceparent` and a `tracestate`, neither of which is trusted. `None` if the former breaks a rule. A `tracestate`
    /// that breaks one, or has more than 512 bytes, is left out.
    #[must_use]
    pub fn parse(traceparent: &str, tracestate: &str) -> Option<Self> {
        let bytes = traceparent.as_bytes();
        let [version] = hex(bytes.get(..2)?)?;
        // Later versions may have more behind another dash, and mean the same by what stands before it.
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

    /// Reads what [`to_text`](Self::to_text) has written.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let (parent, state) = text.split_at_checked(PARENT_LEN)?;
        Self::parse(parent, state)
    }

    /// The `traceparent`, and behind it the `tracestate`.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{self}{}", self.state)
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// The `traceparent`.
impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags, .. } = self;
        let (trace, span) = (u128::from_be_bytes(*trace), u64::from_be_bytes(*span));
        write!(f, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

/// Bytes as small hexadecimal digits; large ones are none here.
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

/// Whether a `tracestate` is passed on: a list of `KEY=VALUE` in visible ASCII.
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
