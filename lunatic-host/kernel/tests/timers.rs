//! Timers of processes, in virtual time and in a system whose time stands still.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Budget, Caps, Resource};
use lunatic_kernel::channel::Message;
use lunatic_kernel::environment::Machine;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::post::{Parcel, TimedMail};
use lunatic_kernel::relations::mailbox::Kind;
use lunatic_kernel::relations::{self, Intake};
use lunatic_kernel::simulation::{Passing, Simulation};
use lunatic_kernel::timers::{TIMERS_MAX, TIMERS_MAX_BY_OTHERS, TimerRefusal};
use lunatic_kernel::wait::{Held, Wait, block};
use lunatic_kernel::{Seed, WaitFor};
use parking_lot::Mutex;

use crate::closures::{Closures, Limits, Me, Outcome, SETTINGS, Threaded, limited, seed};

const MS: Duration = Duration::from_millis(1);

fn run<F: Future<Output = Outcome> + Send + 'static>(main: impl FnOnce(Me) -> F + Send + 'static) -> Duration {
    run_passing(|_| main)
}

/// `main` is given what makes time pass.
fn run_passing<M, F>(main: impl FnOnce(Passing) -> M) -> Duration
where
    M: FnOnce(Me) -> F + Send + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let mut simulation = Simulation::new(SETTINGS, 4, Closures);
    let main = main(simulation.passing());
    let system = simulation.kernel().start_system((), |()| seed(main)).unwrap();
    let mut steps = 0;
    while system.exit_reason().is_none() && steps < 100_000 {
        simulation.step();
        steps += 1;
    }
    assert_eq!(system.exit_reason(), Some(ExitReason::Normal));
    simulation.run(100);
    assert_eq!(
        simulation.kernel().kept().usage().memory,
        0,
        "all that timers held is given back"
    );
    simulation.passed()
}

fn mail(to: &Me, tag: u64, interval: Option<Duration>) -> TimedMail {
    TimedMail {
        to: to.id(),
        tag,
        body: Message::from_slice(&[7; 100]),
        interval,
        parcel: None,
        trace: None,
    }
}

fn set(me: &Me, delay: Duration, mail: TimedMail) -> u64 {
    me.kernel.set_timer(&me.process, delay, mail).unwrap()
}

#[test]
fn timers_fire_in_the_order_of_their_times() {
    run(|me| async move {
        let start = me.kernel.now();
        for tag in [5, 1, 3, 2, 4] {
            set(&me, MS * tag, mail(&me, u64::from(tag), None));
        }
        assert_eq!(me.kernel.snapshot(me.id()).unwrap().timers, 5);
        for tag in 1..=5 {
            assert_eq!(me.receive(&[]).await.tag, u64::from(tag));
            let late = me.kernel.now() - start - MS * tag;
            assert!(late < MS, "timer {tag} is {late:?} late");
        }
        assert_eq!(me.kernel.snapshot(me.id()).unwrap().timers, 0);
        Ok(())
    });
}

#[test]
fn a_timer_is_charged_until_it_fires_or_is_cancelled_or_its_process_ends() {
    run(|me| async move {
        let queued = |me: &Me| me.kernel.kept().used(Resource::Timers);
        assert_eq!(queued(&me), 0);
        let timer = set(&me, MS, mail(&me, 1, None));
        let held = queued(&me);
        assert!(held >= 100);
        assert!(me.kernel.cancel_timer(&me.process.system, timer));
        assert!(
            !me.kernel.cancel_timer(&me.process.system, timer),
            "it sends nothing any more"
        );
        assert_eq!(queued(&me), 0);
        assert!(me.receive_timeout(&[], 5_000_000).await.is_none());

        let timer = set(&me, MS, mail(&me, 2, None));
        assert_eq!(me.receive(&[]).await.tag, 2);
        assert!(!me.kernel.cancel_timer(&me.process.system, timer));
        assert_eq!(queued(&me), 0);

        let child = me.spawn(|me| async move {
            set(&me, MS, mail(&me, 3, None));
            set(&me, MS, mail(&me, 3, Some(MS)));
            Ok(())
        });
        me.monitor(child);
        me.receive(&[]).await;
        assert_eq!(queued(&me), 0);
        let ended = TimedMail {
            to: child,
            ..mail(&me, 4, None)
        };
        let refused = me.kernel.set_timer(&me.process, MS, ended);
        assert_eq!((refused, queued(&me)), (Err(TimerRefusal::Closed), 0));
        let long = TimedMail {
            body: Message::from_vec(vec![0; SETTINGS.queued_max]),
            ..mail(&me, 4, None)
        };
        let refused = me.kernel.set_timer(&me.process, MS, long);
        assert_eq!((refused, queued(&me)), (Err(TimerRefusal::Limit), 0));
        Ok(())
    });
}

#[test]
fn an_interval_does_not_drift_and_can_be_cancelled() {
    run(|me| async move {
        let start = me.kernel.now();
        let timer = set(&me, 2 * MS, mail(&me, 1, Some(3 * MS)));
        for round in 0..100 {
            me.receive(&[1]).await;
            let late = me.kernel.now() - start - 2 * MS - 3 * MS * round;
            assert!(late < MS / 50, "round {round} is {late:?} late");
            assert_eq!(me.kernel.snapshot(me.id()).unwrap().timers, 1);
        }
        assert!(me.kernel.cancel_timer(&me.process.system, timer));
        assert!(me.receive_timeout(&[], 10_000_000).await.is_none());
        Ok(())
    });
}

#[test]
fn an_interval_ends_with_its_process() {
    run(|me| async move {
        let child = me.spawn(|me| async move {
            set(&me, MS, mail(&me, 1, Some(MS)));
            for _ in 0..10 {
                me.receive(&[1]).await;
            }
            me.sleep(10 * MS + MS / 2).await;
            Ok(())
        });
        me.monitor(child);
        me.receive(&[]).await;
        me.sleep(20 * MS).await;
        assert_eq!(me.kernel.post().next_due(), None);
        Ok(())
    });
}

#[test]
fn a_wait_by_the_machine_ends_though_the_time_of_the_system_stands_still() {
    let passed = run(|me| async move {
        me.process.system.time.pause();
        let before = me.process.system.time.now();
        let (kernel, process) = (Held::Borrowed(&me.kernel), Held::Borrowed(&me.process));
        let wait = Wait::by_machine(kernel, process, WaitFor::Outside, Id::NONE, 10 * MS);
        while !wait.is_late() {
            block(&wait).await;
        }
        assert_eq!(me.process.system.time.now(), before);
        Ok(())
    });
    assert!(passed >= 10 * MS, "{passed:?}");
}

#[test]
fn a_system_whose_time_stands_still_waits_no_time_at_all() {
    let passed = run(|me| async move {
        let hour = Duration::from_secs(3600);
        me.process.system.time.pause();
        let before = me.process.system.time.now();
        set(&me, 3 * hour, mail(&me, 3, None));
        let child = me.spawn(move |me| async move {
            me.sleep(2 * hour).await;
            Ok(())
        });
        me.monitor(child);
        me.sleep(hour).await;
        assert_eq!(me.process.system.time.now() - before, hour);
        me.receive(&[]).await;
        assert_eq!(me.process.system.time.now() - before, 2 * hour);
        assert_eq!(me.receive(&[3]).await.tag, 3);
        assert_eq!(me.process.system.time.now() - before, 3 * hour);
        let timer = set(&me, hour, mail(&me, 4, Some(hour)));
        for _ in 0..5 {
            me.receive(&[4]).await;
        }
        assert_eq!(me.process.system.time.now() - before, 8 * hour);
        assert!(me.kernel.cancel_timer(&me.process.system, timer));
        Ok(())
    });
    assert!(passed < Duration::from_secs(1), "{passed:?} have passed on the machine");
}

#[test]
fn the_timers_of_a_process_are_limited_and_others_leave_it_half() {
    run(|me| async move {
        let child = me.spawn(|me| async move {
            me.receive(&[1]).await;
            Ok(())
        });
        let to = |to, tag| TimedMail {
            to,
            ..mail(&me, tag, None)
        };
        let try_set = |mail| me.kernel.set_timer(&me.process, Duration::MAX, mail);
        for (owner, max) in [(me.id(), TIMERS_MAX), (child, TIMERS_MAX_BY_OTHERS)] {
            let used = me.kernel.kept().used(Resource::Timers);
            let first = try_set(to(owner, 2)).unwrap();
            (1..max).for_each(|_| _ = try_set(to(owner, 2)).unwrap());
            let full = me.kernel.kept().used(Resource::Timers);
            assert_eq!(try_set(to(owner, 2)), Err(TimerRefusal::TooMany));
            assert_eq!(
                me.kernel.kept().used(Resource::Timers),
                full,
                "what was refused holds nothing"
            );
            assert_eq!(me.kernel.snapshot(owner).unwrap().timers, max);
            assert!(me.kernel.cancel_timer(&me.process.system, first));
            try_set(to(owner, 2)).unwrap();
            assert!(full > used);
        }
        // The child has room left for its own, which `main` has not for the child.
        let owner = me.kernel.find(child).unwrap();
        me.kernel.set_timer(&owner, MS, to(child, 1)).unwrap();
        me.join(&owner).await;
        Ok(())
    });
}

/// As long as there is a timer, somebody may be woken by it: when it has woken nobody, all processes wait for ever.
#[test]
fn a_last_timer_that_wakes_nobody_leaves_a_deadlock() {
    for _ in 0..20 {
        let reason = Threaded::new().run(|me| async move {
            set(&me, 5 * MS, mail(&me, 1, None));
            me.receive(&[2]).await;
            Ok(())
        });
        assert!(matches!(reason, ExitReason::Deadlock(_)), "{reason}");
    }
}

/// A process that waits for its share of a core has a timer, too.
#[test]
fn a_process_that_is_killed_while_it_waits_for_its_share_leaves_a_deadlock() {
    // Each run takes 10 ms on its core.
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let machine = Machine::new(|| MS * 10 * RUNS.fetch_add(1, Ordering::Relaxed));
    let threaded = Threaded::on(SETTINGS, machine);
    let caps = Caps {
        cpu_share: Some(20),
        ..Caps::default()
    };
    let limits = Limits {
        budget: Some(Budget::outermost(caps, threaded.kernel.now())),
        mailbox_max: None,
    };
    let reason = threaded.run(|me| async move {
        let child = limited(limits, |me| async move {
            for _ in 0..u32::MAX {
                me.give_way().await;
            }
            Ok(())
        });
        let child = me.kernel.spawn(&me.process, child).unwrap();
        let is_throttled = || me.kernel.find(child).is_some_and(|child| child.is_throttled());
        while !is_throttled() {
            me.give_way().await;
        }
        me.exit(child, &ExitReason::Killed)?;
        me.receive(&[2]).await;
        Ok(())
    });
    assert!(matches!(reason, ExitReason::Deadlock(_)), "{reason}");
}

/// What a timer brings takes so long to be accepted.
struct Slow(Passing, Duration);

impl Intake for Slow {
    fn tell(&mut self, _: &Kind) -> bool {
        false
    }

    fn hears_exit(&mut self, _: Id, _: &ExitReason) -> bool {
        true
    }

    fn accept(&mut self, _: Box<dyn Any + Send>) -> bool {
        self.0.pass(self.1);
        false
    }

    fn held(&self) -> relations::Held {
        relations::Held::default()
    }
}

#[test]
fn a_process_that_sleeps_ends_when_its_timers_have_used_up_its_budget() {
    let passed = run_passing(|passing| {
        move |me: Me| async move {
            let caps = Caps {
                cpu: Some(50 * MS),
                ..Caps::default()
            };
            let budget = Budget::outermost(caps, me.kernel.now());
            let limits = Limits {
                budget: Some(budget.clone()),
                ..Limits::default()
            };
            let sleeper = limited(limits, |me| async move {
                for round in 1..=1000 {
                    let parcel: Parcel = Arc::new(Mutex::new(Some(Box::new(()))));
                    let parcel = Some(parcel);
                    set(
                        &me,
                        3 * MS * round,
                        TimedMail {
                            parcel,
                            ..mail(&me, 0, None)
                        },
                    );
                }
                me.sleep(Duration::from_secs(3600)).await;
                Ok(())
            });
            let intake: Box<dyn Intake> = Box::new(Slow(passing, MS));
            let seed = Seed {
                intake: Some(intake),
                ..sleeper
            };
            let sleeper = me.kernel.spawn(&me.process, seed).unwrap();
            let sleeper = me.kernel.find(sleeper).unwrap();
            assert_eq!(me.join(&sleeper).await, ExitReason::OutOfBudget);
            assert!(budget.usage().cpu >= 50 * MS && budget.usage().cpu < 52 * MS);
            Ok(())
        }
    });
    // The timers send every three milliseconds, and cost one each time.
    assert!(passed > 150 * MS && passed < 160 * MS, "{passed:?} have passed");
}

#[test]
fn a_process_pays_for_the_timers_that_it_sets_for_others_even_when_it_has_ended() {
    run(|me| async move {
        let caps = Caps {
            cpu: Some(MS),
            ..Caps::default()
        };
        let budget = Budget::outermost(caps, me.kernel.now());
        let limits = Limits {
            budget: Some(budget.clone()),
            ..Limits::default()
        };
        let to = me.id();
        let setter = limited(limits, move |me| async move {
            let mail = TimedMail {
                to,
                ..mail(&me, 7, Some(MS))
            };
            set(&me, MS, mail);
            Ok(())
        });
        me.kernel.spawn(&me.process, setter).unwrap();
        for _ in 0..3 {
            me.receive(&[7]).await;
        }
        budget.spend(MS);
        assert!(me.receive_timeout(&[7], 5_000_000).await.is_none());
        assert_eq!(me.kernel.snapshot(me.id()).unwrap().timers, 0);
        assert!(!me.kernel.post().has_timers());
        Ok(())
    });
}
