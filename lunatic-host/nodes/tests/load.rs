//! What one program sends to another node must neither stop others nor end the connection.

#[path = "../../kernel/tests/closures/mod.rs"]
mod closures;
mod cluster;

use std::sync::Arc;
use std::time::Duration;

use closures::{Limits, Me, limited};
use cluster::{Kernels, as_long_as, collects};
use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Budget, Caps};
use lunatic_kernel::channel::SendRefusal;
use lunatic_kernel::connections::until_room;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::relations::mailbox::Kind;
use lunatic_kernel::wait::{Held, Wait};
use lunatic_nodes::cluster::Told;
use lunatic_nodes::fabric::FabricEvent;
use lunatic_nodes::names::NameRefusal;
use lunatic_sys::codes::NO_TIMEOUT;
use parking_lot::Mutex;

const SECOND: Duration = Duration::from_secs(1);

/// Waits until a signal to a process is sent at once, as the SDK does.
async fn until_it_may_send(me: &Me, to: Id) {
    let (kernel, process) = (Held::Borrowed(&me.kernel), Held::Borrowed(&me.process));
    let wait = Wait::new(kernel, process, WaitFor::Send, to, NO_TIMEOUT);
    while !me.kernel.may_send(to) {
        assert!(until_room(&wait, to.peer()).await);
    }
}

fn downs(kernels: &Kernels, node: usize) -> usize {
    let told = kernels.told(node);
    told.iter().filter(|told| matches!(told, Told::Down(..))).count()
}

#[test]
fn who_monitors_after_a_long_message_goes_on_when_that_is_sent() {
    let mut kernels = Kernels::new(1, 2);
    let server = kernels.start(1, |me| collects(me, Arc::default()));
    let server = kernels.address(1, server);
    let client = kernels.start(0, move |me| async move {
        let server = me.kernel.process_named(server).unwrap();
        // Six messages fill the queue, and nobody is refused.
        for _ in 0..6 {
            me.send(server, 1, &[0; 200_000]).unwrap();
        }
        until_it_may_send(&me, server).await;
        me.monitor(server);
        Ok(())
    });
    kernels.run(5 * SECOND);
    assert_eq!(client.exit_reason(), Some(ExitReason::Normal));
}

#[test]
fn the_end_of_a_process_with_many_watchers_elsewhere_does_not_end_the_connection() {
    const COUNT: usize = 1100;
    let mut kernels = Kernels::new(2, 2);
    let watched = kernels.start(1, |me| async move {
        me.receive(&[1]).await;
        Err(ExitReason::Error("x".repeat(64 << 10)))
    });
    let watched = kernels.address(1, watched);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = heard.clone();
    let watcher = kernels.start(0, move |me| async move {
        let watched = me.kernel.process_named(watched).unwrap();
        for _ in 0..COUNT {
            until_it_may_send(&me, watched).await;
            me.monitor(watched);
        }
        me.send(watched, 1, b"").unwrap();
        for _ in 0..COUNT {
            let mail = me.receive(&[]).await;
            assert!(matches!(mail.kind, Kind::Down(..)));
            told.lock().push(ExitReason::from_bytes(&mail.body));
        }
        Ok(())
    });
    kernels.run(5 * SECOND);
    assert_eq!(watcher.exit_reason(), Some(ExitReason::Normal));
    // The text is cut on the way.
    let reason = ExitReason::Error("x".repeat(1024));
    assert!(heard.lock().iter().all(|told| *told == Some(reason.clone())));
    assert_eq!((downs(&kernels, 0), downs(&kernels, 1)), (0, 0));
}

#[test]
fn a_long_message_holds_up_no_others_and_the_next_long_one_waits_for_it() {
    const LEN: usize = 20 << 20;
    let mut kernels = Kernels::new(3, 2);
    let log: Arc<Mutex<Vec<u64>>> = Arc::default();
    let [one, other] = [0, 1].map(|_| {
        let log = log.clone();
        let server = kernels.start(1, |me| collects(me, log));
        kernels.address(1, server)
    });
    let senders = [one, other].map(|to| {
        kernels.start(0, move |me| async move {
            let to = me.kernel.process_named(to).unwrap();
            let (kernel, process) = (Held::Borrowed(&me.kernel), Held::Borrowed(&me.process));
            let wait = Wait::new(kernel, process, WaitFor::Send, to, NO_TIMEOUT);
            let mut refused = 0;
            while me.send(to, 1, &[1; LEN]) == Err(SendRefusal::Full) {
                // Nothing short is held up meanwhile.
                assert!(me.kernel.may_send(to));
                refused += 1;
                assert!(until_room(&wait, to.peer()).await);
            }
            assert!(refused < 3, "it waits, and does not only try again and again");
            for _ in 0..10 {
                me.send(to, 1, &[2; 8]).unwrap();
            }
            Ok(())
        })
    });
    kernels.run(10 * SECOND);
    for sender in senders {
        assert_eq!(sender.exit_reason(), Some(ExitReason::Normal));
    }
    let (long, short) = (u64::from_le_bytes([1; 8]), u64::from_le_bytes([2; 8]));
    let count = |number| log.lock().iter().filter(|logged| **logged == number).count();
    assert_eq!((count(long), count(short)), (2, 20));
}

#[test]
fn who_sends_long_messages_pays_for_them_until_they_are_sent() {
    const LEN: usize = 10 << 20;
    let mut kernels = Kernels::new(4, 3);
    let servers = [1, 2].map(|node| {
        let server = kernels.start(node, |me| collects(me, Arc::default()));
        kernels.address(node, server)
    });
    let budget = Budget::new(
        None,
        Caps {
            memory: Some((LEN + (1 << 20)) as u64),
            ..Caps::default()
        },
        std::time::Instant::now(),
    );
    let budget = budget.unwrap();
    let limits = Limits {
        budget: Some(budget.clone()),
        ..Limits::default()
    };
    let client = limited(limits, move |me: Me| async move {
        let [one, other] = servers.map(|address| me.kernel.process_named(address).unwrap());
        me.send(one, 1, &vec![0; LEN]).unwrap();
        // It cannot pay for another one, whatever room there is on the way to that node.
        assert_eq!(me.send(other, 1, &vec![0; LEN]), Err(SendRefusal::Limit));
        me.send(other, 1, b"12345678").unwrap();
        me.receive(&[2]).await;
        me.send(other, 1, &vec![0; LEN]).unwrap();
        Ok(())
    });
    let client = kernels.kernel(0).start_system((), |()| client).unwrap();
    kernels.run(2 * SECOND);
    // The first one has been sent.
    assert!(budget.usage().memory < 1 << 20, "{:?}", budget.usage());
    let kernel = kernels.kernel(0);
    kernel
        .put_mail(kernel.find(client.main().unwrap()).unwrap(), 2, b"")
        .unwrap();
    kernels.run(2 * SECOND);
    assert_eq!(client.exit_reason(), Some(ExitReason::Normal));
    assert!(budget.usage().memory < 1 << 20, "{:?}", budget.usage());
}

#[test]
fn what_is_paid_for_names_agrees_with_them_whatever_threads_do() {
    const ROUNDS: u32 = 20_000;
    let kernels = Kernels::new(5, 1);
    let system = kernels.start(0, |me| async move { as_long_as(&me).await });
    let (process, paid) = (system.main().unwrap(), Arc::new(()));
    let cluster = kernels.cluster(0);
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                for round in 0..ROUNDS {
                    _ = cluster.register(b"name", process, 0, 0, Box::new(paid.clone()));
                    if round % 2 == 0 {
                        cluster.unregister(b"name", None);
                    }
                }
            });
        }
    });
    let has_name = cluster.find(b"name").is_some();
    assert_eq!(Arc::strong_count(&paid) - 1, usize::from(has_name));
    cluster.unregister(b"name", None);
    assert_eq!(Arc::strong_count(&paid), 1);
}

#[test]
fn whoever_loses_a_name_while_it_registers_is_told_and_pays_no_more() {
    const ROUNDS: u32 = 500;
    let mut kernels = Kernels::new(6, 2);
    let told = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let hears = told.clone();
    let system = kernels.start(0, move |me| async move {
        loop {
            let name = me.receive(&[7]).await.body;
            hears.lock().push(name.to_vec());
        }
    });
    let loser = system.main().unwrap();
    let winner = kernels.start(1, |me| async move { as_long_as(&me).await });
    let (winner, paid) = (winner.main().unwrap(), Arc::new(()));
    let mut given = Vec::new();
    for round in 0..ROUNDS {
        let name = round.to_le_bytes();
        kernels
            .cluster(1)
            .register(&name, winner, 1, 0, Box::new(()))
            .expect("the other node has not told of it");
        let (frames, now, cluster) = (kernels.take_frames(1), kernels.now(), kernels.cluster(0));
        let start = std::sync::Barrier::new(2);
        let registered = std::thread::scope(|threads| {
            threads.spawn(|| {
                start.wait();
                for frame in &frames {
                    cluster.handle(now, FabricEvent::Frame(frame));
                }
            });
            start.wait();
            cluster.register(&name, loser, 0, 7, Box::new(paid.clone()))
        });
        match registered {
            Ok(()) => given.push(name.to_vec()),
            Err(refusal) => assert!(matches!(refusal, NameRefusal::Taken(_))),
        }
        kernels.run(Duration::from_millis(1));
    }
    kernels.run(SECOND);
    // Each name that it was given and has lost, once.
    assert_eq!(*told.lock(), given);
    assert_eq!(Arc::strong_count(&paid), 1);
    for round in 0..ROUNDS {
        let holder = kernels.cluster(0).find(&round.to_le_bytes());
        assert!(holder.is_some_and(|holder| !holder.is_here()));
    }
    assert_eq!((downs(&kernels, 0), downs(&kernels, 1)), (0, 0));
}
