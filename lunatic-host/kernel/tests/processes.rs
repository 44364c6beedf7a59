//! A kernel on real threads, without any WebAssembly.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lunatic_kernel::Settings;
use lunatic_kernel::address::Id;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::registry::{NameRefusal, Scope};
use lunatic_kernel::relations::mailbox::Kind;

use crate::closures::{Me, Outcome, SETTINGS, Threaded};

const PROCESSES: u32 = 100_000;

/// A child that waits for one message, answers it after a short sleep, and ends as it was told.
async fn child(me: Me, parent: Id, number: u32) -> Outcome {
    let request = me.receive(&[1]).await;
    assert_eq!(request.body[..], number.to_le_bytes());
    if number.is_multiple_of(10) {
        me.sleep(Duration::from_micros(50)).await;
    }
    me.send(parent, 2, &request.body).unwrap();
    match number % 3 {
        0 => Ok(()),
        1 => Err(ExitReason::Error("as told".into())),
        _ => Err(ExitReason::Exit(7)),
    }
}

/// 100,000 processes that live at once, each linked to its parent or monitored by it, each with a mailbox, every tenth with
/// a timer.
#[test]
fn a_hundred_thousand_processes_with_links_monitors_timers_and_mailboxes() {
    let threaded = Threaded::new();
    let reason = threaded.run(|me| async move {
        me.trap_exits();
        let parent = me.id();
        let mut children = Vec::new();
        for number in 0..PROCESSES {
            let id = me.spawn(move |me| child(me, parent, number));
            if number % 2 == 0 {
                me.link(id)?;
            } else {
                me.monitor(id);
            }
            children.push(id);
        }
        for (id, number) in children.iter().zip(0..PROCESSES) {
            me.send(*id, 1, &number.to_le_bytes()).unwrap();
        }
        let (mut answers, mut ends, mut normal) = (0, 0, 0);
        while ends < PROCESSES {
            let mail = me.receive(&[]).await;
            match mail.kind {
                Kind::Message(_) | Kind::Traced(..) => answers += 1,
                Kind::Change => unreachable!("there is no other version"),
                Kind::Exit(_) | Kind::Down(..) => {
                    ends += 1;
                    let reason = ExitReason::from_bytes(&mail.body).unwrap();
                    normal += u32::from(reason == ExitReason::Normal);
                }
            }
        }
        assert_eq!((answers, normal), (PROCESSES, PROCESSES.div_ceil(3)));
        assert!(children.iter().all(|id| !me.kernel.is_alive(*id)));
        Ok(())
    });
    assert_eq!(reason, ExitReason::Normal);
    assert_eq!(
        threaded.kernel.kept().usage().memory,
        0,
        "all that was queued has been given back"
    );
}

/// Whoever sees that a process has ended, or has joined it, has been told, and finds its names free.
#[test]
fn who_sees_an_end_has_been_told_of_it() {
    let threaded = Threaded::new();
    let reason = threaded.run(|me| async move {
        me.trap_exits();
        let scope = Arc::new(Scope::default());
        for round in 0..20_000 {
            let child = me.spawn(|_| async { Err(ExitReason::Exit(3)) });
            let Some(process) = me.kernel.find(child) else {
                continue;
            };
            let named = scope.register::<_, NameRefusal>(b"name", &me.process, || Ok(process.clone()));
            me.link(child)?;
            match round % 2 {
                0 => assert!([ExitReason::Exit(3)].contains(&me.join(&process).await)),
                _ => {
                    // Another worker runs it meanwhile, or this one does.
                    for _ in 0..100 {
                        if !me.kernel.is_alive(child) {
                            break;
                        }
                        std::hint::spin_loop();
                    }
                    while me.kernel.is_alive(child) {
                        me.give_way().await;
                    }
                }
            }
            drop(named);
            assert_eq!(scope.lookup(b"name"), None);
            let told = me
                .receive_timeout(&[], 0)
                .await
                .expect("it is told before the end is seen");
            assert_eq!(told.kind, Kind::Exit(child));
        }
        Ok(())
    });
    assert_eq!(reason, ExitReason::Normal);
}

#[test]
fn a_closure_that_panics_ends_its_process_and_no_other() {
    let threaded = Threaded::new();
    let reason = threaded.run(|me| async move {
        let id = me.spawn(|_| async { panic!("on purpose") });
        me.monitor(id);
        let mail = me.receive(&[]).await;
        let reason = ExitReason::from_bytes(&mail.body).unwrap();
        assert_eq!(reason, ExitReason::HostBug("on purpose".into()));
        Ok(())
    });
    assert_eq!(reason, ExitReason::Normal);
}

#[test]
fn a_system_that_sleeps_is_no_deadlock() {
    let reason = Threaded::new().run(|me| async move {
        for _ in 0..5 {
            me.sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    });
    assert_eq!(reason, ExitReason::Normal);
}

#[test]
fn a_system_in_which_nobody_can_go_on_ends_with_a_report() {
    let threaded = Threaded::new();
    let reason = threaded.run(|me| async move {
        me.receive(&[5]).await;
        Ok(())
    });
    assert!(
        matches!(&reason, ExitReason::Deadlock(report) if report.contains("Mail")),
        "{reason:?}"
    );
}

/// Sends each message that it gets to another process, and counts them.
async fn player(me: Me, other: Arc<OnceLock<Id>>, rounds: Arc<AtomicU64>) -> Outcome {
    loop {
        me.receive(&[]).await;
        rounds.fetch_add(1, Ordering::Relaxed);
        me.send(*other.get().unwrap(), 1, &[]).unwrap();
    }
}

/// Two players keep the only worker busy with runs that end in a wait. Whoever does the same, and is hit by the end of a time
/// slice, waits for its turn among them, and not until no player can run.
#[test]
fn a_short_run_in_which_a_slice_ends_is_no_long_one() {
    let threaded = Threaded::with(Settings { workers: 1, ..SETTINGS });
    let reason = threaded.run(|me| async move {
        let rounds = Arc::new(AtomicU64::new(0));
        let others: [Arc<OnceLock<Id>>; 2] = Default::default();
        let players = others.clone().map(|other| {
            let rounds = rounds.clone();
            me.spawn(|me| player(me, other, rounds))
        });
        for (other, player) in others.iter().rev().zip(players) {
            other.set(player).unwrap();
        }
        me.send(players[0], 1, &[]).unwrap();
        // A sleep may be over before it begins.
        while me.kernel.snapshot(me.id()).unwrap().runs < 20 || me.kernel.slices() < 100 {
            me.sleep(Duration::from_micros(100)).await;
        }
        let before = rounds.load(Ordering::Relaxed);
        me.kernel.clock().begin_slice();
        me.give_way().await;
        let passed = rounds.load(Ordering::Relaxed) - before;
        assert!(passed > 0, "others had no turn");
        assert!(passed < 200, "{passed} rounds were played meanwhile");
        Ok(())
    });
    assert_eq!(reason, ExitReason::Normal);
}
