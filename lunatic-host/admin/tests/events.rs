//! `/v1/events`, and clients of it that do not behave.

mod opened;

use std::io::{Read as _, Write as _};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use lunatic_admin::view::EventView;
use lunatic_admin::{Client, Trouble};

use crate::opened::{Opened, open};

/// Waits for a tenth of a millisecond and gives way a hundred times, again and again.
const BUSY: &str = r#"(module
    (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
    (import "lunatic::process" "yield_now" (func $yield))
    (memory (export "memory") 1)
    (func (export "_start") (local $times i32)
        (loop $again
            (call $sleep (i64.const 100000))
            (local.set $times (i32.const 100))
            (loop $more
                (call $yield)
                (local.tee $times (i32.sub (local.get $times) (i32.const 1)))
                (br_if $more))
            (br $again))))"#;

impl Opened {
    /// A client that has asked and read nothing.
    fn ask(&self, query: &str) -> UnixStream {
        let mut stream = UnixStream::connect(&self.path).unwrap();
        write!(stream, "GET /v1/events?{query} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        stream
    }

    /// Waits until so many are told of events.
    fn has_observers(&self, observers: usize) {
        let late = Instant::now() + Duration::from_secs(60);
        while self.runtime.figures().observers != observers {
            assert!(Instant::now() < late, "{:?}", self.runtime.figures());
            std::thread::yield_now();
        }
    }
}

/// What a client hears until the stream ends.
fn hear(opened: &Opened, query: &str) -> Result<Vec<EventView>, Trouble> {
    let mut heard = Vec::new();
    let hear = |event| {
        heard.push(event);
        ControlFlow::Continue(())
    };
    Client::new(&opened.path).follow(&format!("/v1/events?{query}"), hear)?;
    Ok(heard)
}

#[test]
fn as_many_are_told_as_were_asked_for() {
    let opened = open(BUSY);
    let heard = hear(&opened, "process=1&kinds=runs,waits&limit=1000").unwrap();
    let (end, events) = heard.split_last().unwrap();
    assert_eq!(end.event, "end");
    assert_eq!(events.len(), 1000);
    assert!(
        ["runs", "waits"]
            .iter()
            .all(|kind| events.iter().any(|event| event.event == *kind))
    );
    for pair in events.windows(2) {
        assert!(pair[0].at_us <= pair[1].at_us, "{pair:?}");
        assert_eq!((&*pair[0].process, &*pair[0].title), ("#1", "main"));
    }
    opened.has_observers(0);
    assert_eq!(hear(&opened, "seconds=0").unwrap().last().unwrap().event, "end");
    opened.has_observers(0);
}

#[test]
fn a_client_that_goes_away_ends_the_observation() {
    let opened = open(BUSY);
    let idle = opened.ask("kinds=spawned&seconds=3600");
    opened.has_observers(1);
    let busy = opened.ask("seconds=3600&limit=1000000");
    opened.has_observers(2);
    drop(busy);
    opened.has_observers(1);
    drop(idle);
    opened.has_observers(0);
}

#[test]
fn clients_that_never_read_hold_a_bounded_list_for_a_bounded_time() {
    let opened = open(BUSY);
    let before = opened.runtime.figures().resident_bytes;
    let mut deaf: Vec<_> = (0..4).map(|_| opened.ask("limit=1000000&seconds=3")).collect();
    opened.has_observers(4);
    match hear(&opened, "limit=1") {
        Err(Trouble::Refused(status, why)) => assert_eq!(status.as_u16(), 503, "{why}"),
        other => panic!("{other:?}"),
    }
    // By themselves: nobody has read anything or gone away.
    opened.has_observers(0);
    let grown = opened.runtime.figures().resident_bytes.saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
    // There was more than its list holds, and the client that reads at last is told so.
    let mut said = String::new();
    deaf[0].set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    while !said.contains("event: end") {
        let mut bytes = [0; 4096];
        let len = deaf[0].read(&mut bytes).unwrap();
        assert!(len > 0, "it is cut off: {said}");
        said += &String::from_utf8_lossy(&bytes[..len]);
    }
    assert!(said.contains("event: lost"), "{said}");
    drop(deaf);
    assert_eq!(hear(&opened, "limit=1").unwrap().last().unwrap().event, "end");
}

#[test]
fn what_cannot_be_heard_is_said() {
    let opened = open(BUSY);
    for query in ["kinds=what", "process=77", "name=nobody", "limit=x"] {
        match hear(&opened, query) {
            Err(Trouble::Refused(status, why)) => {
                assert!(status.as_u16() == 400 && !why.is_empty(), "{query}: {why}")
            }
            other => panic!("{query}: {other:?}"),
        }
    }
    opened.has_observers(0);
}
