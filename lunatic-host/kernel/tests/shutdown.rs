//! Orderly stops of systems, in simulations of several seeds.

use std::sync::Arc;

use lunatic_kernel::System;
use lunatic_kernel::address::Id;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::relations::mailbox::Kind;
use lunatic_kernel::simulation::Simulation;
use lunatic_sys::codes::TAG_SIGNAL;
use parking_lot::Mutex;

use crate::closures::{Closures, Me, Outcome, SETTINGS, seed};

type Log = Arc<Mutex<Vec<&'static str>>>;

/// Runs a system whose main process runs `main`, and asks it to stop once that has written `ready`.
fn stop<F: Future<Output = Outcome> + Send + 'static>(
    main: impl Fn(Me, Log) -> F + Send + Sync + Copy + 'static,
) -> Vec<(Option<ExitReason>, Vec<&'static str>)> {
    let run = |random| {
        let mut simulation = Simulation::new(SETTINGS, random, Closures);
        let log = Log::default();
        let (kernel, to) = (simulation.kernel().clone(), log.clone());
        let system: Arc<System<Closures>> = kernel.start_system((), |()| seed(move |me| main(me, to))).unwrap();
        while !log.lock().contains(&"ready") {
            assert!(simulation.step(), "it is never ready");
        }
        kernel.shut_down(&system);
        kernel.shut_down(&system);
        simulation.run(100_000);
        let said = log.lock().clone();
        (system.exit_reason(), said)
    };
    (0..50).map(run).collect()
}

/// Waits for ever.
async fn waits(me: &Me) -> Outcome {
    loop {
        me.wait_outside().await;
    }
}

/// Traps exits, waits for the end of `of`, goes on for a while, and writes down what it heard.
async fn tidies_up(me: Me, log: Log, of: Id) -> Outcome {
    me.trap_exits();
    me.link(of)?;
    log.lock().push("ready");
    let mail = me.receive(&[TAG_SIGNAL]).await;
    assert!(matches!(mail.kind, Kind::Exit(from) if from == of));
    for _ in 0..20 {
        me.give_way().await;
    }
    log.lock().push(match ExitReason::from_bytes(&mail.body) {
        Some(ExitReason::Shutdown) => "tidied up after a stop",
        _ => "tidied up",
    });
    Ok(())
}

#[test]
fn who_is_linked_to_the_main_process_has_time_to_end() {
    let all = stop(|me, log| async move {
        let (parent, to) = (me.id(), log.clone());
        me.spawn(move |me| tidies_up(me, to, parent));
        me.spawn(|me| async move { waits(&me).await });
        waits(&me).await
    });
    for (reason, log) in all {
        assert_eq!(reason, Some(ExitReason::Shutdown));
        assert_eq!(log, ["ready", "tidied up after a stop"]);
    }
}

#[test]
fn a_main_process_that_traps_exits_ends_when_it_likes() {
    let all = stop(|me, log| async move {
        me.trap_exits();
        let (parent, to) = (me.id(), log.clone());
        me.spawn(move |me| tidies_up(me, to, parent));
        let mail = me.receive(&[TAG_SIGNAL]).await;
        assert!(matches!(mail.kind, Kind::Exit(from) if from == me.id()));
        for _ in 0..20 {
            me.give_way().await;
        }
        log.lock().push("main is done");
        Ok(())
    });
    for (reason, log) in all {
        assert_eq!(reason, Some(ExitReason::Normal));
        // Otherwise a normal end would be none for those that do not trap exits.
        assert_eq!(log, ["ready", "main is done", "tidied up after a stop"]);
    }
}

#[test]
fn children_that_are_not_linked_have_time_to_end_too() {
    let all = stop(|me, log| async move {
        let parent = me.id();
        me.spawn(move |me| async move {
            me.trap_exits();
            me.spawn(|me| async move { waits(&me).await });
            log.lock().push("ready");
            let mail = me.receive(&[TAG_SIGNAL]).await;
            assert!(matches!(mail.kind, Kind::Exit(from) if from == parent));
            assert_eq!(ExitReason::from_bytes(&mail.body), Some(ExitReason::Shutdown));
            log.lock().push("tidied up");
            Ok(())
        });
        waits(&me).await
    });
    for (reason, log) in all {
        assert_eq!((reason, log), (Some(ExitReason::Shutdown), vec!["ready", "tidied up"]));
    }
}

#[test]
fn a_failure_while_it_stops_is_the_reason_of_the_whole() {
    let all = stop(|me, log| async move {
        me.trap_exits();
        let (parent, to) = (me.id(), log.clone());
        me.spawn(move |me| tidies_up(me, to, parent));
        me.receive(&[TAG_SIGNAL]).await;
        Err(ExitReason::Exit(3))
    });
    for (reason, log) in all {
        assert_eq!(reason, Some(ExitReason::Exit(3)));
        assert_eq!(log, ["ready", "tidied up"]);
    }
}

#[test]
fn those_who_never_end_are_not_waited_for_once_nothing_moves() {
    let all = stop(|me, log| async move {
        let parent = me.id();
        me.spawn(move |me| async move {
            me.trap_exits();
            me.link(parent)?;
            log.lock().push("ready");
            me.receive(&[1]).await;
            Ok(())
        });
        me.receive(&[1]).await;
        Ok(())
    });
    for (reason, _) in all {
        assert_eq!(reason, Some(ExitReason::Shutdown));
    }
}

#[test]
fn one_that_ends_with_the_main_process_is_not_waited_for_in_vain() {
    let all = stop(|me, log| async move {
        let parent = me.id();
        // Ends at about the time of the main process.
        for _ in 0..10 {
            me.spawn(move |me| async move {
                me.link(parent)?;
                me.receive(&[1]).await;
                Ok(())
            });
        }
        log.lock().push("ready");
        waits(&me).await
    });
    for (reason, _) in all {
        assert_eq!(reason, Some(ExitReason::Shutdown));
    }
}
