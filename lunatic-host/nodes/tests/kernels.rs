//! Kernels of several nodes as one system, over the fabric in memory: bodies are Rust closures, time is virtual.

#[path = "../../kernel/tests/closures/mod.rs"]
mod closures;
mod cluster;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use closures::Me;
use cluster::{Kernels, address, address_bytes, as_long_as, collects};
use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::adoption::Ties;
use lunatic_kernel::calls::{CallRefusal, Unanswered};
use lunatic_kernel::channel::SendRefusal;
use lunatic_kernel::connections::until_room;
use lunatic_kernel::exit::{ExitReason, Loss};
use lunatic_kernel::relations::mailbox::Kind;
use lunatic_kernel::wait::{Held, Wait, block};
use lunatic_nodes::cluster::{Answer, SpawnRefusal, Told};
use lunatic_nodes::memory::Faults;
use lunatic_nodes::names::NameRefusal;
use parking_lot::Mutex;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn messages_links_monitors_and_exits_go_between_nodes() {
    let mut kernels = Kernels::new(1, 2);
    let server = kernels.start(1, |me| async move {
        loop {
            let mail = me.receive(&[]).await;
            if !mail.kind.is_message() {
                continue;
            }
            let client = me.kernel.process_named(address(&mail.body)).expect("a good address");
            match mail.tag {
                1 => me.send(client, 2, b"pong").unwrap(),
                _ => return Err(ExitReason::Error("as told".into())),
            }
        }
    });
    let server = kernels.address(1, server);
    let told = kernels.run_client(0, move |me, _| async move {
        me.trap_exits();
        let own = address_bytes(&me.kernel, me.id());
        let server = me.kernel.process_named(server).unwrap();
        me.link(server)?;
        let reference = me.monitor(server);
        me.send(server, 1, &own).unwrap();
        assert_eq!(me.receive(&[2]).await.body[..], *b"pong");
        me.send(server, 3, &own).unwrap();
        let told = [me.receive(&[]).await, me.receive(&[]).await];
        assert!(told.iter().any(|mail| mail.kind == Kind::Exit(server)));
        assert!(told.iter().any(|mail| mail.kind == Kind::Down(server, reference)));
        // A monitor of one that has ended tells how it ended.
        me.monitor(server);
        let reason = ExitReason::from_bytes(&me.receive(&[]).await.body);
        assert_eq!(reason, Some(ExitReason::Error("as told".into())));
        Ok(())
    });
    assert_eq!(told, ExitReason::Normal);
}

#[test]
fn a_kill_reaches_a_process_that_traps_and_a_link_brings_the_end_back() {
    let mut kernels = Kernels::new(2, 2);
    let victim = kernels.start(1, |me| async move {
        me.trap_exits();
        as_long_as(&me).await
    });
    let victim = kernels.address(1, victim);
    let ended = kernels.run_client(0, move |me, _| async move {
        let victim = me.kernel.process_named(victim).unwrap();
        me.link(victim)?;
        me.exit(victim, &ExitReason::Killed)?;
        as_long_as(&me).await
    });
    assert_eq!(ended, ExitReason::Killed);
}

/// Calls a process of another node: the answer, or why there is none.
async fn call(me: &Me, callee: Id, body: &[u8]) -> Result<Vec<u8>, Unanswered> {
    let own = address_bytes(&me.kernel, me.id());
    let reference = me.kernel.open_reference(&me.process);
    let body = [&reference.to_le_bytes(), &own[..], body].concat();
    let begun = me
        .kernel
        .begin_call_elsewhere(&me.process, callee, reference, 1, (&body, &None));
    let mut waits = match begun {
        Ok(waits) => waits,
        Err(CallRefusal::Unanswered(why)) => return Err(why),
        Err(CallRefusal::NotOpen) => panic!("the reference is open"),
    };
    let (kernel, process) = (Held::Borrowed(&me.kernel), Held::Borrowed(&me.process));
    let wait = Wait::new(kernel, process, WaitFor::Call, callee, lunatic_sys::codes::NO_TIMEOUT);
    loop {
        if waits {
            block(&wait).await;
        }
        if let Some((answer, next)) = me.kernel.end_call(&me.process, reference, false) {
            me.kernel.close_reference(&me.process, next);
            let answer = answer.expect("there is something");
            return match answer.kind {
                Kind::Down(..) => Err(Unanswered::Gone(ExitReason::from_bytes(&answer.body).unwrap())),
                _ => Ok(answer.body.to_vec()),
            };
        }
        waits = true;
    }
}

#[test]
fn calls_are_answered_or_end_with_the_callee_or_its_node() {
    let mut kernels = Kernels::new(3, 2);
    let server = |me: Me| async move {
        loop {
            let request = me.receive(&[1]).await;
            let client = me.kernel.process_named(address(&request.body[8..])).unwrap();
            match &request.body[24..] {
                b"end" => return Err(ExitReason::Exit(3)),
                b"wait" => {}
                body => me.answer(client, &request, body),
            }
        }
    };
    let servers = [0, 1].map(|_| {
        let started = kernels.start(1, server);
        kernels.address(1, started)
    });
    let client = kernels.start(0, move |me| async move {
        let [one, other] = servers.map(|address| me.kernel.process_named(address).unwrap());
        for _ in 0..3 {
            assert_eq!(call(&me, one, b"echo").await, Ok(b"echo".to_vec()));
        }
        assert_eq!(call(&me, one, b"end").await, Err(Unanswered::Gone(ExitReason::Exit(3))));
        let gone = ExitReason::NodeGone(Loss::Silent);
        assert_eq!(call(&me, other, b"wait").await, Err(Unanswered::Gone(gone)));
        let unconnected = ExitReason::NodeGone(Loss::Unconnected);
        assert_eq!(call(&me, other, b"late").await, Err(Unanswered::Gone(unconnected)));
        Ok(())
    });
    kernels.run(SECOND);
    kernels.cut(0, 1);
    kernels.run(10 * SECOND);
    assert_eq!(client.exit_reason(), Some(ExitReason::Normal));
}

#[test]
fn a_child_on_another_node_is_linked_and_monitored_from_the_start() {
    let mut kernels = Kernels::new(4, 2);
    let ended = kernels.run_client(0, |me, cluster| async move {
        me.trap_exits();
        let other = cluster.members()[0].node;
        // It ends at once, perhaps before its parent knows of it.
        let monitor = cluster.kernel().monitor_reference(&me.process, 0);
        let (link, tag) = (true, 0);
        let ties = Ties { link, monitor, tag };
        let request = cluster.spawn(&me.process, other, ties, b"fails").unwrap();
        let answer = Answer::from_bytes(&me.receive(&[request]).await.body).unwrap();
        let Answer::Spawned(child) = answer else {
            panic!("{answer:?}")
        };
        let child = me.kernel.process_named(child).unwrap();
        for _ in 0..2 {
            let mail = me.receive(&[]).await;
            assert!([Kind::Exit(child), Kind::Down(child, monitor)].contains(&mail.kind));
            assert_eq!(ExitReason::from_bytes(&mail.body), Some(ExitReason::Exit(9)));
        }
        // One that waits is ended by the end of its parent.
        let (link, monitor) = (true, 0);
        let request = cluster
            .spawn(&me.process, other, Ties { link, monitor, tag }, b"waits")
            .unwrap();
        assert!(matches!(
            Answer::from_bytes(&me.receive(&[request]).await.body),
            Some(Answer::Spawned(_))
        ));
        let request = cluster.spawn(&me.process, other, Ties::default(), b"nonsense").unwrap();
        let answer = Answer::from_bytes(&me.receive(&[request]).await.body);
        assert_eq!(answer, Some(Answer::Refused("there is no such entry".into())));
        Err(ExitReason::Exit(1))
    });
    assert_eq!(ended, ExitReason::Exit(1));
    kernels.run(SECOND);
    // The keeper of spawned processes is left.
    assert_eq!(kernels.alive(1), 1);
}

#[test]
fn a_spawn_is_answered_when_the_node_is_lost_and_its_child_does_not_outlive_the_link() {
    let mut kernels = Kernels::new(5, 2);
    let client = kernels.start_with(0, |me, cluster| async move {
        let other = cluster.members()[0].node;
        let (link, monitor, tag) = (true, 0, 0);
        let ties = Ties { link, monitor, tag };
        let request = cluster.spawn(&me.process, other, ties, b"waits").unwrap();
        let answer = Answer::from_bytes(&me.receive(&[request]).await.body);
        assert_eq!(answer, Some(Answer::Lost(Loss::Silent)));
        assert_eq!(
            cluster.spawn(&me.process, other, ties, b"waits"),
            Err(SpawnRefusal::Gone)
        );
        Ok(())
    });
    // The request arrives, the answer does not.
    kernels.set_faults(1, 0, Faults::CUT);
    kernels.run(SECOND);
    assert_eq!(kernels.alive(1), 2);
    kernels.cut(0, 1);
    kernels.run(10 * SECOND);
    assert_eq!(client.exit_reason(), Some(ExitReason::Normal));
    assert_eq!(kernels.alive(1), 1);
}

#[test]
fn members_of_a_large_group_come_in_parts_without_those_that_leave_meanwhile() {
    let mut kernels = Kernels::new(7, 2);
    let mut ids: Vec<_> = (0..600)
        .map(|_| {
            let log = Arc::default();
            let id = kernels.start(0, move |me| collects(me, log)).main().unwrap();
            kernels.cluster(0).join(b"group", id, Box::new(())).unwrap();
            id
        })
        .collect();
    kernels.run(SECOND);
    assert_eq!(kernels.cluster(1).group(b"group").count(), 600);
    ids.sort_unstable_by_key(|id| id.raw());
    let cluster = kernels.cluster(0);
    let mut members = cluster.group(b"group");
    let mut all = vec![members.next().unwrap()];
    // One that was copied already, and one whose turn comes later.
    for left in [ids[10], ids[400]] {
        assert!(cluster.leave_group(b"group", left));
    }
    all.extend(members);
    assert_eq!(all.len(), 599);
    assert!(!all.contains(&ids[400]));
    ids.remove(400);
    assert_eq!(all, ids);
}

#[test]
fn names_and_groups_are_the_same_on_all_nodes_and_fall_with_processes_and_nodes() {
    let mut kernels = Kernels::new(6, 3);
    let servers: Vec<_> = (0..2)
        .map(|node| {
            let log = Arc::default();
            let server = kernels.start(node, move |me| collects(me, log));
            let id = server.main().unwrap();
            kernels.cluster(node).join(b"group", id, Box::new(())).unwrap();
            id
        })
        .collect();
    kernels
        .cluster(0)
        .register(b"server", servers[0], 0, 0, Box::new(()))
        .unwrap();
    kernels.run(SECOND);
    let found = kernels.cluster(2).find(b"server").expect("it is known everywhere");
    assert!(!found.is_here());
    let taken = kernels.cluster(1).register(b"server", servers[1], 0, 0, Box::new(()));
    assert!(matches!(taken, Err(NameRefusal::Taken(_))));
    assert_eq!(kernels.cluster(2).group(b"group").count(), 2);
    // The end of the process.
    let killer = kernels.run_client(2, move |me, _| async move {
        me.exit(found, &ExitReason::Killed)?;
        Ok(())
    });
    assert_eq!(killer, ExitReason::Normal);
    kernels.run(SECOND);
    for node in 0..3 {
        assert_eq!(kernels.cluster(node).find(b"server"), None);
        assert_eq!(kernels.cluster(node).group(b"group").count(), 1);
    }
    // The end of the node.
    kernels
        .cluster(1)
        .register(b"server", servers[1], 0, 0, Box::new(()))
        .unwrap();
    kernels.run(SECOND);
    kernels.cut(1, 0);
    kernels.cut(1, 2);
    kernels.run(10 * SECOND);
    assert_eq!(kernels.cluster(0).find(b"server"), None);
    assert_eq!(kernels.cluster(1).find(b"server"), Some(servers[1]));
}

#[test]
fn after_a_split_one_of_two_names_stands_and_the_loser_is_told() {
    let mut kernels = Kernels::new(7, 2);
    let ids = [0, 1].map(|node| {
        kernels
            .start(node, |me| async move { as_long_as(&me).await })
            .main()
            .unwrap()
    });
    kernels.cut(0, 1);
    kernels.run(10 * SECOND);
    for (node, id) in ids.iter().enumerate() {
        kernels
            .cluster(node)
            .register(b"leader", *id, node as u8, 0, Box::new(()))
            .unwrap();
    }
    kernels.heal();
    kernels.run(20 * SECOND);
    assert_eq!(
        kernels.cluster(1).find(b"leader"),
        Some(ids[1]),
        "the higher priority wins"
    );
    assert!(kernels.cluster(0).find(b"leader").is_some_and(|id| !id.is_here()));
    let told = kernels.told(0);
    let conflicts = told
        .iter()
        .filter(|told| matches!(told, Told::Conflict(conflict) if conflict.loser == ids[0].raw()));
    assert_eq!(conflicts.count(), 1);
}

#[test]
fn who_leaves_is_told_that_the_others_are_lost_and_may_join_again() {
    let mut kernels = Kernels::new(10, 2);
    let server = kernels.start(1, |me| async move {
        me.trap_exits();
        as_long_as(&me).await
    });
    let server = kernels.address(1, server);
    let gone = ExitReason::NodeGone(Loss::Closed);
    let client = kernels.start_with(0, move |me, cluster| async move {
        let server = me.kernel.process_named(server).unwrap();
        let other = cluster.members()[0].node;
        assert!(cluster.register(b"client", me.id(), 0, 0, Box::new(())).is_ok());
        me.monitor(server);
        let request = cluster.spawn(&me.process, other, Ties::default(), b"waits").unwrap();
        assert!(matches!(
            Answer::from_bytes(&me.receive(&[request]).await.body),
            Some(Answer::Spawned(_))
        ));
        assert_eq!(call(&me, server, b"wait").await, Err(Unanswered::Gone(gone.clone())));
        let mail = me.receive(&[]).await;
        assert_eq!(ExitReason::from_bytes(&mail.body), Some(gone));
        assert_eq!(me.send(server, 1, b"late"), Err(SendRefusal::Closed));
        let late = cluster.spawn(&me.process, other, Ties::default(), b"waits");
        assert_eq!(late, Err(SpawnRefusal::Gone));
        Ok(())
    });
    kernels.run(SECOND);
    kernels.leave(0);
    // No other node can wake a process any more, so a deadlock is found.
    let stuck = kernels.start(0, |me| async move { as_long_as(&me).await });
    kernels.run(SECOND);
    assert_eq!(client.exit_reason(), Some(ExitReason::Normal));
    assert!(matches!(stuck.exit_reason(), Some(ExitReason::Deadlock(_))));
    kernels.rejoin(0);
    kernels.run(SECOND);
    assert!(kernels.cluster(0).members().iter().any(|member| member.is_up));
    let again = kernels.run_client(0, move |me, _| async move {
        let server = me.kernel.process_named(server).unwrap();
        me.exit(server, &ExitReason::Killed)?;
        me.monitor(server);
        let reason = ExitReason::from_bytes(&me.receive(&[]).await.body);
        assert_eq!(reason, Some(ExitReason::Killed));
        Ok(())
    });
    assert_eq!(again, ExitReason::Normal);
}

#[test]
fn a_node_that_stands_still_parks_those_who_send_to_it_and_nobody_else() {
    const COUNT: u64 = 400;
    let mut kernels = Kernels::new(8, 3);
    let log: Arc<Mutex<Vec<u64>>> = Arc::default();
    let [slow, fast] = [1, 2].map(|node| {
        let log = if node == 1 { log.clone() } else { Arc::default() };
        let server = kernels.start(node, move |me| collects(me, log));
        kernels.address(node, server)
    });
    let sent = [0, 1].map(|_| Arc::new(AtomicU64::new(0)));
    let late = [0, 1].map(|_| Arc::new(AtomicU32::new(0)));
    let senders: Vec<_> = [slow, fast]
        .into_iter()
        .enumerate()
        .map(|(place, to)| {
            let (sent, late) = (sent[place].clone(), late[place].clone());
            kernels.start(0, move |me| async move {
                let to = me.kernel.process_named(to).unwrap();
                let timeout = Duration::from_millis(500).as_nanos() as u64;
                for number in 0..COUNT {
                    let body = [&number.to_le_bytes()[..], &[0; 10_000]].concat();
                    // As `send` of a program does, with a timeout, again and again.
                    let (kernel, process) = (Held::Borrowed(&me.kernel), Held::Borrowed(&me.process));
                    let mut wait = Wait::new(kernel, process, WaitFor::Send, to, timeout);
                    while me.send(to, 1, &body) == Err(SendRefusal::Full) {
                        if !until_room(&wait, to.peer()).await {
                            late.fetch_add(1, Ordering::Relaxed);
                            let (kernel, process) = (Held::Borrowed(&me.kernel), Held::Borrowed(&me.process));
                            wait = Wait::new(kernel, process, WaitFor::Send, to, lunatic_sys::codes::NO_TIMEOUT);
                        }
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        })
        .collect();
    kernels.freeze(1);
    kernels.run(2 * SECOND);
    assert_eq!(
        senders[1].exit_reason(),
        Some(ExitReason::Normal),
        "the other is not held up"
    );
    let parked = sent[0].load(Ordering::Relaxed);
    // What fits into the window and the queue: 768 KiB and 1 MiB, of messages of 10,000 bytes.
    assert!((150..200).contains(&parked), "{parked}");
    // The kernel's own time goes on to the next timer whenever all of its processes wait.
    assert!(
        late[0].load(Ordering::Relaxed) > 0,
        "its timeout has passed all the same"
    );
    kernels.heal();
    kernels.run(5 * SECOND);
    assert_eq!(senders[0].exit_reason(), Some(ExitReason::Normal));
    assert_eq!(*log.lock(), (0..COUNT).collect::<Vec<_>>());
}

#[test]
fn links_and_monitors_hear_of_a_lost_node_before_those_who_monitor_nodes() {
    let mut kernels = Kernels::new(9, 2);
    let server = kernels.start(1, |me| async move {
        me.trap_exits();
        as_long_as(&me).await
    });
    let server = kernels.address(1, server);
    let client = kernels.start_with(0, move |me, cluster| async move {
        me.trap_exits();
        let server = me.kernel.process_named(server).unwrap();
        assert!(cluster.monitor_nodes(me.id(), 7, Box::new(())));
        me.link(server)?;
        me.monitor(server);
        for _ in 0..2 {
            let mail = me.receive(&[]).await;
            assert!(matches!(mail.kind, Kind::Exit(_) | Kind::Down(..)), "{mail:?}");
            let gone = ExitReason::NodeGone(Loss::Silent);
            assert_eq!(ExitReason::from_bytes(&mail.body), Some(gone));
        }
        let mail = me.receive(&[]).await;
        assert_eq!((mail.tag, mail.body[0]), (7, 0));
        assert_eq!(mail.body[9..13], (Loss::Silent as i32).to_le_bytes());
        // It comes back, and its processes have the addresses that they had.
        let mail = me.receive(&[7]).await;
        assert_eq!(mail.body[0], 1);
        me.link(server)?;
        me.exit(server, &ExitReason::Killed)?;
        assert_eq!(
            ExitReason::from_bytes(&me.receive(&[]).await.body),
            Some(ExitReason::Killed)
        );
        Ok(())
    });
    kernels.run(SECOND);
    kernels.cut(0, 1);
    kernels.run(10 * SECOND);
    kernels.heal();
    kernels.run(15 * SECOND);
    assert_eq!(client.exit_reason(), Some(ExitReason::Normal));
}

/// Watches a process of another node by a link and a monitor, and counts what it is told of each: one word for each, ever.
fn watcher(kernels: &Kernels, node: usize, of: lunatic_sys::layout::RawHandle, counts: Arc<[AtomicU32; 2]>) {
    kernels.start(node, move |me| async move {
        me.trap_exits();
        let Some(other) = me.kernel.process_named(of) else {
            counts
                .iter()
                .for_each(|count| _ = count.fetch_add(1, Ordering::Relaxed));
            return as_long_as(&me).await;
        };
        me.link(other)?;
        let reference = me.monitor(other);
        loop {
            let mail = me.receive(&[]).await;
            let place = match mail.kind {
                Kind::Exit(from) if from == other => 0,
                Kind::Down(from, under) if (from, under) == (other, reference) => 1,
                _ => panic!("it was told {mail:?}"),
            };
            counts[place].fetch_add(1, Ordering::Relaxed);
        }
    });
}

fn links_fire_once(seed: u64) {
    let mut kernels = Kernels::new(seed, 3);
    let mut counts: Vec<Arc<[AtomicU32; 2]>> = Vec::new();
    for _ in 0..6 {
        for _ in 0..3 {
            let node = kernels.random.below(3) as usize;
            let other = (node + 1 + kernels.random.below(2) as usize) % 3;
            let ends = kernels.random.once_in(2);
            let target = kernels.start(other, move |me| async move {
                if ends {
                    me.receive(&[1]).await;
                    return Err(ExitReason::Exit(2));
                }
                as_long_as(&me).await
            });
            let address = kernels.address(other, target.clone());
            counts.push(Arc::default());
            watcher(&kernels, node, address, counts.last().unwrap().clone());
            if ends {
                // It ends sooner or later than the link arrives.
                let time = [0, 60, 200][kernels.random.below(3) as usize];
                kernels.run(Duration::from_micros(time));
                let kernel = kernels.kernel(other);
                // A link to a node that was lost may have ended it before.
                if let Some(target) = kernel.find(target.main().unwrap()) {
                    _ = kernel.put_mail(target, 1, b"");
                }
            }
        }
        let (one, other) = (kernels.random.below(3) as usize, kernels.random.below(3) as usize);
        match kernels.random.below(5) {
            0 => kernels.set_faults(one, other, Faults::CUT),
            1 => kernels.set_faults(
                one,
                other,
                Faults {
                    loses: 3,
                    ..Faults::NONE
                },
            ),
            2 => kernels.set_faults(
                one,
                other,
                Faults {
                    reorders: 3,
                    ..Faults::NONE
                },
            ),
            3 => kernels.freeze(one),
            _ => kernels.heal(),
        }
        let time = [10, 1000, 9000][kernels.random.below(3) as usize];
        kernels.run(Duration::from_millis(time));
    }
    // The end of all connections ends all links and monitors that have not fired.
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        kernels.cut(one, other);
    }
    kernels.thaw_all();
    kernels.run(20 * SECOND);
    for (place, counts) in counts.iter().enumerate() {
        let told = [0, 1].map(|kind| counts[kind].load(Ordering::Relaxed));
        assert_eq!(told, [1, 1], "link and monitor of watcher {place}, seed {seed}");
    }
}

#[test]
fn links_and_monitors_fire_once_whatever_happens() {
    for seed in 0..40 {
        links_fire_once(seed);
    }
}

/// `SCHEDULES` says how many, from seed `FROM`.
#[test]
#[ignore = "takes minutes"]
fn links_and_monitors_in_many_schedules() {
    let variable = |name, or| std::env::var(name).map_or(or, |value| value.parse().expect("a number"));
    let (from, count): (u64, u64) = (variable("FROM", 1000), variable("SCHEDULES", 100_000));
    for seed in from..from + count {
        links_fire_once(seed);
    }
}
