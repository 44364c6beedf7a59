//! Names and groups: they fall before anybody hears of the end.

use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::registry::{MEMBERSHIPS_MAX, NameRefusal, Scope};
use lunatic_kernel::simulation::Simulation;

use crate::closures::{Closures, Me, Outcome, SETTINGS, Threaded, seed};

const ROUNDS: u32 = 300;

fn register(me: &Me, scope: &Arc<Scope>, name: &[u8], id: Id) -> Result<(), NameRefusal> {
    let process = me.kernel.find(id).ok_or(NameRefusal::Ended)?;
    scope
        .register::<Closures, NameRefusal>(name, &me.process, || Ok(process))
        .map(drop)
}

/// Children with two names and a group end in different ways; who hears of it finds the names free and takes them for the
/// next one.
async fn main(me: Me) -> Outcome {
    let scope = Arc::new(Scope::default());
    me.trap_exits();
    for round in 0..ROUNDS {
        let child = me.spawn(|me| async move {
            me.receive(&[1]).await;
            Ok(())
        });
        register(&me, &scope, b"one", child).expect("the name is free");
        register(&me, &scope, b"other", child).expect("a process can have two names");
        assert_eq!(register(&me, &scope, b"one", me.id()), Err(NameRefusal::Taken(child)));
        assert!(
            scope
                .join(b"group", &*me.kernel.find(child).unwrap(), &me.process)
                .is_ok()
        );
        assert!(
            scope
                .join(b"group", &*me.kernel.find(child).unwrap(), &me.process)
                .is_ok(),
            "twice is once"
        );
        assert_eq!(scope.members(b"group").collect::<Vec<_>>(), [child]);
        if round % 2 == 0 {
            me.link(child)?;
        } else {
            me.monitor(child);
        }
        match round % 3 {
            0 => me.send(child, 1, &[]).unwrap(),
            1 => me.exit(child, &ExitReason::Killed)?,
            _ => me.exit(child, &ExitReason::Shutdown)?,
        }
        me.receive(&[]).await;
        assert_eq!((scope.lookup(b"one"), scope.lookup(b"other")), (None, None));
        assert_eq!(scope.members(b"group").next(), None);
        assert_eq!(register(&me, &scope, b"one", child), Err(NameRefusal::Ended));
    }
    let ids: Vec<Id> = (0..3).map(|_| me.spawn(|_| async { Ok(()) })).collect();
    for id in &ids {
        assert!(
            scope
                .join(b"group", &*me.kernel.find(*id).unwrap(), &me.process)
                .is_ok()
        );
    }
    let members: Vec<_> = scope.members(b"group").collect();
    assert_eq!(members, ids, "in the order in which they joined");
    let find = |id| me.kernel.find(id);
    assert!(scope.leave(b"group", ids[1], find(ids[1]).as_deref()));
    assert!(!scope.leave(b"group", ids[1], find(ids[1]).as_deref()));
    // A name that was taken away and given to another does not fall with the one that had it.
    register(&me, &scope, b"given", ids[2]).unwrap();
    assert!(scope.unregister(b"given", None, find));
    register(&me, &scope, b"given", me.id()).unwrap();
    register(&me, &scope, b"one", ids[0]).unwrap();
    assert!(scope.unregister(b"one", None, find) && !scope.unregister(b"one", None, find));
    assert!(me.kernel.snapshot(ids[0]).unwrap().names.is_empty());
    me.monitor(ids[2]);
    me.receive(&[]).await;
    assert_eq!(scope.lookup(b"given"), Some(me.id()));
    Ok(())
}

#[test]
fn names_fall_before_the_end_is_told() {
    for number in 0..20 {
        let mut simulation = Simulation::new(SETTINGS, number, Closures);
        let system = simulation.kernel().start_system((), |()| seed(main)).unwrap();
        simulation.run(100_000);
        assert_eq!(system.exit_reason(), Some(ExitReason::Normal));
    }
}

#[test]
fn names_fall_before_the_end_is_told_on_two_workers() {
    // `main` looks at children that have not run, so here it is the names alone.
    let reason = Threaded::new().run(|me| async move {
        let scope = Arc::new(Scope::default());
        for round in 0..10 * ROUNDS {
            let child = me.spawn(|me| async move {
                me.receive(&[1]).await;
                Ok(())
            });
            register(&me, &scope, b"one", child).expect("the name is free");
            me.monitor(child);
            match round % 2 {
                0 => me.send(child, 1, &[]).unwrap(),
                _ => me.exit(child, &ExitReason::Killed)?,
            }
            me.receive(&[]).await;
            assert_eq!(scope.lookup(b"one"), None);
        }
        Ok(())
    });
    assert_eq!(reason, ExitReason::Normal);
}

#[test]
fn a_process_has_only_so_many_names() {
    let mut simulation = Simulation::new(SETTINGS, 1, Closures);
    let main = |me: Me| async move {
        let scope = Arc::new(Scope::default());
        for number in 0..MEMBERSHIPS_MAX as u32 {
            register(&me, &scope, &number.to_le_bytes(), me.id()).unwrap();
            scope.join(&number.to_le_bytes(), &me.process, &me.process).unwrap();
        }
        assert_eq!(register(&me, &scope, b"another", me.id()), Err(NameRefusal::TooMany));
        assert_eq!(
            scope.join(b"another", &me.process, &me.process),
            Err(NameRefusal::TooMany)
        );
        assert_eq!(
            (scope.lookup(b"another"), scope.members(b"another").next()),
            (None, None)
        );
        assert!(scope.leave(&7_u32.to_le_bytes(), me.id(), Some(&me.process)));
        assert_eq!(scope.join(b"another", &me.process, &me.process), Ok(()));
        Ok(())
    };
    let system = simulation.kernel().start_system((), |()| seed(main)).unwrap();
    simulation.run(1000);
    assert_eq!(system.exit_reason(), Some(ExitReason::Normal));
    assert_eq!(simulation.kernel().kept().usage().memory, 0);
}
