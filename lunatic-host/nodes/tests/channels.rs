//! Channels between nodes, over the fabric in memory: processes of all nodes send to and receive from the same channels.

#[path = "../../kernel/tests/closures/mod.rs"]
mod closures;
mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use closures::{Closures, Me, offer};
use cluster::{Kernels, as_long_as};
use lunatic_kernel::WaitFor;
use lunatic_kernel::address::{Id, Peer};
use lunatic_kernel::delivery::Signal;
use lunatic_kernel::elsewhere::{self, Offered, Refused, Watches};
use lunatic_kernel::errand::Errand;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::wait::poll_until;
use lunatic_nodes::Cluster;
use lunatic_nodes::cluster::Told;
use lunatic_nodes::memory::Faults;
use lunatic_sys::codes::NO_TIMEOUT;
use lunatic_sys::layout::RawHandle;
use parking_lot::Mutex;

const SECOND: Duration = Duration::from_secs(1);

/// A channel of a process that only waits.
struct Shared {
    node: usize,
    id: Id,
    handle: RawHandle,
}

impl Shared {
    fn open(kernels: &Kernels, node: usize, bound: usize) -> Self {
        let owner = kernels.start(node, |me| async move { as_long_as(&me).await });
        let kernel = kernels.kernel(node);
        let owner = kernel.find(owner.main().unwrap()).unwrap();
        let id = kernel.channels().open(0, owner.id, &owner, bound).unwrap();
        let handle = kernel.channel_keys().handle(id);
        Self { node, id, handle }
    }

    fn close(&self, kernels: &Kernels) {
        kernels.kernel(self.node).close_channel(self.id, None);
    }

    /// What is in it.
    fn drain(&self, kernels: &Kernels) -> Vec<u64> {
        let mut all = Vec::new();
        while let Ok((message, _, woken)) = kernels.kernel(self.node).channels().try_receive(self.id) {
            all.push(number(&message));
            kernels.kernel(self.node).wake_waiter(woken);
        }
        all
    }

    /// The processes that wait for a message and for room, and the messages.
    fn state(&self, kernels: &Kernels) -> (usize, usize, usize) {
        let view = kernels.kernel(self.node).channels().view(self.id).unwrap();
        (view.receivers, view.senders, view.len)
    }
}

fn number(message: &[u8]) -> u64 {
    u64::from_le_bytes(message[..8].try_into().unwrap())
}

fn named(me: &Me, handle: RawHandle) -> Id {
    me.kernel
        .channel_named(handle)
        .expect("the handle is good on all nodes")
}

/// How many errands there are on either side, of all nodes.
fn errands(kernels: &Kernels, nodes: usize) -> usize {
    let peers = || (1..=Peer::MAX).take(8).filter_map(Peer::new);
    let of = |node| {
        let kernel = kernels.kernel(node);
        kernel.errands_out() + peers().map(|peer| kernel.errands_of(peer)).sum::<usize>()
    };
    (0..nodes).map(of).sum()
}

#[test]
fn a_channel_of_another_node_keeps_its_order_and_its_bound() {
    let mut kernels = Kernels::new(1, 2);
    let channel = Shared::open(&kernels, 0, 2);
    let handle = channel.handle;
    let sender = kernels.start(1, move |me| async move {
        let channel = named(&me, handle);
        assert!(!channel.is_here());
        for number in 0..100_u64 {
            assert!(me.send_to(channel, &number.to_le_bytes()).await);
        }
        Ok(())
    });
    kernels.run(SECOND);
    assert_eq!(channel.state(&kernels), (0, 1, 2), "it waits while the channel is full");
    let id = channel.id;
    let received = Arc::new(Mutex::new(Vec::new()));
    let log = received.clone();
    let receiver = kernels.start(0, move |me| async move {
        for _ in 0..100 {
            let message = me.receive_from(id).await.unwrap();
            log.lock().push(number(&message));
            assert!(me.kernel.channels().view(id).unwrap().len <= 2);
        }
        Ok(())
    });
    kernels.run(SECOND);
    assert_eq!(
        [sender, receiver].map(|system| system.exit_reason()),
        [const { Some(ExitReason::Normal) }; 2]
    );
    assert_eq!(*received.lock(), (0..100).collect::<Vec<_>>());
    assert_eq!((channel.state(&kernels), errands(&kernels, 2)), ((0, 0, 0), 0));
}

#[test]
fn attempts_do_not_wait_and_closed_is_closed() {
    let mut kernels = Kernels::new(2, 2);
    let channel = Shared::open(&kernels, 0, 1);
    let handle = channel.handle;
    let client = kernels.run_client(1, move |me, _| async move {
        let channel = named(&me, handle);
        let receive = || me.new_wait(WaitFor::Receive, channel, NO_TIMEOUT);
        assert_eq!(
            elsewhere::receive(&receive(), channel, false).await,
            Err(Refused::TimedOut)
        );
        let send = me.new_wait(WaitFor::Send, channel, NO_TIMEOUT);
        assert_eq!(offer(&send, channel, b"one", false).await, Offered::Accepted);
        assert_eq!(
            offer(&send, channel, b"two", false).await,
            Offered::Refused(Refused::TimedOut)
        );
        // A timeout passes, and the message does not come later.
        let timed = me.new_wait(WaitFor::Send, channel, 1000);
        assert_eq!(
            offer(&timed, channel, b"three", true).await,
            Offered::Refused(Refused::TimedOut)
        );
        let long = vec![0; lunatic_sys::codes::MESSAGE_LEN_MAX.min(3 << 20)];
        assert_eq!(
            elsewhere::receive(&receive(), channel, false).await,
            Ok(b"one".to_vec())
        );
        assert_eq!(offer(&send, channel, &long, true).await, Offered::Accepted);
        assert_eq!(elsewhere::receive(&receive(), channel, true).await, Ok(long));
        let timed = me.new_wait(WaitFor::Receive, channel, 1000);
        assert_eq!(elsewhere::receive(&timed, channel, true).await, Err(Refused::TimedOut));
        Ok(())
    });
    assert_eq!(client, ExitReason::Normal);
    assert_eq!((channel.state(&kernels), errands(&kernels, 2)), ((0, 0, 0), 0));
    // Those who wait when it closes, and those who come later.
    let waiting = kernels.start(1, move |me| async move {
        let channel = named(&me, handle);
        assert_eq!(me.receive_from(channel).await, None);
        assert!(!me.send_to(channel, b"late").await);
        Ok(())
    });
    kernels.run(SECOND);
    assert_eq!(channel.state(&kernels), (1, 0, 0));
    channel.close(&kernels);
    kernels.run(SECOND);
    assert_eq!(waiting.exit_reason(), Some(ExitReason::Normal));
    assert_eq!(errands(&kernels, 2), 0);
}

#[test]
fn the_loss_of_a_node_ends_what_waits_on_both_sides() {
    let mut kernels = Kernels::new(3, 2);
    let [empty, full] = [0, 1].map(|bound| Shared::open(&kernels, 0, bound));
    let [from, to] = [empty.handle, full.handle];
    let receiver = kernels.start(1, move |me| async move {
        assert_eq!(me.receive_from(named(&me, from)).await, None);
        Ok(())
    });
    let sender = kernels.start(1, move |me| async move {
        let channel = named(&me, to);
        assert!(me.send_to(channel, &1_u64.to_le_bytes()).await);
        assert!(!me.send_to(channel, &2_u64.to_le_bytes()).await);
        Ok(())
    });
    kernels.run(SECOND);
    assert_eq!(
        [&empty, &full].map(|channel| channel.state(&kernels)),
        [(1, 0, 0), (0, 1, 1)]
    );
    kernels.cut(0, 1);
    kernels.run(10 * SECOND);
    for system in [receiver, sender] {
        assert_eq!(system.exit_reason(), Some(ExitReason::Normal));
    }
    assert_eq!(
        [&empty, &full].map(|channel| channel.state(&kernels)),
        [(0, 0, 0), (0, 0, 1)]
    );
    assert_eq!(errands(&kernels, 2), 0);
    // The channels themselves are as they were, and once the nodes are connected, they work.
    kernels.heal();
    kernels.run(15 * SECOND);
    let again = kernels.run_client(1, move |me, _| async move {
        assert_eq!(
            me.receive_from(named(&me, to)).await,
            Some(1_u64.to_le_bytes().to_vec())
        );
        Ok(())
    });
    assert_eq!(again, ExitReason::Normal);
}

#[test]
fn a_receiver_or_sender_that_is_killed_leaves_its_turn_to_others() {
    let mut kernels = Kernels::new(4, 2);
    let channel = Shared::open(&kernels, 0, 1);
    let (handle, id) = (channel.handle, channel.id);
    let waits = || {
        kernels.start(1, move |me| async move {
            me.receive_from(named(&me, handle)).await;
            Ok(())
        })
    };
    let first = waits();
    kernels.run(SECOND);
    let local = kernels.start(0, move |me| async move {
        assert_eq!(me.receive_from(id).await, Some(7_u64.to_le_bytes().to_vec()));
        Ok(())
    });
    kernels.run(SECOND);
    assert_eq!(channel.state(&kernels), (2, 0, 0));
    let main = kernels.kernel(1).find(first.main().unwrap()).unwrap();
    kernels.kernel(1).kill(&main);
    kernels.run(SECOND);
    assert_eq!((channel.state(&kernels), errands(&kernels, 2)), ((1, 0, 0), 0));
    let woken = kernels.kernel(0).channels().try_send(id, &7_u64.to_le_bytes()).unwrap();
    kernels.kernel(0).wake_waiter(woken);
    kernels.run(SECOND);
    assert_eq!(local.exit_reason(), Some(ExitReason::Normal));
}

#[test]
fn a_node_that_stands_still_keeps_no_room_from_others() {
    let mut kernels = Kernels::new(9, 2);
    let channel = Shared::open(&kernels, 0, 1);
    let (handle, id) = (channel.handle, channel.id);
    let elsewhere = kernels.start(1, move |me| async move {
        for number in 0..2_u64 {
            assert!(me.send_to(named(&me, handle), &number.to_le_bytes()).await);
        }
        Ok(())
    });
    kernels.run(SECOND);
    let local = kernels.start(0, move |me| async move {
        assert!(me.send_to(id, &7_u64.to_le_bytes()).await);
        Ok(())
    });
    kernels.run(SECOND);
    assert_eq!(channel.state(&kernels), (0, 2, 1));
    kernels.freeze(1);
    let (_, _, woken) = kernels.kernel(0).channels().try_receive(id).unwrap();
    kernels.kernel(0).wake_waiter(woken);
    kernels.run(SECOND);
    assert_eq!(local.exit_reason(), Some(ExitReason::Normal));
    // It comes too late, and is the first to send when there is room again.
    kernels.thaw_all();
    kernels.run(SECOND);
    assert_eq!((channel.state(&kernels), elsewhere.exit_reason()), ((0, 1, 1), None));
    assert_eq!(channel.drain(&kernels), [7]);
    kernels.run(SECOND);
    assert_eq!(channel.drain(&kernels), [1]);
    assert_eq!(elsewhere.exit_reason(), Some(ExitReason::Normal));
}

#[test]
fn a_channel_is_watched_until_it_is_ready() {
    let mut kernels = Kernels::new(5, 3);
    let channels = [0, 2].map(|node| Shared::open(&kernels, node, 0));
    let handles = [channels[0].handle, channels[1].handle];
    let client = kernels.start(1, move |me| async move {
        let all = handles.map(|handle| named(&me, handle));
        for expected in [1, 0] {
            let wait = me.new_wait(WaitFor::Select, Id::NONE, NO_TIMEOUT);
            let mut watches = Watches::new(&wait, true);
            for (place, channel) in all.into_iter().enumerate() {
                assert!(watches.add(place, channel).await);
            }
            let ready = poll_until(&wait, |_| watches.look().0).await;
            assert_eq!(ready, Some(expected));
            let receive = me.new_wait(WaitFor::Receive, Id::NONE, NO_TIMEOUT);
            let received = elsewhere::receive(&receive, all[expected], false).await;
            assert_eq!(received, Ok(vec![u8::try_from(expected).unwrap(); 8]));
        }
        Ok(())
    });
    for place in [1, 0] {
        kernels.run(SECOND);
        // Who watches takes nothing from those who receive, so it is not in the way of their turns.
        let (kernel, channel) = (kernels.kernel(channels[place].node), channels[place].id);
        let woken = kernel.channels().try_send(channel, &[u8::try_from(place).unwrap(); 8]);
        kernel.wake_waiter(woken.unwrap());
    }
    kernels.run(SECOND);
    assert_eq!(client.exit_reason(), Some(ExitReason::Normal));
    assert_eq!(errands(&kernels, 3), 0);
}

#[test]
fn whether_a_process_is_alive_is_asked_of_its_node() {
    let mut kernels = Kernels::new(8, 2);
    let other = kernels.start(1, |me| async move {
        me.receive(&[1]).await;
        Ok(())
    });
    let main = other.main().unwrap();
    let address = kernels.address(1, other);
    let ask = move || {
        move |me: Me, _: Arc<Cluster<Closures>>| async move {
            let other = me.kernel.process_named(address).unwrap();
            let wait = me.new_wait(WaitFor::Call, other, NO_TIMEOUT);
            match elsewhere::is_alive(&wait, other).await {
                true => Ok(()),
                false => Err(ExitReason::Exit(1)),
            }
        }
    };
    assert_eq!(kernels.run_client(0, ask()), ExitReason::Normal);
    let process = kernels.kernel(1).find(main).unwrap();
    kernels.kernel(1).put_mail(process, 1, b"").unwrap();
    kernels.run(SECOND);
    assert_eq!(kernels.run_client(0, ask()), ExitReason::Exit(1));
    // Nobody answers any more.
    let alive = kernels.start(1, |me| async move { as_long_as(&me).await });
    let alive = kernels.address(1, alive);
    kernels.freeze(1);
    let asks = kernels.start(0, move |me| async move {
        let alive = me.kernel.process_named(alive).unwrap();
        let wait = me.new_wait(WaitFor::Call, alive, NO_TIMEOUT);
        assert!(!elsewhere::is_alive(&wait, alive).await);
        Ok(())
    });
    kernels.run(SECOND);
    assert_eq!(asks.exit_reason(), None);
    kernels.run(10 * SECOND);
    assert_eq!(asks.exit_reason(), Some(ExitReason::Normal));
    assert_eq!(errands(&kernels, 2), 0);
}

/// A node that asks for much more than it takes: messages stay in the channel.
#[test]
fn messages_wait_in_the_channel_while_their_way_is_full() {
    const COUNT: u64 = 200;
    let mut kernels = Kernels::new(6, 2);
    let channel = Shared::open(&kernels, 0, 0);
    let (handle, log) = (channel.handle, Arc::new(Mutex::new(BTreeSet::new())));
    for _ in 0..COUNT {
        let log = log.clone();
        kernels.start(1, move |me| async move {
            let message = me.receive_from(named(&me, handle)).await.unwrap();
            assert!(log.lock().insert(number(&message)));
            Ok(())
        });
    }
    kernels.run(SECOND);
    kernels.freeze(1);
    let kernel = kernels.kernel(0).clone();
    for number in 0..COUNT {
        let mut message = vec![1; 100_000];
        message[..8].copy_from_slice(&number.to_le_bytes());
        kernel.wake_waiter(kernel.channels().try_send(channel.id, &message).unwrap());
    }
    kernels.run(SECOND);
    let queued: usize = kernels.cluster(0).members().iter().map(|member| member.queued).sum();
    assert!(queued < 2 << 20, "{queued} bytes wait for the other node");
    assert!(channel.state(&kernels).2 > 150);
    kernels.thaw_all();
    kernels.run(5 * SECOND);
    assert_eq!(*log.lock(), (0..COUNT).collect());
    assert_eq!((channel.state(&kernels).2, errands(&kernels, 2)), (0, 0));
}

/// What no node sends changes nothing for others, and there is an end to how much one may leave here.
#[test]
fn errands_that_no_node_sends_are_in_nobodys_way() {
    let mut kernels = Kernels::new(7, 2);
    let channel = Shared::open(&kernels, 0, 1);
    let kernel = kernels.kernel(0).clone();
    let peer = kernels.cluster(0).peer(kernels.cluster(1).id()).unwrap();
    let from = Id::new(9, 0).on(peer);
    let receive = |number, errand| kernel.receive(from, channel.id, Signal::Errand { number, errand });
    let (waits, body) = (true, &b"........"[..]);
    for errand in [Errand::Withdraw, Errand::Receive { waits }, Errand::Receive { waits }] {
        receive(1, errand);
    }
    for errand in [Errand::Watch, Errand::Send { body, waits }, Errand::Watch] {
        receive(1, errand);
    }
    assert_eq!(channel.state(&kernels), (1, 0, 0), "a number is used once");
    receive(1, Errand::Withdraw);
    assert_eq!(channel.state(&kernels), (0, 0, 0));
    // The same message again and again, although it waits.
    receive(2, Errand::Send { body, waits });
    for _ in 0..5 {
        receive(3, Errand::Send { body, waits });
    }
    assert_eq!(channel.state(&kernels), (0, 1, 1));
    let local = kernels.start(0, {
        let id = channel.id;
        move |me| async move {
            assert!(me.send_to(id, body).await);
            Ok(())
        }
    });
    kernels.run(SECOND);
    assert_eq!(channel.drain(&kernels).len(), 1);
    // It is its turn and it does not come; when it gives up, the next one may send.
    kernels.run(SECOND);
    receive(3, Errand::Withdraw);
    kernels.run(SECOND);
    assert_eq!(local.exit_reason(), Some(ExitReason::Normal));
    channel.drain(&kernels);
    for number in 10..10 + (1 << 14) + 5 {
        receive(number, Errand::Receive { waits });
    }
    assert_eq!(kernel.errands_of(peer), 1 << 14);
    kernels.cut(0, 1);
    kernels.run(10 * SECOND);
    assert_eq!((kernel.errands_of(peer), channel.state(&kernels)), (0, (0, 0, 0)));
    // A channel that never was is closed.
    kernel.receive(
        from,
        Id::new(4000, 3),
        Signal::Errand {
            number: 1,
            errand: Errand::Watch,
        },
    );
    assert_eq!(kernel.errands_of(peer), 0);
}

/// What became of the messages of one schedule.
#[derive(Default)]
struct Log {
    /// Those that were accepted, as far as their senders know.
    accepted: BTreeSet<u64>,
    /// Those that were received, by receiver.
    received: BTreeMap<usize, Vec<u64>>,
}

fn sender(kernels: &Kernels, node: usize, name: u64, handle: RawHandle, log: Arc<Mutex<Log>>) {
    kernels.start(node, move |me| async move {
        let channel = named(&me, handle);
        for count in 0..40_u64 {
            let number = name << 32 | count;
            if !me.send_to(channel, &number.to_le_bytes()).await {
                break;
            }
            log.lock().accepted.insert(number);
        }
        Ok(())
    });
}

/// Receives until the channel is closed; a receiver of another node gives up and tries again sometimes.
fn receiver(kernels: &Kernels, node: usize, name: usize, handle: RawHandle, log: Arc<Mutex<Log>>) -> Id {
    let system = kernels.start(node, move |me| async move {
        let channel = named(&me, handle);
        let mut timeouts = 20;
        loop {
            let gives_up = timeouts > 0 && !channel.is_here() && name.is_multiple_of(2);
            let message = match gives_up {
                false => me.receive_from(channel).await,
                true => {
                    timeouts -= 1;
                    let wait = me.new_wait(WaitFor::Receive, channel, 1000);
                    match elsewhere::receive(&wait, channel, true).await {
                        Err(Refused::TimedOut) => continue,
                        received => received.ok(),
                    }
                }
            };
            let Some(message) = message else { return Ok(()) };
            log.lock().received.entry(name).or_default().push(number(&message));
        }
    });
    system.main().unwrap()
}

fn channels_lose_and_double_nothing(seed: u64) {
    let mut kernels = Kernels::new(seed, 3);
    let log = Arc::new(Mutex::new(Log::default()));
    let channels: Vec<Shared> = (0..3)
        .map(|node| {
            let bound = [0, 1, 3][kernels.random.below(3) as usize];
            Shared::open(&kernels, node, bound)
        })
        .collect();
    let mut receivers = Vec::new();
    for name in 0..9 {
        let channel = channels[kernels.random.below(3) as usize].handle;
        let [one, other] = [(); 2].map(|()| kernels.random.below(3) as usize);
        sender(&kernels, one, name as u64, channel, log.clone());
        receivers.push((other, receiver(&kernels, other, name, channel, log.clone())));
    }
    let (is_faulty, kills) = (kernels.random.once_in(2), kernels.random.once_in(2));
    let mut killed = 0;
    for _ in 0..8 {
        let (one, other) = (kernels.random.below(3) as usize, kernels.random.below(3) as usize);
        let faults = |loses, reorders| Faults {
            loses,
            reorders,
            ..Faults::NONE
        };
        match kernels.random.below(6) {
            0 if is_faulty => kernels.set_faults(one, other, Faults::CUT),
            1 if is_faulty => kernels.set_faults(one, other, faults(3, 0)),
            2 if is_faulty => kernels.set_faults(one, other, faults(0, 3)),
            3 if is_faulty => kernels.freeze(one),
            4 if kills => {
                let (node, receiver) = receivers[kernels.random.below(9) as usize];
                if let Some(receiver) = kernels.kernel(node).find(receiver) {
                    kernels.kernel(node).kill(&receiver);
                    killed += 1;
                }
            }
            _ => kernels.heal(),
        }
        let time = if is_faulty { [1, 100, 9000] } else { [0, 1, 3] };
        let time = time[kernels.random.below(3) as usize];
        kernels.run(Duration::from_millis(time));
    }
    kernels.heal();
    kernels.thaw_all();
    kernels.run(30 * SECOND);
    let left: Vec<u64> = channels.iter().flat_map(|channel| channel.drain(&kernels)).collect();
    // Senders that waited for room go on; what they send stays in the channels.
    kernels.run(SECOND);
    let was_lost = (0..3).any(|node| kernels.told(node).iter().any(|told| matches!(told, Told::Down(..))));
    {
        let log = log.lock();
        let mut seen = BTreeSet::new();
        for received in log.received.values() {
            let mut last = BTreeMap::new();
            for number in received {
                assert!(seen.insert(*number), "{number:x} came twice, seed {seed}");
                let before = last.insert(number >> 32, *number);
                assert!(before < Some(*number), "{number:x} came late, seed {seed}");
            }
        }
        for number in left {
            assert!(seen.insert(number), "{number:x} is still there, seed {seed}");
        }
        if !was_lost {
            let rest: BTreeSet<u64> = channels.iter().flat_map(|channel| channel.drain(&kernels)).collect();
            let missing = log
                .accepted
                .iter()
                .filter(|number| !seen.contains(number) && !rest.contains(number));
            // One that is on its way to a process that is killed is lost with it.
            assert!(missing.count() <= killed, "messages are lost, seed {seed}");
        }
    }
    for channel in &channels {
        channel.close(&kernels);
    }
    kernels.run(20 * SECOND);
    assert_eq!(errands(&kernels, 3), 0, "errands are left, seed {seed}");
    for node in 0..3 {
        // The keeper, and the owner of the channel.
        assert_eq!(kernels.alive(node), 2, "processes wait on node {node}, seed {seed}");
        assert_eq!(kernels.kernel(node).queued(), 0, "bytes are left, seed {seed}");
    }
}

#[test]
fn channels_between_nodes_lose_and_double_nothing() {
    for seed in 0..60 {
        channels_lose_and_double_nothing(seed);
    }
}

/// `SCHEDULES` says how many, from seed `FROM`.
#[test]
#[ignore = "takes minutes"]
fn channels_in_many_schedules() {
    let variable = |name, or| std::env::var(name).map_or(or, |value| value.parse().expect("a number"));
    let (from, count): (u64, u64) = (variable("FROM", 1000), variable("SCHEDULES", 20_000));
    for seed in from..from + count {
        channels_lose_and_double_nothing(seed);
    }
}
