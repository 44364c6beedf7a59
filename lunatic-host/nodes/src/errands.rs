//! The encoding of errands and their answers: what processes want of channels of other nodes.
//!
//! One byte says which errand or answer it is, and the bytes of a message follow.

use lunatic_kernel::errand::{Answer, Errand};
use lunatic_sys::codes::MESSAGE_LEN_MAX;

use crate::codec::{Reader, Write};

mod errand {
    pub(super) const SEND: u8 = 1;
    pub(super) const TRY_SEND: u8 = 2;
    pub(super) const RECEIVE: u8 = 3;
    pub(super) const TRY_RECEIVE: u8 = 4;
    pub(super) const WATCH: u8 = 5;
    pub(super) const WITHDRAW: u8 = 6;
    pub(super) const ALIVE: u8 = 7;
}

mod answer {
    pub(super) const ACCEPTED: u8 = 1;
    pub(super) const FULL: u8 = 2;
    pub(super) const ROOM: u8 = 3;
    pub(super) const MESSAGE: u8 = 4;
    pub(super) const EMPTY: u8 = 5;
    pub(super) const READY: u8 = 6;
    pub(super) const NOT_READY: u8 = 7;
    pub(super) const WITHDRAWN: u8 = 8;
    pub(super) const CLOSED: u8 = 9;
    pub(super) const LIMIT: u8 = 10;
}

pub(crate) fn write(to: &mut Vec<u8>, what: &Errand<'_>) {
    let (kind, body): (u8, &[u8]) = match what {
        Errand::Send { body, waits: true } => (errand::SEND, body),
        Errand::Send { body, waits: false } => (errand::TRY_SEND, body),
        Errand::Receive { waits: true } => (errand::RECEIVE, &[]),
        Errand::Receive { waits: false } => (errand::TRY_RECEIVE, &[]),
        Errand::Watch => (errand::WATCH, &[]),
        Errand::Withdraw => (errand::WITHDRAW, &[]),
        Errand::Alive => (errand::ALIVE, &[]),
        _ => unreachable!("an errand that has no place on the wire"),
    };
    to.reserve_exact(1 + body.len());
    to.put_u8(kind).put(body);
}

pub(crate) fn write_answer(to: &mut Vec<u8>, what: &Answer<'_>) {
    let (kind, body): (u8, &[u8]) = match what {
        Answer::Accepted => (answer::ACCEPTED, &[]),
        Answer::Full => (answer::FULL, &[]),
        Answer::Room => (answer::ROOM, &[]),
        Answer::Message(body) => (answer::MESSAGE, body),
        Answer::Empty => (answer::EMPTY, &[]),
        Answer::Ready => (answer::READY, &[]),
        Answer::NotReady => (answer::NOT_READY, &[]),
        Answer::Withdrawn => (answer::WITHDRAWN, &[]),
        Answer::Closed => (answer::CLOSED, &[]),
        Answer::Limit => (answer::LIMIT, &[]),
        _ => unreachable!("an answer that has no place on the wire"),
    };
    to.reserve_exact(1 + body.len());
    to.put_u8(kind).put(body);
}

/// The rest of the record as the bytes of a message.
fn message<'a>(from: &mut Reader<'a>) -> Option<&'a [u8]> {
    (from.len() <= MESSAGE_LEN_MAX).then(|| from.rest())
}

pub(crate) fn read<'a>(from: &mut Reader<'a>) -> Option<Errand<'a>> {
    Some(match from.u8()? {
        errand::SEND => Errand::Send {
            body: message(from)?,
            waits: true,
        },
        errand::TRY_SEND => Errand::Send {
            body: message(from)?,
            waits: false,
        },
        errand::RECEIVE => Errand::Receive { waits: true },
        errand::TRY_RECEIVE => Errand::Receive { waits: false },
        errand::WATCH => Errand::Watch,
        errand::WITHDRAW => Errand::Withdraw,
        errand::ALIVE => Errand::Alive,
        _ => return None,
    })
}

pub(crate) fn read_answer<'a>(from: &mut Reader<'a>) -> Option<Answer<'a>> {
    Some(match from.u8()? {
        answer::ACCEPTED => Answer::Accepted,
        answer::FULL => Answer::Full,
        answer::ROOM => Answer::Room,
        answer::MESSAGE => Answer::Message(message(from)?),
        answer::EMPTY => Answer::Empty,
        answer::READY => Answer::Ready,
        answer::NOT_READY => Answer::NotReady,
        answer::WITHDRAWN => Answer::Withdrawn,
        answer::CLOSED => Answer::Closed,
        answer::LIMIT => Answer::Limit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errands_and_answers_are_read_as_they_were_written() {
        let (body, waits) = (&b"x"[..], [true, false]);
        let sends = waits.map(|waits| Errand::Send { body, waits });
        let receives = waits.map(|waits| Errand::Receive { waits });
        for what in [&sends[..], &receives, &[Errand::Watch, Errand::Withdraw, Errand::Alive]].concat() {
            let mut bytes = Vec::new();
            write(&mut bytes, &what);
            assert_eq!(read(&mut Reader::new(&bytes)), Some(what));
        }
        let answers = [
            Answer::Accepted,
            Answer::Full,
            Answer::Room,
            Answer::Message(body),
            Answer::Empty,
            Answer::Ready,
            Answer::NotReady,
            Answer::Withdrawn,
            Answer::Closed,
            Answer::Limit,
        ];
        for what in answers {
            let mut bytes = Vec::new();
            write_answer(&mut bytes, &what);
            assert_eq!(read_answer(&mut Reader::new(&bytes)), Some(what));
        }
        assert_eq!(read(&mut Reader::new(&[0])), None);
        assert_eq!(read_answer(&mut Reader::new(&[11])), None);
    }
}
