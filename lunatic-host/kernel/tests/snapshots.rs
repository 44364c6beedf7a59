//! What a kernel says of its processes: right when nothing else happens, and never in the way when all is busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::process::state::Phase;
use lunatic_kernel::registry::{NameRefusal, Scope};
use lunatic_kernel::simulation::Simulation;

use crate::closures::{Closures, Me, Outcome, SETTINGS, Threaded, seed};

const SNAPSHOTS: usize = 1_000_000;

/// Runs a system in one thread until nothing can happen any more.
fn run<F: Future<Output = Outcome> + Send + 'static>(main: impl FnOnce(Me) -> F + Send + 'static) {
    let mut simulation = Simulation::new(SETTINGS, 3, Closures);
    let system = simulation.kernel().start_system((), |()| seed(main)).unwrap();
    simulation.run(10_000);
    assert_eq!(system.exit_reason(), Some(ExitReason::Normal));
}

async fn waits(me: Me) -> Outcome {
    me.receive(&[1]).await;
    Ok(())
}

#[test]
fn a_snapshot_tells_what_a_process_does_and_whom_it_knows() {
    run(|me| async move {
        let show = |id| me.kernel.snapshot(id);
        let child = me.spawn(waits);
        let fresh = show(child).unwrap();
        assert_eq!((fresh.phase, fresh.wait, fresh.runs), (Phase::Queued, None, 0));
        assert_eq!((fresh.parent, fresh.links.len()), (Some(me.id()), 0));
        let own = show(me.id()).unwrap();
        assert_eq!((own.phase, own.wait, own.parent), (Phase::Running, None, None));

        me.trap_exits();
        me.link(child)?;
        me.monitor(child);
        me.monitor(child);
        let scope = Arc::new(Scope::default());
        let process = me.kernel.find(child).unwrap();
        let named = scope.register::<_, NameRefusal>(b"the child", &me.process, || Ok(process));
        assert!(named.is_ok());
        me.give_way().await;
        let blocked = show(child).unwrap();
        assert_eq!(
            (blocked.phase, blocked.wait),
            (Phase::Blocked, Some((WaitFor::Mail, Id::NONE)))
        );
        assert_eq!((blocked.links, blocked.monitored_by), (vec![me.id()], vec![me.id(); 2]));
        assert_eq!((blocked.names, blocked.runs), (vec!["the child".to_string()], 1));
        let own = show(me.id()).unwrap();
        assert_eq!(
            (own.links, own.monitors, own.traps_exits),
            (vec![child], vec![child; 2], true)
        );

        let before = show(child).unwrap().mailbox_bytes;
        for _ in 0..3 {
            me.send(child, 2, &[7; 100]).unwrap();
        }
        let full = show(child).unwrap();
        assert_eq!((full.phase, full.mailbox_len), (Phase::Blocked, 3));
        assert!(full.mailbox_bytes >= before + 300);
        assert_eq!(
            (full.mailbox_bytes + show(me.id()).unwrap().mailbox_bytes) as u64,
            me.kernel.queued(),
            "what both hold is what is charged for it"
        );
        me.send(child, 1, &[]).unwrap();
        assert_eq!(show(child).unwrap().phase, Phase::Queued);
        let told = [me.receive(&[]).await, me.receive(&[]).await, me.receive(&[]).await];
        assert!(told.iter().all(|mail| mail.body[..] == ExitReason::Normal.to_bytes().1));
        assert_eq!(show(child), None);
        let own = show(me.id()).unwrap();
        assert_eq!((own.links.len(), own.monitors.len(), own.timers), (0, 0, 0));
        Ok(())
    });
}

#[test]
fn snapshots_of_many_are_those_that_were_selected() {
    run(|me| async move {
        let children: Vec<Id> = (0..100).map(|_| me.spawn(waits)).collect();
        // What selects may ask the kernel.
        let own = me.id();
        let shown = me
            .kernel
            .snapshots(|process| me.kernel.is_alive(process.id) && process.parent == Some(own));
        assert_eq!(shown.iter().map(|shown| shown.id).collect::<Vec<_>>(), children);
        assert_eq!(me.kernel.snapshots(|_| true).len(), 101);
        Ok(())
    });
}

/// Of a process that computes, the time on a core grows; of one that waits, it does not.
#[test]
fn time_on_a_core_is_that_of_who_computes() {
    let threaded = Threaded::new();
    let reason = threaded.run(|me| async move {
        let parent = me.id();
        let idle = me.spawn(waits);
        let busy = me.spawn(move |me| async move {
            let until = me.kernel.slices() + 4;
            while me.kernel.slices() < until {
                std::hint::spin_loop();
            }
            me.give_way().await;
            me.send(parent, 1, &[]).unwrap();
            me.receive(&[1]).await;
            Ok(())
        });
        me.receive(&[1]).await;
        let (busy, idle) = (me.kernel.snapshot(busy).unwrap(), me.kernel.snapshot(idle).unwrap());
        assert!(busy.time_on_core >= Duration::from_millis(4), "{busy:?}");
        assert!(busy.runs >= 2 && busy.age_slices >= 4);
        assert_eq!(idle.time_on_core, Duration::ZERO, "{idle:?}");
        Ok(())
    });
    assert_eq!(reason, ExitReason::Normal);
}

/// A process that makes others, links, monitors and kills them, until it is told to stop.
async fn busy(me: Me, stop: Arc<AtomicBool>) -> Outcome {
    me.trap_exits();
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let child = me.spawn(waits);
        me.link(child)?;
        me.monitor(child);
        me.send(child, 2, &[1; 60]).unwrap();
        number += 1;
        match number % 3 {
            0 => me.exit(child, &ExitReason::Killed)?,
            _ => me.send(child, 1, &[]).unwrap(),
        }
        for _ in 0..2 {
            me.receive(&[]).await;
        }
        if number.is_multiple_of(8) {
            me.give_way().await;
        }
    }
    Ok(())
}

#[test]
fn a_million_snapshots_of_a_busy_system_are_in_nobodys_way() {
    let threaded = Threaded::new();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let system = threaded.kernel.start_system((), |()| {
        seed(move |me| async move {
            for _ in 0..50 {
                let (parent, stop) = (me.id(), stopped.clone());
                me.spawn(move |me| async move {
                    busy(me.clone(), stop).await?;
                    me.send(parent, 3, &[]).unwrap();
                    Ok(())
                });
            }
            for _ in 0..50 {
                me.receive(&[3]).await;
            }
            Ok(())
        })
    });
    let system = system.unwrap();
    let (mut taken, mut runs) = (0, 0);
    while taken < SNAPSHOTS {
        let shown = threaded.kernel.snapshots(|_| true);
        taken += shown.len();
        for shown in &shown {
            runs += u64::from(shown.runs > 0);
            assert!(shown.links.len() <= 2 && shown.mailbox_len <= 4, "{shown:?}");
            assert_eq!(shown.phase == Phase::Blocked, shown.wait.is_some());
        }
    }
    assert!(runs > 0);
    stop.store(true, Ordering::Relaxed);
    assert_eq!(system.wait(), ExitReason::Normal);
    threaded.kernel.sweep(&system);
}

#[test]
fn the_first_of_many_are_found_in_their_order() {
    run(|me| async move {
        let children: Vec<Id> = (0..2000).map(|_| me.spawn(waits)).collect();
        // The more messages, the earlier it was spawned.
        for (messages, child) in children.iter().rev().enumerate().skip(1990) {
            (0..messages).for_each(|_| me.send(*child, 2, &[]).unwrap());
        }
        let by_mailbox = |skip, limit| {
            let key = |process: &lunatic_kernel::Process<Closures>| {
                let (len, _) = process.mailbox_size();
                (process.parent == Some(me.id())).then_some(std::cmp::Reverse(len))
            };
            let (first, matched) = me.kernel.first_by(skip, limit, key);
            (first.iter().map(|process| process.id).collect::<Vec<_>>(), matched)
        };
        assert_eq!(by_mailbox(0, 3), (children[..3].to_vec(), 2000));
        assert_eq!(by_mailbox(7, 5), (children[7..12].to_vec(), 2000));
        assert_eq!(by_mailbox(1998, 100), (children[1998..].to_vec(), 2000));
        assert_eq!(by_mailbox(5000, 10), (vec![], 2000));
        assert_eq!(by_mailbox(0, 0), (vec![], 2000));
        children.iter().for_each(|child| me.send(*child, 1, &[]).unwrap());
        Ok(())
    });
}
