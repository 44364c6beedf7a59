//! Calls, and polls of the mailbox: the functions, and what processes of a component do with them.

use std::time::Duration;

use super::area::Area;
use super::host::{Mail, Options, Process, Reason, Refusal, close, end, option, receive, reference, rest, spawn};
use super::parts::{addressed, with_address};
use super::scenarios::{child, nanoseconds};

#[link(wasm_import_module = "lunatic:process/mailbox@0.1.0")]
unsafe extern "C" {
    #[link_name = "call"]
    fn call_raw(
        to: u32,
        tag: u64,
        body: *const u8,
        len: usize,
        reference: u64,
        has_timeout: u32,
        timeout: u64,
        out: *mut Area,
    );
}

#[link(wasm_import_module = "lunatic:poll/mailbox@0.1.0")]
unsafe extern "C" {
    fn subscribe(tags: *const u64, len: usize) -> u32;
}

#[link(wasm_import_module = "wasi:io/poll@0.2.12")]
unsafe extern "C" {
    #[link_name = "poll"]
    fn poll_raw(list: *const u32, len: usize, out: *mut Area);
    #[link_name = "[method]pollable.ready"]
    fn is_ready(pollable: u32) -> u32;
    #[link_name = "[method]pollable.block"]
    fn block(pollable: u32);
    #[link_name = "[resource-drop]pollable"]
    fn drop_pollable(pollable: u32);
}

#[link(wasm_import_module = "wasi:clocks/monotonic-clock@0.2.12")]
unsafe extern "C" {
    #[link_name = "subscribe-duration"]
    fn subscribe_duration(nanoseconds: u64) -> u32;
}

/// Why a call has no answer.
#[derive(Debug, PartialEq, Eq)]
enum Unanswered {
    TimedOut,
    Gone(String),
    Refused(Refusal),
    NotOpen,
}

/// An answer: its first part, and the length of the rest.
type Answer = (Vec<u8>, u64);

/// The answer, and the next reference.
fn call(
    to: &Process,
    tag: u64,
    body: &[u8],
    reference: u64,
    timeout: Option<u64>,
) -> (Result<Answer, Unanswered>, u64) {
    let (has_timeout, timeout) = option(timeout);
    let area = Area::of(|out| {
        // SAFETY: the pointer is that of the bytes, with their length, and the area is large enough for the result.
        unsafe {
            call_raw(
                to.handle(),
                tag,
                body.as_ptr(),
                body.len(),
                reference,
                has_timeout,
                timeout,
                out,
            );
        }
    });
    let answer = match (area.0[0], area.0[8]) {
        (0, _) => Ok((area.bytes(8), area.long(16))),
        (_, 0) => Err(Unanswered::TimedOut),
        (_, 1) => Err(Unanswered::Gone(area.reason(12))),
        (_, 2) => Err(Unanswered::Refused(
            area.refused(12).expect_err("a refusal is at this place"),
        )),
        _ => Err(Unanswered::NotOpen),
    };
    (answer, area.long(32))
}

/// A request that says how to answer it.
fn request(reference: u64, text: &str) -> Vec<u8> {
    let body = [&reference.to_le_bytes(), text.as_bytes()].concat();
    with_address(Process::this().address(), &body)
}

/// Does what each request says.
pub(super) fn serves() {
    while let Some(Mail::Message { body, .. }) = receive(&[], None) {
        let (caller, rest) = addressed(&body);
        let (reference, text) = rest.split_first_chunk().expect("a reference");
        let (reference, text) = (u64::from_le_bytes(*reference), std::str::from_utf8(text).unwrap());
        match text {
            "end" => end(&Reason::Error("asked to")),
            "nothing" => {}
            "long" => caller.send(reference, &vec![7; (1 << 20) + 3]).unwrap(),
            "twice" => {
                caller.send(reference, b"once").unwrap();
                caller.send(reference, b"twice").unwrap();
            }
            text => caller.send(reference, text.as_bytes()).unwrap(),
        }
    }
}

pub(super) fn calls() {
    let server = child("serves");
    let answer = |text: &str| Ok((text.into(), 0));
    let first = reference();
    let (got, next) = call(&server, 1, &request(first, "one"), first, None);
    assert_eq!(got, answer("one"));
    assert!(next != 0 && next != first);
    // The reference of a call is used up, and the next one is open.
    assert_eq!(
        call(&server, 1, &request(first, "x"), first, None),
        (Err(Unanswered::NotOpen), 0)
    );
    let (got, next) = call(
        &server,
        1,
        &request(next, "twice"),
        next,
        nanoseconds(Duration::from_secs(3600)),
    );
    assert_eq!(got, answer("once"));
    let (got, next) = call(
        &server,
        1,
        &request(next, "nothing"),
        next,
        nanoseconds(Duration::from_millis(5)),
    );
    assert_eq!(got, Err(Unanswered::TimedOut));
    let (got, next) = call(&server, 1, &request(next, "nothing"), next, Some(0));
    assert_eq!(got, Err(Unanswered::TimedOut));
    let ((body, more), next) = match call(&server, 1, &request(next, "long"), next, None) {
        (Ok(answer), next) => (answer, next),
        (Err(why), _) => panic!("{why:?}"),
    };
    assert_eq!((body.len(), more, rest(10)), (1 << 20, 3, vec![7; 3]));
    // Nothing of all that is in the mailbox.
    assert_eq!(receive(&[], Some(0)), None);
    let (got, next) = call(&server, 1, &request(next, "end"), next, None);
    assert_eq!(got, Err(Unanswered::Gone("error asked to".into())));
    server.join(None).unwrap();
    let (got, next) = call(&server, 1, &request(next, "end"), next, None);
    assert_eq!(got, Err(Unanswered::Gone("error asked to".into())));

    let narrow = Options {
        mailbox_max: Some(1),
        ..Options::default()
    };
    let (full, _) = spawn("sleeps", b"", &narrow).unwrap();
    full.send(1, b"").unwrap();
    let (got, next) = call(&full, 1, &request(next, "x"), next, None);
    assert_eq!(got, Err(Unanswered::Refused(Refusal::Full)));
    close(next);
    assert_eq!(call(&full, 1, b"", next, None), (Err(Unanswered::NotOpen), 0));
}

/// A pollable.
struct Pollable(u32);

impl Pollable {
    fn of_mail(tags: &[u64]) -> Self {
        // SAFETY: the pointer is that of the tags, with their number.
        Self(unsafe { subscribe(tags.as_ptr(), tags.len()) })
    }

    fn of_time(time: Duration) -> Self {
        // SAFETY: it takes a number.
        Self(unsafe { subscribe_duration(time.as_nanos() as u64) })
    }

    fn is_ready(&self) -> bool {
        // SAFETY: the handle belongs to this value.
        unsafe { is_ready(self.0) != 0 }
    }

    fn block(&self) {
        // SAFETY: the handle belongs to this value.
        unsafe { block(self.0) }
    }
}

impl Drop for Pollable {
    fn drop(&mut self) {
        // SAFETY: the handle belongs to this value.
        unsafe { drop_pollable(self.0) }
    }
}

/// Waits for one of these, and returns which are ready.
fn poll(all: &[&Pollable]) -> Vec<u32> {
    let handles: Vec<u32> = all.iter().map(|pollable| pollable.0).collect();
    // SAFETY: the pointer is that of the handles, with their number, and the area is large enough for the result.
    let area = Area::of(|out| unsafe { poll_raw(handles.as_ptr(), handles.len(), out) });
    let (start, len) = (area.number(0) as usize, area.number(4) as usize);
    // SAFETY: `cabi_realloc` has allocated them with this layout, and nothing else takes them over.
    unsafe { Vec::from_raw_parts(std::ptr::with_exposed_provenance_mut(start), len, len) }
}

pub(super) fn polls_mail() {
    let this = Process::this();
    let (soon, late) = (Duration::from_millis(5), Duration::from_secs(3600));
    let take = |tag| assert!(matches!(receive(&[tag], Some(0)), Some(Mail::Message { .. })), "{tag}");
    let (mail, other, hour) = (
        Pollable::of_mail(&[7]),
        Pollable::of_mail(&[8, 9]),
        Pollable::of_time(late),
    );
    assert!(!mail.is_ready());
    assert_eq!(poll(&[&mail, &Pollable::of_time(soon)]), [1]);
    // What has come already; the mail is not taken by the poll.
    this.send(7, b"").unwrap();
    assert!(mail.is_ready());
    assert_eq!(poll(&[&hour, &mail]), [1]);
    mail.block();
    take(7);
    assert!(!mail.is_ready());
    // What comes while the process waits.
    let soon_ns = soon.as_nanos() as u64;
    for (tag, ready) in [(7, 0), (9, 1), (8, 1)] {
        this.send_after(tag, b"", soon_ns, None).unwrap();
        assert_eq!(poll(&[&mail, &other, &hour]), [ready]);
        take(tag);
    }
    this.send_after(7, b"", soon_ns, None).unwrap();
    mail.block();
    take(7);
    // Mail with another tag does not end a wait.
    this.send(10, b"").unwrap();
    this.send_after(11, b"", 1, None).unwrap();
    assert_eq!(poll(&[&mail, &other, &Pollable::of_time(soon)]), [2]);
    let any = Pollable::of_mail(&[]);
    assert_eq!(poll(&[&any, &mail, &hour]), [0]);
    take(10);
    take(11);
    this.send_after(12, b"", soon_ns, None).unwrap();
    assert_eq!(poll(&[&any, &mail, &hour]), [0]);
    take(12);
    // After a poll, a receive waits as always.
    this.send_after(7, b"", soon_ns, None).unwrap();
    assert!(matches!(receive(&[7], None), Some(Mail::Message { tag: 7, .. })));
    // The end of a process is mail, too.
    let watched = child("sleeps");
    watched.monitor(13).unwrap();
    let down = Pollable::of_mail(&[13]);
    watched.kill().unwrap();
    assert_eq!(poll(&[&down, &hour]), [0]);
    // Those that were dropped do not count.
    drop((mail, other, any, down));
    for _ in 0..1000 {
        drop(Pollable::of_mail(&[1; 256]));
    }
}

pub(super) fn too_many_subscriptions() {
    let _first = Pollable::of_mail(&[1; 255]);
    let _second = Pollable::of_mail(&[]);
    let _third = Pollable::of_mail(&[]);
}
