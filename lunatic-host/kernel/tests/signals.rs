//! What processes tell each other of their ends, as OTP has it; in one thread, so that nothing happens between two steps of a
//! test but what the test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lunatic_kernel::Seed;
use lunatic_kernel::address::Id;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::relations::EXITS_PENDING_MAX;
use lunatic_kernel::relations::mailbox::Kind;
use lunatic_kernel::simulation::Simulation;

use crate::closures::{Closures, Counts, Me, Outcome, SETTINGS, seed};

/// Runs a system in one thread until nothing can happen any more: how it ended.
fn run<F: Future<Output = Outcome> + Send + 'static>(main: impl FnOnce(Me) -> F + Send + 'static) -> ExitReason {
    let mut simulation = Simulation::new(SETTINGS, 7, Closures);
    let system = simulation.kernel().start_system((), |()| seed(main)).unwrap();
    simulation.run(10_000);
    system.exit_reason().expect("the system comes to an end")
}

async fn waits_for_ever(me: Me) -> Outcome {
    me.receive(&[u64::MAX >> 1]).await;
    Ok(())
}

/// The reason that the next piece of mail tells.
async fn reason(me: &Me) -> ExitReason {
    let mail = me.receive(&[]).await;
    assert!(matches!(mail.kind, Kind::Exit(_) | Kind::Down(..)), "{mail:?}");
    ExitReason::from_bytes(&mail.body).unwrap()
}

/// A child that waits for ever, linked to the caller, which traps exits, and monitored by it.
fn related_child(me: &Me) -> Id {
    me.trap_exits();
    let child = me.spawn(waits_for_ever);
    me.link(child).unwrap();
    me.monitor(child);
    child
}

#[test]
fn the_first_reason_that_ends_a_process_stands() {
    let (error, shutdown) = (ExitReason::Error("first".into()), ExitReason::Shutdown);
    for signals in [
        [ExitReason::Killed, shutdown.clone()],
        [shutdown.clone(), ExitReason::Killed],
        [error.clone(), shutdown.clone()],
        [shutdown, error],
    ] {
        let ended = run(|me| async move {
            let child = related_child(&me);
            for signal in &signals {
                me.exit(child, signal)?;
            }
            assert_eq!(
                [reason(&me).await, reason(&me).await],
                [signals[0].clone(), signals[0].clone()]
            );
            Ok(())
        });
        assert_eq!(ended, ExitReason::Normal);
    }
}

#[test]
fn the_end_of_a_linked_process_does_not_replace_the_reason_of_a_kill() {
    let ended = run(|me| async move {
        let child = related_child(&me);
        let linked = me.spawn(move |me| async move {
            me.link(child)?;
            waits_for_ever(me).await
        });
        me.give_way().await;
        me.give_way().await;
        me.exit(child, &ExitReason::Killed)?;
        me.exit(linked, &ExitReason::Shutdown)?;
        assert_eq!(
            [reason(&me).await, reason(&me).await],
            [ExitReason::Killed, ExitReason::Killed]
        );
        Ok(())
    });
    assert_eq!(ended, ExitReason::Normal);
}

#[test]
fn a_link_that_is_made_after_an_exit_signal_finds_no_process() {
    for signal in [
        ExitReason::Shutdown,
        ExitReason::Error("why".into()),
        ExitReason::Killed,
    ] {
        let ended = run(|me| async move {
            me.trap_exits();
            let child = me.spawn(waits_for_ever);
            me.exit(child, &signal)?;
            me.link(child)?;
            assert_eq!(reason(&me).await, ExitReason::NoProcess);
            assert!(me.receive_timeout(&[], 1_000_000).await.is_none(), "it is told once");
            Ok(())
        });
        assert_eq!(ended, ExitReason::Normal);
    }
}

#[test]
fn who_does_not_trap_ends_by_a_link_to_what_was_told_to_end() {
    let ended = run(|me| async move {
        let child = me.spawn(waits_for_ever);
        me.exit(child, &ExitReason::Shutdown)?;
        me.link(child)
    });
    assert_eq!(ended, ExitReason::NoProcess);
}

#[test]
fn messages_and_exit_signals_keep_their_order() {
    let ended = run(|me| async move {
        let parent = me.id();
        me.trap_exits();
        let child = me.spawn(move |me| async move {
            me.trap_exits();
            me.send(parent, 4, &[]).unwrap();
            let first = me.receive(&[]).await;
            let second = me.receive(&[]).await;
            let _ = me.send(parent, 3, &[first.body[0], u8::from(second.kind.is_message())]);
            Ok(())
        });
        me.receive(&[4]).await;
        me.send(child, 1, &[1]).unwrap();
        me.exit(child, &ExitReason::Shutdown)?;
        let answer = me.receive(&[3]).await;
        assert_eq!(
            answer.body[..],
            [1, 0],
            "a process that traps gets both, in their order"
        );
        Ok(())
    });
    assert_eq!(ended, ExitReason::Normal);
}

#[test]
fn a_message_after_an_exit_signal_is_lost() {
    for signal in [ExitReason::Shutdown, ExitReason::Killed] {
        let ended = run(|me| async move {
            let child = me.spawn(waits_for_ever);
            me.exit(child, &signal)?;
            assert_eq!(me.send(child, 1, &[1]), Ok(()));
            assert_eq!(me.kernel.snapshot(child).unwrap().mailbox_len, 0);
            Ok(())
        });
        assert_eq!(ended, ExitReason::Normal);
    }
}

#[test]
fn the_end_of_a_callee_answers_the_call() {
    let ended = run(|me| async move {
        for _ in 0..3 {
            let child = me.spawn(|me| async move {
                me.receive(&[4]).await;
                Err(ExitReason::Exit(3))
            });
            let answer = me.call(child, 4, &[]).await;
            assert!(matches!(answer.kind, Kind::Down(id, _) if id == child), "{answer:?}");
            assert_eq!(ExitReason::from_bytes(&answer.body), Some(ExitReason::Exit(3)));
        }
        Ok(())
    });
    assert_eq!(ended, ExitReason::Normal);
}

#[test]
fn a_monitor_of_oneself_is_none() {
    let ended = run(|me| async move {
        let reference = me.monitor(me.id());
        assert!(!me.kernel.demonitor(&me.process, reference, true));
        assert!(me.kernel.snapshot(me.id()).unwrap().monitored_by.is_empty());
        Ok(())
    });
    assert_eq!(ended, ExitReason::Normal);
}

#[test]
fn a_monitor_of_what_has_ended_tells_how_it_ended() {
    let ended = run(|me| async move {
        let child = me.spawn(|_| async { Err(ExitReason::Exit(3)) });
        me.monitor(child);
        assert_eq!(reason(&me).await, ExitReason::Exit(3));
        me.monitor(child);
        assert_eq!(reason(&me).await, ExitReason::Exit(3));
        Ok(())
    });
    assert_eq!(ended, ExitReason::Normal);
}

/// In OTP a second link is none: the first tells of the end, once.
#[test]
fn a_second_link_to_what_was_told_to_end_tells_nothing_of_its_own() {
    let ended = run(|me| async move {
        me.trap_exits();
        let child = me.spawn(waits_for_ever);
        me.link(child)?;
        me.exit(child, &ExitReason::Shutdown)?;
        me.link(child)?;
        assert_eq!(reason(&me).await, ExitReason::Shutdown);
        assert!(me.receive_timeout(&[], 1_000_000).await.is_none(), "it is told once");
        Ok(())
    });
    assert_eq!(ended, ExitReason::Normal);
}

#[test]
fn only_so_many_sent_exit_signals_of_one_process_wait() {
    let ended = run(|me| async move {
        me.trap_exits();
        let child = me.spawn(|me| async move {
            let parent = me.process.parent.unwrap();
            for number in 0..100 {
                me.kernel.send_exit(&me.process, parent, &ExitReason::Exit(number + 1));
            }
            Ok(())
        });
        me.monitor(child);
        let mut exits = Vec::new();
        let mut mail = me.receive(&[]).await;
        while let Kind::Exit(from) = mail.kind {
            exits.push((from, mail.body.to_vec()));
            mail = me.receive(&[]).await;
        }
        let expected: Vec<_> = (1..=EXITS_PENDING_MAX as i32)
            .map(|number| (child, ExitReason::Exit(number).to_bytes().1))
            .collect();
        assert_eq!(exits, expected);
        Ok(())
    });
    assert_eq!(ended, ExitReason::Normal);
}

/// It takes them out in its own way, so the kernel does not know how many are left.
#[test]
fn an_intake_is_told_of_every_exit_signal() {
    let heard = Arc::new(AtomicUsize::new(0));
    let intake = Counts(heard.clone());
    let ended = run(|me| async move {
        let receiver = seed(|me| async move {
            me.trap_exits();
            waits_for_ever(me).await
        });
        let receiver = Seed {
            intake: Some(Box::new(intake)),
            ..receiver
        };
        let receiver = me.kernel.spawn(&me.process, receiver).unwrap();
        // It has to trap exits before the first comes.
        me.give_way().await;
        me.give_way().await;
        for _ in 0..2 * EXITS_PENDING_MAX {
            me.exit(receiver, &ExitReason::Shutdown)?;
        }
        Ok(())
    });
    assert_eq!(ended, ExitReason::Normal);
    assert_eq!(heard.load(Ordering::Relaxed), 2 * EXITS_PENDING_MAX as usize);
}
