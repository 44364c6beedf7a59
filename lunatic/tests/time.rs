//! A paused clock, from the inside: run with `cargo lunatic test`.

use std::time::{Duration, Instant};

use lunatic::channel::ReceiveTimeoutError;
use lunatic::mailbox::{CallError, Mail, ReplyTo};
use lunatic::{Address, Channel, ExitReason, Mailbox, Process, sleep, time, timer};

const HOUR: Duration = Duration::from_secs(3600);

#[lunatic::test]
fn hours_pass_at_once_and_to_the_nanosecond() {
    time::pause();
    let start = Instant::now();
    assert_eq!(start.elapsed(), Duration::ZERO);
    time::advance(1000 * HOUR);
    assert_eq!(start.elapsed(), 1000 * HOUR);
    let waited = Channel::<()>::new(0).receive_timeout(HOUR);
    assert!(matches!(waited, Err(ReceiveTimeoutError::TimedOut)));
    assert_eq!(start.elapsed(), 1001 * HOUR);
}

#[lunatic::test]
fn everything_is_due_in_the_order_of_its_time() {
    time::pause();
    let start = Instant::now();
    let events = Mailbox::<(u32, Duration)>::new();
    let here = events.address();
    for hours in [5_u32, 3, 1] {
        Process::spawn(move || {
            let start = Instant::now();
            sleep(hours * HOUR);
            here.send((hours, start.elapsed()));
        })
        .unwrap();
    }
    timer::send_after(here, (4, 4 * HOUR), 4 * HOUR);
    timer::send_after(here, (2, 2 * HOUR), 2 * HOUR);
    let never = timer::send_after(here, (6, Duration::ZERO), 6 * HOUR);
    for hours in 1..=5 {
        assert_eq!(events.receive(), (hours, hours * HOUR));
        assert_eq!(start.elapsed(), hours * HOUR);
    }
    assert!(never.cancel());
    time::advance(10 * HOUR);
    assert!(events.try_receive().is_err());
}

#[lunatic::test]
fn a_timer_that_wakes_nobody_does_not_stop_the_clock() {
    time::pause();
    let (start, inbox) = (Instant::now(), Mailbox::<u32>::new());
    timer::send_after(inbox.address(), 1, HOUR);
    sleep(2 * HOUR);
    assert_eq!((inbox.receive(), start.elapsed()), (1, 2 * HOUR));
}

#[lunatic::test]
fn the_clock_stands_still_until_an_end_is_reported() {
    time::pause();
    let start = Instant::now();
    let child = Process::spawn(|| sleep(1000 * HOUR)).unwrap();
    // Dropping so many messages takes a while, and is done by a thread.
    (0..2000).for_each(|number| Address::<u32>::of(child).send(number));
    let _monitor = child.monitor();
    child.kill();
    let mail = Mailbox::<()>::new().receive_mail_timeout(HOUR);
    assert!(matches!(mail, Some(Mail::Down { .. })), "{mail:?}");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[lunatic::test]
fn an_interval_is_exact() {
    time::pause();
    let start = Instant::now();
    let ticks = Mailbox::<()>::new();
    let every = Duration::from_millis(1500);
    let timer = timer::send_interval(ticks.address(), (), every);
    for tick in 1..=1000 {
        ticks.receive();
        assert_eq!(start.elapsed(), tick * every);
    }
    assert!(timer.cancel());
    time::advance(HOUR);
    assert!(ticks.try_receive().is_err());
}

// ANCHOR: timeout
#[lunatic::test]
fn a_call_times_out_after_its_time() {
    time::pause();
    let start = Instant::now();
    let deaf = Process::spawn(|| Mailbox::<()>::new().receive()).unwrap();
    let answer = Address::<ReplyTo<()>>::of(deaf).call_timeout(|reply| reply, HOUR);
    assert!(matches!(answer, Err(CallError::TimedOut)));
    assert_eq!(start.elapsed(), HOUR);
    deaf.kill();
    assert_eq!(deaf.join(), ExitReason::Killed);
}
// ANCHOR_END: timeout

#[lunatic::test]
#[should_panic(expected = "only the main process can pause")]
fn only_the_main_process_pauses_the_time() {
    match Process::spawn(time::pause).unwrap().join() {
        ExitReason::Panic(message) => panic!("{message}"),
        reason => assert_eq!(reason, ExitReason::Normal),
    }
}
