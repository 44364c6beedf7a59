//! What others can do to a process whose budget has no memory left: not end it, by anything that they pay for themselves.

use std::sync::Arc;
use std::time::Duration;

use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Budget, Caps, Resource};
use lunatic_kernel::channel::Message;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::post::TimedMail;
use lunatic_kernel::registry::{MEMBERSHIPS_MAX_BY_OTHERS, NameRefusal, Scope};
use lunatic_kernel::simulation::Simulation;
use lunatic_kernel::timers::TimerRefusal;

use crate::closures::{Closures, Limits, Me, Outcome, SETTINGS, limited, seed};

const CAP: u64 = 1 << 20;

/// Answers calls until it is told to end.
async fn serves(me: Me) -> Outcome {
    loop {
        let mail = me.receive(&[1, 2, 3]).await;
        match mail.tag {
            1 => me.answer(me.process.parent.unwrap(), &mail, b"answer"),
            2 => return Ok(()),
            _ => {}
        }
    }
}

/// Runs `strange` beside a server whose budget has nothing left, and hands both over. The server must be well after that.
fn beside_a_poor_server<F>(strange: impl FnOnce(Me, Id, Arc<Budget>) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut simulation = Simulation::new(SETTINGS, 3, Closures);
    let caps = Caps {
        memory: Some(CAP),
        ..Caps::default()
    };
    let budget = Budget::outermost(caps, simulation.kernel().now());
    let main = |me: Me| async move {
        let limits = Limits {
            budget: Some(budget.clone()),
            mailbox_max: None,
        };
        let server = me.kernel.spawn(&me.process, limited(limits, serves)).unwrap();
        // What it needs to receive anything is there before nothing is left.
        me.send(server, 3, &[]).unwrap();
        me.sleep(Duration::from_millis(1)).await;
        let left = CAP - budget.usage().memory;
        budget.charge(Resource::Memory, left).unwrap();
        strange(me.clone(), server, budget.clone()).await;
        assert_eq!(budget.usage().memory, CAP, "who did it pays for it");
        let reference = me.monitor(server);
        assert_eq!(me.call(server, 1, &[]).await.body.as_slice(), b"answer");
        me.send(server, 2, &[]).unwrap();
        let told = me.receive(&[reference]).await;
        assert_eq!(ExitReason::from_bytes(&told.body), Some(ExitReason::Normal));
        budget.give_back(Resource::Memory, left);
        assert_eq!(budget.usage().memory, 0);
        Ok(())
    };
    let system = simulation.kernel().start_system((), |()| seed(main)).unwrap();
    simulation.run(10_000_000);
    assert_eq!(system.exit_reason(), Some(ExitReason::Normal));
    assert_eq!(simulation.kernel().kept().usage().memory, 0);
}

#[test]
fn nobody_ends_a_process_by_calling_it() {
    beside_a_poor_server(|me, server, _| async move {
        assert_eq!(me.call(server, 1, &[]).await.body.as_slice(), b"answer");
    });
}

#[test]
fn nobody_ends_a_process_by_watching_it() {
    beside_a_poor_server(|me, server, _| async move {
        let watching: Vec<u64> = (0..10_000).map(|_| me.monitor(server)).collect();
        assert!(me.kernel.kept().usage().memory > CAP, "it is paid for");
        for reference in watching {
            assert!(me.kernel.demonitor(&me.process, reference, true));
        }
    });
}

#[test]
fn nobody_ends_a_process_by_setting_timers_for_it() {
    beside_a_poor_server(|me, server, _| async move {
        let mail = TimedMail {
            to: server,
            tag: 3,
            body: Message::new(),
            interval: None,
            parcel: None,
            trace: None,
        };
        let refused = me.kernel.set_timer(&me.process, Duration::from_secs(1), mail);
        assert_eq!(refused, Err(TimerRefusal::Limit));
    });
}

#[test]
fn who_gives_names_to_others_pays_for_them_and_leaves_them_half() {
    beside_a_poor_server(|me, server, budget| async move {
        let (scope, before) = (Arc::new(Scope::default()), me.kernel.kept().usage().memory);
        let named = me.kernel.find(server).unwrap();
        let register = |name: &[u8], by: &Me| {
            let given = scope.register::<_, NameRefusal>(name, &by.process, || Ok(named.clone()));
            given.map(drop)
        };
        for number in 0..MEMBERSHIPS_MAX_BY_OTHERS as u32 {
            register(&number.to_le_bytes(), &me).unwrap();
            scope.join(&number.to_le_bytes(), &named, &me.process).unwrap();
        }
        assert_eq!(register(b"another", &me), Err(NameRefusal::TooMany));
        assert_eq!(scope.join(b"another", &named, &me.process), Err(NameRefusal::TooMany));
        let paid = me.kernel.kept().usage().memory - before;
        assert!(paid > MEMBERSHIPS_MAX_BY_OTHERS as u64 * 700, "{paid}");
        assert_eq!(budget.usage().memory, CAP);
        // It has its own half, but nothing to pay with.
        let own = scope.join(b"another", &named, &named);
        assert_eq!(own, Err(NameRefusal::TooMany));
        assert_eq!(scope.lookup(b"another"), None);
    });
}
