//! Mailboxes, calls, selects, timers and tasks, from the inside: run with `cargo lunatic test`.

use std::time::{Duration, Instant};

use lunatic::channel::{ReceiveTimeoutError, TryReceiveError, TrySendError};
use lunatic::mailbox::{CallError, ReplyTo, Select};
use lunatic::process::exit;
use lunatic::timer::TimerError;
use lunatic::{Address, Channel, ExitReason, Mailbox, Process, Task, sleep, this_process, timer};
use serde::{Deserialize, Serialize};

const LONG: Duration = Duration::from_secs(3600);

#[lunatic::test]
fn messages_of_one_sender_keep_their_order() {
    let numbers = Mailbox::<u32>::new();
    let here = numbers.address();
    Process::spawn(move || (0..1000).for_each(|number| here.send(number))).unwrap();
    for number in 0..1000 {
        assert_eq!(numbers.receive(), number);
    }
    assert!(matches!(numbers.try_receive(), Err(TryReceiveError::Empty)));
}

#[lunatic::test]
fn a_type_and_a_topic_are_received_past_others() {
    let (numbers, words) = (Mailbox::<u64>::new(), Mailbox::<String>::new());
    let urgent = Mailbox::<u64>::topic("urgent");
    for number in 0..10_000 {
        numbers.address().send(number);
    }
    words.address().send("first".to_owned());
    urgent.address().send(99);
    words.address().send("second".to_owned());
    assert_eq!(urgent.receive(), 99);
    assert_eq!(words.receive(), "first");
    assert_eq!(words.receive(), "second");
    assert_eq!(numbers.receive(), 0);
}

#[lunatic::test]
fn large_messages_arrive_whole() {
    let mailbox = Mailbox::<Vec<u8>>::new();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|at| at as u8).collect();
    mailbox.address().send(sent.clone());
    assert_eq!(mailbox.receive(), sent);
}

#[lunatic::test]
fn a_timeout_passes_and_loses_nothing() {
    let mailbox = Mailbox::<u8>::new();
    let start = Instant::now();
    let waited = mailbox.receive_timeout(Duration::from_millis(5));
    assert!(matches!(waited, Err(ReceiveTimeoutError::TimedOut)));
    assert!(start.elapsed() >= Duration::from_millis(5));
    mailbox.address().send(1);
    assert_eq!(mailbox.receive_timeout(LONG).unwrap(), 1);
}

#[lunatic::test]
fn a_full_mailbox_refuses_messages_but_not_signals() {
    let ready = Channel::new(0);
    let child = Process::builder()
        .mailbox_max(3)
        .spawn(move || {
            lunatic::process::trap_exit(true);
            ready.send(());
            let signal = Mailbox::<()>::topic("no one sends this").receive_mail();
            assert!(matches!(signal, lunatic::mailbox::Mail::Exit { .. }));
        })
        .unwrap();
    ready.receive();
    let to = Address::<u8>::of(child);
    for number in 0..3 {
        to.try_send(number).unwrap();
    }
    assert!(matches!(to.try_send(3), Err(TrySendError::Full(3))));
    child.exit(&ExitReason::Shutdown);
    assert_eq!(child.join(), ExitReason::Normal);
    assert!(matches!(to.try_send(4), Err(TrySendError::Closed(4))));
}

#[derive(Serialize, Deserialize)]
enum Request {
    Double(u64, ReplyTo<u64>),
    Spell(u64, ReplyTo<String>),
    Keep(ReplyTo<String>),
    Crash(ReplyTo<()>),
}

fn server() -> Address<Request> {
    let server = Process::spawn(|| {
        let requests = Mailbox::<Request>::new();
        let mut kept = None;
        loop {
            match requests.receive() {
                Request::Double(number, reply) => reply.send(2 * number),
                Request::Spell(number, reply) => {
                    if let Some(kept) = kept.take() {
                        ReplyTo::send(kept, "at last".to_owned());
                    }
                    reply.send(number.to_string());
                }
                Request::Keep(reply) => kept = Some(reply),
                Request::Crash(_) => exit(ExitReason::Error("a bad request".to_owned())),
            }
        }
    });
    Address::of(server.unwrap())
}

#[lunatic::test]
fn calls_are_answered_with_the_type_they_ask_for() {
    let server = server();
    for number in 0..100 {
        assert_eq!(server.call(|reply| Request::Double(number, reply)).unwrap(), 2 * number);
    }
    assert_eq!(server.call(|reply| Request::Spell(7, reply)).unwrap(), "7");
}

#[lunatic::test]
fn an_answer_can_come_later_and_from_another() {
    let server = server();
    let asked = Channel::new(0);
    let waiting = Process::spawn(move || {
        asked.send(());
        assert_eq!(server.call(Request::Keep).unwrap(), "at last");
    });
    asked.receive();
    // It may not have asked yet; each of these gives it another chance.
    while waiting.as_ref().unwrap().is_alive() {
        server.call(|reply| Request::Spell(1, reply)).unwrap();
    }
    assert_eq!(waiting.unwrap().join(), ExitReason::Normal);
}

#[lunatic::test]
fn a_call_ends_when_the_callee_does() {
    let server = server();
    let crashed = server.call(Request::Crash);
    assert!(matches!(&crashed, Err(CallError::Gone(ExitReason::Error(text))) if text == "a bad request"));
    let late = server.call(|reply| Request::Double(1, reply));
    assert!(matches!(&late, Err(CallError::Gone(ExitReason::Error(text))) if text == "a bad request"));
}

/// The host treats a callee that is called again differently from a new one.
#[lunatic::test]
fn a_call_ends_when_the_callee_does_whoever_was_called_before() {
    for ended in 0..3 {
        let servers = [server(), server(), server()];
        for number in 0..30_usize {
            // Each is called twice, and then another one is.
            let server = servers[number / 2 % 3];
            assert_eq!(server.call(|reply| Request::Double(1, reply)).unwrap(), 2);
        }
        let late = servers[ended].call_timeout(Request::Keep, Duration::from_millis(1));
        assert!(matches!(late, Err(CallError::TimedOut)));
        assert!(matches!(servers[ended].call(Request::Crash), Err(CallError::Gone(_))));
        for (at, server) in servers.iter().enumerate() {
            let answer = server.call(|reply| Request::Double(4, reply));
            assert_eq!(answer.ok(), (at != ended).then_some(8));
        }
    }
}

#[lunatic::test]
fn a_call_to_oneself_fails_at_once() {
    let here = Mailbox::<Request>::new();
    let never_made = |_| -> Request { panic!("a request that cannot be answered is not made") };
    let failed = here.address().call::<u64>(never_made);
    assert!(matches!(&failed, Err(CallError::CallingSelf)));
    assert!(failed.unwrap_err().to_string().contains("cannot call itself"));
    let failed = here.address().call_timeout(Request::Keep, LONG);
    assert!(matches!(failed, Err(CallError::CallingSelf)));
    assert!(here.try_receive().is_err(), "nothing was sent");
}

/// The inner call must not get the answer of the outer one.
#[lunatic::test]
fn a_call_can_be_made_while_the_request_of_another_is_made() {
    let (inner, outer) = (server(), server());
    for number in 0..100 {
        let answer = outer.call(|reply| {
            let doubled = inner.call(|reply| Request::Double(number, reply)).unwrap();
            // An answer that is sent before the request.
            if number % 2 == 0 {
                reply.send(7);
            }
            Request::Double(doubled, reply)
        });
        assert_eq!(answer.unwrap(), if number % 2 == 0 { 7 } else { 4 * number });
    }
}

#[lunatic::test]
fn an_answer_has_room_in_a_full_mailbox() {
    let server = server();
    let child = Process::builder().mailbox_max(2).spawn(move || {
        let here = Mailbox::<u8>::new().address();
        here.try_send(1).unwrap();
        here.try_send(2).unwrap();
        assert!(matches!(here.try_send(3), Err(TrySendError::Full(3))));
        assert_eq!(server.call(|reply| Request::Double(21, reply)).unwrap(), 42);
    });
    assert_eq!(child.unwrap().join(), ExitReason::Normal);
}

#[lunatic::test]
fn a_late_answer_is_dropped() {
    let server = server();
    let late = server.call_timeout(Request::Keep, Duration::from_millis(1));
    assert!(matches!(late, Err(CallError::TimedOut)));
    // Answers the request that was kept, and then this one.
    assert_eq!(server.call(|reply| Request::Spell(3, reply)).unwrap(), "3");
    assert!(matches!(
        Mailbox::<String>::new().try_receive(),
        Err(TryReceiveError::Empty)
    ));
}

#[lunatic::test]
fn a_select_tells_the_first_source_that_is_ready() {
    let (mail, channel) = (Mailbox::<u8>::new(), Channel::<u8>::new(0));
    let select = Select::new().mailbox(&mail).channel(&channel).signals();
    assert_eq!(select.wait_timeout(Duration::ZERO), None);
    assert_eq!(select.wait_timeout(Duration::from_millis(2)), None);
    Process::spawn(move || channel.send(5)).unwrap();
    assert_eq!(select.wait(), 1);
    let here = mail.address();
    Process::spawn(move || here.send(6)).unwrap().join();
    assert_eq!(select.wait(), 0);
    assert_eq!((mail.receive(), channel.receive()), (6, 5));
    let _monitor = Process::spawn(|| {}).unwrap().monitor();
    assert_eq!(select.wait(), 2);
}

#[lunatic::test]
fn a_closed_channel_is_ready() {
    let made = Channel::new(0);
    let owner = Process::spawn(move || {
        made.send(Channel::<u8>::new(0));
        Mailbox::<()>::new().receive();
    })
    .unwrap();
    let channel = made.receive();
    let select = Select::new().channel(&channel);
    assert_eq!(select.wait_timeout(Duration::ZERO), None);
    owner.kill();
    assert_eq!(select.wait(), 0);
    assert!(matches!(channel.try_receive(), Err(TryReceiveError::Closed)));
}

/// Several processes select from the same channels; every message must be received.
#[lunatic::test]
fn selects_lose_no_wake_up() {
    let (left, right, done) = (Channel::<u32>::new(0), Channel::<u32>::new(0), Channel::new(0));
    for _ in 0..4 {
        Process::spawn(move || {
            let select = Select::new().channel(&left).channel(&right);
            loop {
                let channel = if select.wait() == 0 { left } else { right };
                match channel.try_receive() {
                    Ok(0) => return,
                    Ok(number) => done.send(number),
                    Err(_) => {}
                }
            }
        })
        .unwrap();
    }
    for number in 1..=10_000 {
        if number % 3 == 0 { right } else { left }.send(number);
    }
    let sum: u64 = (1..=10_000).map(|_| u64::from(done.receive())).sum();
    assert_eq!(sum, 10_000 * 10_001 / 2);
    (0..4).for_each(|_| left.send(0));
}

#[lunatic::test]
fn timers_send_in_the_order_of_their_times() {
    let mailbox = Mailbox::<u32>::new();
    let start = Instant::now();
    for delay in [30_u32, 10, 20] {
        timer::send_after(mailbox.address(), delay, Duration::from_millis(delay.into()));
    }
    assert_eq!([mailbox.receive(), mailbox.receive(), mailbox.receive()], [10, 20, 30]);
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[lunatic::test]
fn a_cancelled_timer_says_whether_it_had_fired() {
    let mailbox = Mailbox::<u32>::new();
    let waiting = timer::send_after(mailbox.address(), 1, LONG);
    assert!(waiting.cancel());
    assert!(!waiting.cancel());
    let fired = timer::send_after(mailbox.address(), 2, Duration::ZERO);
    assert_eq!(mailbox.receive(), 2);
    assert!(!fired.cancel());
}

#[lunatic::test]
fn an_interval_does_not_drift_and_ends_when_cancelled() {
    let mailbox = Mailbox::<()>::new();
    let (start, every) = (Instant::now(), Duration::from_millis(2));
    let ticks = timer::send_interval(mailbox.address(), (), every);
    for tick in 1..=20 {
        mailbox.receive();
        assert!(start.elapsed() >= tick * every);
        // A late tick must not delay later ones.
        if tick == 5 {
            sleep(10 * every);
        }
    }
    assert!(ticks.cancel());
    // Some may have arrived while this process was late, and one may be on its way.
    sleep(10 * every);
    while mailbox.try_receive().is_ok() {}
    assert!(mailbox.receive_timeout(10 * every).is_err());
}

#[lunatic::test]
fn a_timer_ends_with_the_process_it_sends_to() {
    let child = Process::spawn(|| Mailbox::<u8>::new().receive_timeout(LONG).map(drop).unwrap()).unwrap();
    let timers = [1, 2].map(|_| timer::send_after(Address::<u8>::of(child), 0, LONG));
    child.kill();
    child.join();
    assert!(timers.iter().all(|timer| !timer.cancel()));
}

#[lunatic::test]
fn a_million_timers_are_set_and_cancelled() {
    // Other processes can use only half of the timers of a process.
    let owners: Vec<_> = (0..32)
        .map(|_| Process::spawn(|| sleep(Duration::MAX)).unwrap())
        .collect();
    let timers: Vec<_> = (0..1_000_000)
        .map(|number| timer::send_after(Address::<u32>::of(owners[number as usize % 32]), number, LONG))
        .collect();
    assert_eq!(timers.iter().filter(|timer| timer.cancel()).count(), 1_000_000);
    assert!(timers.iter().step_by(1000).all(|timer| !timer.cancel()));
}

#[lunatic::test]
fn a_timer_too_many_is_an_error() {
    let (here, child) = (
        Address::<u32>::of(this_process()),
        Address::of(Process::spawn(|| sleep(Duration::MAX)).unwrap()),
    );
    for (owner, max) in [(here, 65_536), (child, 32_768)] {
        let timers: Vec<_> = (0..max).map(|number| timer::send_after(owner, number, LONG)).collect();
        assert!(matches!(
            timer::try_send_after(owner, &7, LONG),
            Err(TimerError::TooMany)
        ));
        assert!(matches!(
            timer::try_send_interval(owner, &7, LONG),
            Err(TimerError::TooMany)
        ));
        let panics = Task::spawn(move || _ = timer::send_after(owner, 7, LONG));
        match panics.unwrap().join() {
            Err(ExitReason::Panic(text)) => assert!(text.contains("too many timers"), "{text}"),
            other => panic!("{other:?}"),
        }
        assert!(timers[0].cancel());
        assert!(timer::try_send_after(owner, &7, LONG).is_ok());
    }
}

#[lunatic::test]
fn a_result_without_room_is_a_failure_that_says_so() {
    let child = Process::builder().mailbox_max(1).spawn(|| {
        Mailbox::<u8>::new().address().try_send(1).unwrap();
        match Task::spawn(|| 7_u8).unwrap().join() {
            Err(ExitReason::Error(why)) => assert!(why.contains("no room in the mailbox"), "{why}"),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(child.unwrap().join(), ExitReason::Normal);
}

#[lunatic::test]
fn tasks_give_their_values_or_how_they_ended() {
    let tasks: Vec<_> = (0..100_u64)
        .map(|number| Task::spawn(move || number * number))
        .collect();
    for (number, task) in (0_u64..).zip(tasks) {
        assert_eq!(task.unwrap().join(), Ok(number * number));
    }
    let failed = Task::<u8>::spawn(|| exit(ExitReason::Error("no idea".to_owned()))).unwrap();
    assert_eq!(failed.join(), Err(ExitReason::Error("no idea".to_owned())));
    let slow = Task::<u8>::spawn(|| {
        loop {
            sleep(LONG);
        }
    })
    .unwrap();
    let slow = slow.join_timeout(Duration::from_millis(1)).unwrap_err();
    slow.process().kill();
    assert_eq!(slow.join(), Err(ExitReason::Killed));
}
