//! What processes may use, in virtual time: exact, however busy the machine is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lunatic_kernel::budget::{Budget, Caps, Resource};
use lunatic_kernel::channel::SendRefusal;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::simulation::{Passing, Simulation};
use lunatic_kernel::{Seed, SpawnLimit};

use crate::closures::{Closures, Counts, Limits, Me, Outcome, SETTINGS, limited, seed};

const MS: Duration = Duration::from_millis(1);

fn simulation() -> Simulation<Closures> {
    Simulation::new(SETTINGS, 9, Closures)
}

fn within(simulation: &Simulation<Closures>, caps: Caps) -> (Limits, Arc<Budget>) {
    let budget = Budget::outermost(caps, simulation.kernel().now());
    let limits = Limits {
        budget: Some(budget.clone()),
        mailbox_max: None,
    };
    (limits, budget)
}

/// Runs a system for so many steps at most, in which its main process ends normally.
fn ends_normally(simulation: &mut Simulation<Closures>, main: Seed<Closures>, steps: usize) {
    let system = simulation.kernel().start_system((), |()| main).unwrap();
    simulation.run(steps);
    assert_eq!(system.exit_reason(), Some(ExitReason::Normal));
}

/// Computes for a millisecond at a time.
async fn computes(me: Me, passing: Passing, rounds: u32) -> Outcome {
    for _ in 0..rounds {
        passing.pass(MS);
        me.give_way().await;
    }
    Ok(())
}

#[test]
fn a_process_that_has_used_up_its_time_ends() {
    let mut simulation = simulation();
    let (limits, budget) = within(
        &simulation,
        Caps {
            cpu: Some(5 * MS),
            ..Caps::default()
        },
    );
    let passing = simulation.passing();
    let main = limited(limits, |me| computes(me, passing, 1000));
    let system = simulation.kernel().start_system((), |()| main).unwrap();
    simulation.run(10_000);
    assert_eq!(system.exit_reason(), Some(ExitReason::OutOfBudget));
    assert_eq!(budget.usage().cpu, 5 * MS);
    assert_eq!(budget.usage().processes, 0);
}

#[test]
fn a_reason_that_was_given_before_the_time_was_up_stands() {
    let mut simulation = simulation();
    let (limits, _) = within(
        &simulation,
        Caps {
            cpu: Some(MS),
            ..Caps::default()
        },
    );
    let passing = simulation.passing();
    let main = |me: Me| async move {
        me.trap_exits();
        let own = me.clone();
        let child = limited(limits, |me| async move {
            passing.pass(2 * MS);
            own.exit(me.id(), &ExitReason::Shutdown)?;
            me.give_way().await;
            Ok(())
        });
        let child = me.kernel.spawn(&me.process, child).unwrap();
        me.monitor(child);
        let told = me.receive(&[]).await;
        assert_eq!(ExitReason::from_bytes(&told.body), Some(ExitReason::Shutdown));
        Ok(())
    };
    ends_normally(&mut simulation, seed(main), 10_000);
}

/// Three processes within a tenth of a core compute for 300 ms: that takes three seconds, give or take a period.
#[test]
fn a_share_of_a_core_is_kept_by_all_who_share_it() {
    let mut simulation = simulation();
    let (limits, budget) = within(
        &simulation,
        Caps {
            cpu_share: Some(10),
            ..Caps::default()
        },
    );
    let passing = simulation.passing();
    let main = |me: Me| async move {
        for _ in 0..3 {
            let passing = passing.clone();
            let child = limited(limits.clone(), |me| computes(me, passing, 100));
            me.monitor(me.kernel.spawn(&me.process, child).unwrap());
        }
        for _ in 0..3 {
            let told = me.receive(&[]).await;
            assert_eq!(ExitReason::from_bytes(&told.body), Some(ExitReason::Normal));
        }
        Ok(())
    };
    ends_normally(&mut simulation, seed(main), 100_000);
    assert_eq!(budget.usage().cpu, 300 * MS);
    let passed = simulation.passed();
    assert!((2800 * MS..3200 * MS).contains(&passed), "{passed:?}");
}

#[test]
fn a_throttled_process_is_killed_at_once() {
    let mut simulation = simulation();
    let (limits, _) = within(
        &simulation,
        Caps {
            cpu_share: Some(1),
            ..Caps::default()
        },
    );
    let passing = simulation.passing();
    let main = |me: Me| async move {
        let child = limited(limits, |me| async move {
            // Ten seconds' worth of its share.
            passing.pass(100 * MS);
            me.give_way().await;
            Ok(())
        });
        let child = me.kernel.spawn(&me.process, child).unwrap();
        me.monitor(child);
        me.sleep(200 * MS).await;
        assert!(me.kernel.is_alive(child), "it waits for its share");
        me.exit(child, &ExitReason::Killed)?;
        let told = me.receive(&[]).await;
        assert_eq!(ExitReason::from_bytes(&told.body), Some(ExitReason::Killed));
        Ok(())
    };
    let system = simulation.kernel().start_system((), |()| seed(main)).unwrap();
    let mut steps = 0;
    while system.exit_reason().is_none() && steps < 10_000 {
        simulation.step();
        steps += 1;
    }
    assert_eq!(system.exit_reason(), Some(ExitReason::Normal));
    assert!(
        simulation.passed() < Duration::from_secs(1),
        "{:?}",
        simulation.passed()
    );
}

#[test]
fn processes_are_charged_when_they_are_made_and_given_back_when_they_end() {
    let mut simulation = simulation();
    let (limits, budget) = within(
        &simulation,
        Caps {
            processes: Some(2),
            ..Caps::default()
        },
    );
    let charged = budget.clone();
    let main = |me: Me| async move {
        for _ in 0..50 {
            let waits = || {
                limited(limits.clone(), |me: Me| async move {
                    me.receive(&[1]).await;
                    Ok(())
                })
            };
            let two = [(); 2].map(|()| me.kernel.spawn(&me.process, waits()).unwrap());
            let refused = me.kernel.spawn(&me.process, waits()).unwrap_err();
            assert!(matches!(refused, SpawnLimit::Budget(limit) if limit.resource == Resource::Processes));
            assert_eq!(charged.usage().processes, 2);
            for id in two {
                me.monitor(id);
            }
            me.send(two[0], 1, &[]).unwrap();
            me.exit(two[1], &ExitReason::Killed)?;
            for _ in two {
                me.receive(&[]).await;
            }
            // They are told of the end before the table forgets the process.
            while charged.usage().processes > 0 {
                me.give_way().await;
            }
        }
        Ok(())
    };
    ends_normally(&mut simulation, seed(main), 100_000);
    assert_eq!(budget.usage().processes, 0);
}

#[test]
fn a_full_mailbox_refuses_messages_and_no_signals() {
    let mut simulation = simulation();
    let main = |me: Me| async move {
        let limits = Limits {
            budget: None,
            mailbox_max: Some(2),
        };
        let receiver = limited(limits, |me: Me| async move {
            me.trap_exits();
            me.receive(&[1]).await;
            let first = me.receive(&[]).await;
            let second = me.receive(&[]).await;
            assert_eq!((first.tag, second.tag), (2, lunatic_sys::codes::TAG_SIGNAL));
            Ok(())
        });
        let receiver = me.kernel.spawn(&me.process, receiver).unwrap();
        me.monitor(receiver);
        me.give_way().await;
        me.give_way().await;
        me.send(receiver, 2, &[]).unwrap();
        me.send(receiver, 1, &[]).unwrap();
        assert_eq!(me.send(receiver, 2, &[]), Err(SendRefusal::Full));
        me.exit(receiver, &ExitReason::Shutdown)?;
        let told = me.receive(&[]).await;
        assert_eq!(ExitReason::from_bytes(&told.body), Some(ExitReason::Normal));
        Ok(())
    };
    ends_normally(&mut simulation, seed(main), 10_000);
    assert_eq!(simulation.kernel().kept().usage().memory, 0);
}

/// Whatever takes the place of a mailbox, what it holds is paid for.
#[test]
fn who_cannot_pay_for_what_its_intake_holds_ends() {
    let mut simulation = simulation();
    let caps = Caps {
        memory: Some(100_000),
        ..Caps::default()
    };
    let (limits, budget) = within(&simulation, caps);
    let heard = Arc::new(AtomicUsize::new(0));
    let intake = Counts(heard.clone());
    let main = |me: Me| async move {
        let gone = me.spawn(|_| async move { Ok(()) });
        me.monitor(gone);
        me.receive(&[]).await;
        let greedy = limited(limits, move |me| async move {
            me.trap_exits();
            loop {
                // It is told each time that there is no such process.
                me.link(gone)?;
                me.give_way().await;
            }
        });
        let greedy = Seed {
            intake: Some(Box::new(intake)),
            ..greedy
        };
        let greedy = me.kernel.spawn(&me.process, greedy).unwrap();
        me.monitor(greedy);
        let told = me.receive(&[]).await;
        let reason = ExitReason::from_bytes(&told.body).unwrap();
        assert!(matches!(reason, ExitReason::OutOfMemory(_)), "{reason}");
        Ok(())
    };
    ends_normally(&mut simulation, seed(main), 10_000);
    let heard = heard.load(Ordering::Relaxed);
    assert!((90..=100).contains(&heard), "{heard}");
    assert_eq!(budget.usage().memory, 0);
}

/// Each of many children sends one exit signal to a process that traps exits and takes none: when it cannot pay for another, it
/// ends, and all that was kept for it is given back.
#[test]
fn who_cannot_pay_for_a_signal_ends() {
    let mut simulation = simulation();
    let (limits, budget) = within(
        &simulation,
        Caps {
            memory: Some(100_000),
            ..Caps::default()
        },
    );
    let held = budget.clone();
    let main = |me: Me| async move {
        let greedy = limited(limits, |me| async move {
            me.trap_exits();
            me.receive(&[1]).await;
            Ok(())
        });
        let greedy = me.kernel.spawn(&me.process, greedy).unwrap();
        me.monitor(greedy);
        // It has to trap exits before the first comes.
        me.give_way().await;
        while me.kernel.is_alive(greedy) {
            let sender = me.spawn(move |me| async move {
                me.exit(greedy, &ExitReason::Error("x".repeat(1000)))?;
                Ok(())
            });
            me.monitor(sender);
            me.receive(&[]).await;
            assert!(held.usage().memory <= 100_000);
        }
        Ok(())
    };
    ends_normally(&mut simulation, seed(main), 100_000);
    assert_eq!(
        (budget.usage().memory, simulation.kernel().kept().usage().memory),
        (0, 0)
    );
}

#[test]
fn who_has_no_time_left_spawns_nobody() {
    let mut simulation = simulation();
    let (limits, _) = within(
        &simulation,
        Caps {
            cpu: Some(MS),
            ..Caps::default()
        },
    );
    let passing = simulation.passing();
    let main = limited(limits.clone(), move |me| async move {
        // Its own time is charged when it gives way, so another's is taken for the test.
        limits.budget.as_ref().unwrap().spend(MS);
        passing.pass(MS);
        let child = limited(limits.clone(), |_| async { Ok(()) });
        assert_eq!(me.kernel.spawn(&me.process, child), Err(SpawnLimit::Spent));
        me.give_way().await;
        Ok(())
    });
    let system = simulation.kernel().start_system((), |()| main).unwrap();
    simulation.run(100);
    assert_eq!(system.exit_reason(), Some(ExitReason::OutOfBudget));
}

/// Removing a link costs nothing, however little a process has left.
#[test]
fn who_has_nothing_left_survives_an_unlink() {
    let mut simulation = simulation();
    let (limits, budget) = within(
        &simulation,
        Caps {
            memory: Some(20_000),
            ..Caps::default()
        },
    );
    let used = budget.clone();
    let main = |me: Me| async move {
        let full = limited(limits, |me| async move {
            me.receive(&[9]).await;
            Ok(())
        });
        let full = me.kernel.spawn(&me.process, full).unwrap();
        me.link(full)?;
        me.give_way().await;
        let left = 20_000 - usize::try_from(used.usage().memory).unwrap();
        // As much as fits, down to less than the growth of a list of links.
        let mut len = left;
        while len > 0 {
            if me.send(full, 1, &vec![0; len]).is_err() {
                len -= len.div_ceil(16);
            }
            if 20_000 - used.usage().memory < 200 {
                break;
            }
        }
        assert_eq!(me.send(full, 1, &[0; 200]), Err(SendRefusal::Limit));
        me.kernel.unlink(&me.process, full);
        // It is not about to end: then, what is sent to it would be dropped without an error.
        assert_eq!(me.send(full, 1, &[0; 200]), Err(SendRefusal::Limit));
        assert!(me.kernel.is_alive(full));
        Ok(())
    };
    ends_normally(&mut simulation, seed(main), 100_000);
}
