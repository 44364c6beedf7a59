//! Links, monitors, exits and names, from the inside: run with `cargo lunatic test`.

use std::time::Duration;

use lunatic::mailbox::Mail;
use lunatic::process::{exit, parent, trap_exit};
use lunatic::registry::{self, Group, RegisterError};
use lunatic::{Channel, ExitReason, Mailbox, Process, SpawnError, this_process, yield_now};

/// Waits for ever.
fn idle() {
    Channel::<()>::new(0).receive();
}

fn error(text: &str) -> ExitReason {
    ExitReason::Error(text.to_owned())
}

/// The next notification about another process.
fn next_signal() -> Mail<()> {
    Mailbox::new().receive_mail()
}

fn no_signal() {
    assert_eq!(Mailbox::<()>::new().receive_mail_timeout(Duration::ZERO), None);
}

#[lunatic::test]
fn a_process_ends_with_the_reason_it_gives() {
    let reasons: [fn() -> ExitReason; 4] = [
        || ExitReason::Normal,
        || ExitReason::Shutdown,
        || ExitReason::Error("no paper".to_owned()),
        || ExitReason::Exit(3),
    ];
    for reason in reasons {
        assert_eq!(Process::spawn(move || exit(reason())).unwrap().join(), reason());
    }
}

#[lunatic::test]
fn an_exit_signal_ends_a_process_with_its_reason() {
    let child = Process::spawn(idle).unwrap();
    child.exit(&ExitReason::Normal);
    yield_now();
    assert!(child.is_alive(), "a normal exit signal ends nobody");
    child.exit(&error("enough"));
    assert_eq!(child.join(), error("enough"));
    child.exit(&error("again"));
}

#[lunatic::test]
fn a_killed_process_traps_nothing() {
    let trapping = Channel::new(0);
    let child = Process::spawn(move || {
        trap_exit(true);
        trapping.send(());
        loop {
            let _ = next_signal();
        }
    })
    .unwrap();
    trapping.receive();
    child.exit(&error("trapped"));
    child.exit(&ExitReason::Killed);
    assert_eq!(child.join(), ExitReason::Killed);
}

#[lunatic::test]
fn a_trapped_exit_signal_is_mail() {
    let mail = Channel::new(0);
    let child = Process::builder()
        .trap_exit()
        .spawn(move || {
            for _ in 0..2 {
                match next_signal() {
                    Mail::Exit { from, reason } => mail.send((from, reason)),
                    other => panic!("{other:?}"),
                }
            }
        })
        .unwrap();
    child.exit(&ExitReason::Normal);
    child.exit(&ExitReason::Shutdown);
    assert_eq!(mail.receive(), (this_process(), ExitReason::Normal));
    assert_eq!(mail.receive(), (this_process(), ExitReason::Shutdown));
    assert_eq!(child.join(), ExitReason::Normal);
}

#[lunatic::test]
fn a_linked_process_ends_with_the_same_reason() {
    let middle = Process::spawn(|| {
        for _ in 0..3 {
            Process::spawn_link(idle).unwrap();
        }
        let last = Process::spawn_link(|| {
            yield_now();
            exit(ExitReason::Error("down we go".to_owned()));
        });
        last.unwrap();
        idle();
    })
    .unwrap();
    assert_eq!(middle.join(), error("down we go"));
}

#[lunatic::test]
fn a_normal_end_ends_nobody_else() {
    let child = Process::spawn_link(|| {}).unwrap();
    assert_eq!(child.join(), ExitReason::Normal);
    trap_exit(true);
    let child = Process::spawn_link(|| {}).unwrap();
    assert_eq!(
        next_signal(),
        Mail::Exit {
            from: child,
            reason: ExitReason::Normal
        }
    );
}

#[lunatic::test]
fn a_link_to_an_ended_process_is_an_exit_at_once() {
    let ended = Process::spawn(|| {}).unwrap();
    ended.join();
    let linker = Process::spawn(move || {
        ended.link();
        panic!("the link ends this process");
    });
    assert_eq!(linker.unwrap().join(), ExitReason::NoProcess);
    trap_exit(true);
    ended.link();
    assert_eq!(
        next_signal(),
        Mail::Exit {
            from: ended,
            reason: ExitReason::NoProcess
        }
    );
    // However many there are: the limit is for signals that a process sends.
    (0..20).for_each(|_| ended.link());
    (0..20).for_each(|_| assert!(matches!(next_signal(), Mail::Exit { .. })));
    no_signal();
}

#[lunatic::test]
fn two_links_are_one() {
    trap_exit(true);
    let child = Process::spawn_link(idle).unwrap();
    child.link();
    child.kill();
    assert_eq!(
        next_signal(),
        Mail::Exit {
            from: child,
            reason: ExitReason::Killed
        }
    );
    child.join();
    no_signal();
}

#[lunatic::test]
fn after_unlink_no_exit_arrives() {
    trap_exit(true);
    for _ in 0..100 {
        let child = Process::spawn_link(idle).unwrap();
        child.unlink();
        child.kill();
        child.join();
    }
    no_signal();
}

#[lunatic::test]
fn the_end_of_a_monitored_process_is_told_once_each() {
    let child = Process::spawn(|| exit(ExitReason::Error("broken".to_owned()))).unwrap();
    let monitors = [child.monitor(), child.monitor()];
    for _ in 0..2 {
        match next_signal() {
            Mail::Down { monitor, reason } => {
                assert!(monitors.contains(&monitor));
                assert_eq!((monitor.process(), reason), (child, error("broken")));
            }
            other => panic!("{other:?}"),
        }
    }
    no_signal();
    let late = child.monitor();
    assert_eq!(
        next_signal(),
        Mail::Down {
            monitor: late,
            reason: error("broken")
        }
    );
    assert!(!late.demonitor());
}

#[lunatic::test]
fn a_monitor_that_was_taken_away_tells_nothing() {
    let (child, monitor) = Process::spawn_monitor(idle).unwrap();
    assert!(monitor.demonitor());
    child.kill();
    child.join();
    no_signal();
    let (child, monitor) = Process::spawn_monitor(|| {}).unwrap();
    child.join();
    monitor.demonitor();
    no_signal();
}

#[lunatic::test]
fn parents_are_known() {
    let here = this_process();
    let told = Channel::new(0);
    Process::spawn(move || told.send(parent())).unwrap();
    assert_eq!(told.receive(), Some(here));
}

#[lunatic::test]
fn a_name_is_of_one_process_and_falls_with_it() {
    let child = Process::builder().name("clerk").spawn(idle).unwrap();
    assert_eq!(registry::lookup("clerk"), Some(child));
    assert_eq!(registry::register("clerk", this_process()), Err(RegisterError::Taken));
    assert_eq!(
        Process::builder().name("clerk").spawn(idle),
        Err(SpawnError::NameTaken(child))
    );
    assert_eq!(registry::get_or_spawn("clerk", idle), Ok(child));
    let monitor = child.monitor();
    child.kill();
    assert_eq!(
        next_signal(),
        Mail::Down {
            monitor,
            reason: ExitReason::Killed
        }
    );
    assert_eq!(registry::lookup("clerk"), None, "names fall before monitors hear");
    assert_eq!(registry::register("clerk", child), Err(RegisterError::Ended));
    assert_eq!(registry::register("clerk", this_process()), Ok(()));
    assert!(registry::unregister("clerk") && !registry::unregister("clerk"));
}

#[lunatic::test]
fn a_process_can_have_several_names() {
    let child = Process::builder().name("clerk").spawn(idle).unwrap();
    assert_eq!(registry::register("cashier", child), Ok(()));
    assert_eq!(registry::register("cashier", child), Err(RegisterError::Taken));
    assert_eq!(["clerk", "cashier"].map(registry::lookup), [Some(child); 2]);
    assert!(registry::unregister("clerk"));
    assert_eq!(["clerk", "cashier"].map(registry::lookup), [None, Some(child)]);
    assert_eq!(registry::register("clerk", child), Ok(()));
    child.kill();
    child.join();
    assert_eq!(["clerk", "cashier"].map(registry::lookup), [None; 2]);
}

#[lunatic::test]
fn of_many_who_ask_for_a_name_at_once_one_spawns() {
    for _ in 0..100 {
        let (ready, told) = (Channel::<()>::new(0), Channel::new(0));
        for _ in 0..20 {
            Process::spawn(move || {
                ready.receive();
                told.send(registry::get_or_spawn("desk", idle).unwrap());
            })
            .unwrap();
        }
        (0..20).for_each(|_| ready.send(()));
        let desk = told.receive();
        (1..20).for_each(|_| assert_eq!(told.receive(), desk));
        assert_eq!(registry::lookup("desk"), Some(desk));
        desk.kill();
        desk.join();
    }
}

#[lunatic::test]
fn names_of_another_scope_are_not_seen() {
    registry::register("secret", this_process()).unwrap();
    let seen = Channel::new(0);
    Process::builder()
        .own_names()
        .spawn(move || {
            seen.send(registry::lookup("secret"));
            registry::register("secret", this_process()).unwrap();
            // A child is in the scope of its parent.
            Process::spawn(move || seen.send(registry::lookup("secret")))
                .unwrap()
                .join();
        })
        .unwrap();
    assert_eq!(seen.receive(), None);
    assert!(seen.receive().is_some_and(|holder| holder != this_process()));
    assert_eq!(registry::lookup("secret"), Some(this_process()));
}

#[lunatic::test]
fn a_group_has_its_members_until_they_leave_or_end() {
    let group = Group::named("choir");
    assert_eq!(group.members(), []);
    let singers: Vec<Process> = (0..3).map(|_| Process::spawn(idle).unwrap()).collect();
    for singer in &singers {
        group.join(*singer).unwrap();
        group.join(*singer).unwrap();
    }
    assert_eq!(group.members(), singers);
    assert!(group.leave(singers[0]) && !group.leave(singers[0]));
    singers[1].kill();
    singers[1].join();
    group.join(this_process()).unwrap();
    assert_eq!(group.members(), [singers[2], this_process()]);
    assert_eq!(group.broadcast(&7_u32), 2);
    assert_eq!(Mailbox::<u32>::new().receive(), 7);
    assert_eq!(group.join(singers[1]), Err(RegisterError::Ended));
}

#[lunatic::test]
fn a_child_never_has_more_memory_than_its_parent() {
    let grown = Channel::new(0);
    let grow = move || {
        Process::builder()
            .max_memory(u64::MAX)
            .spawn(move || drop(std::hint::black_box(vec![1_u8; 32 << 20])))
            .map(|child| grown.send(child.join()))
            .unwrap();
    };
    Process::builder().max_memory(16 << 20).spawn(grow).unwrap();
    assert!(matches!(grown.receive(), ExitReason::OutOfMemory(_)));
    Process::builder().max_memory(256 << 20).spawn(grow).unwrap();
    assert_eq!(grown.receive(), ExitReason::Normal);
}

/// Both processes exit at the same time, with links and unlinks in between: no process hangs, and each is notified of
/// each exit once.
#[lunatic::test]
fn links_race_with_ends() {
    trap_exit(true);
    for _ in 0..10_000 {
        let child = Process::spawn(|| {}).unwrap();
        child.link();
        match next_signal() {
            Mail::Exit { from, reason } => {
                assert_eq!(from, child);
                assert!(matches!(reason, ExitReason::Normal | ExitReason::NoProcess), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    no_signal();
}

#[lunatic::test]
fn monitors_race_with_ends() {
    for _ in 0..10_000 {
        let child = Process::spawn(|| {}).unwrap();
        let monitor = child.monitor();
        assert_eq!(
            next_signal(),
            Mail::Down {
                monitor,
                reason: ExitReason::Normal
            }
        );
    }
    no_signal();
}

#[lunatic::test]
fn unlinks_race_with_ends() {
    trap_exit(true);
    for _ in 0..10_000 {
        let child = Process::spawn_link(|| {}).unwrap();
        child.unlink();
        // Signals from before the unlink stay; later ones do not arrive.
        let before = Mailbox::<()>::new().receive_mail_timeout(Duration::ZERO);
        child.join();
        let after = Mailbox::<()>::new().receive_mail_timeout(Duration::ZERO);
        assert_eq!(after, None, "before: {before:?}");
    }
}
