//! Timers of processes, in virtual time and in a system whose time stands still.

mod closures;

use std::time::Duration;

use closures::{Closures, Me, Outcome, SETTINGS, seed};
use lunatic_kernel::budget::Resource;
use lunatic_kernel::channel::{Message, SendRefusal};
use lunatic_kernel::clock::TimedMail;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::simulation::Simulation;

const MS: Duration = Duration::from_millis(1);

fn run<F: Future<Output = Outcome> + Send + 'static>(main: impl FnOnce(Me) -> F + Send + 'static) -> Duration {
    let mut simulation = Simulation::new(SETTINGS, 4, Closures);
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
        paid: None,
    }
}

fn set(me: &Me, delay: Duration, mail: TimedMail) -> u64 {
    me.kernel.set_timer(&me.process.system, delay, mail).unwrap()
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
        let refused = me.kernel.set_timer(&me.process.system, MS, ended);
        assert_eq!((refused, queued(&me)), (Err(SendRefusal::Closed), 0));
        let long = TimedMail {
            body: Message::from_vec(vec![0; SETTINGS.kept_max]),
            ..mail(&me, 4, None)
        };
        let refused = me.kernel.set_timer(&me.process.system, MS, long);
        assert_eq!((refused, queued(&me)), (Err(SendRefusal::Limit), 0));
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
        assert_eq!(me.kernel.clock().next_due(), None);
        Ok(())
    });
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
