//! Sockets that are handed to somebody who does not take them.

use std::io::ErrorKind;

use lunatic::net::{UdpSocket, UnixStream};
use lunatic::{Channel, ExitReason, Process, ProcessConfig};

use crate::pair;

const GIFTS: u64 = 300;

/// A sandbox sends its parent, who may have 10 sockets, many more. They are paid for by the sandbox until they are received,
/// and the parent may open as many as before.
pub(crate) fn gifts_that_nobody_takes() {
    let parent = Process::builder()
        .config(&ProcessConfig::inherit().max_files(10))
        .spawn(receives_gifts);
    assert_eq!(parent.unwrap().join(), ExitReason::Normal);
}

fn receives_gifts() {
    let gifts = Channel::<UnixStream>::new(0);
    let (used, go_on) = (Channel::<u64>::new(0), Channel::<()>::new(1));
    let config = ProcessConfig::inherit().max_files(1024).tree_sockets(2 * GIFTS);
    let sandbox = move || {
        let sockets = || lunatic::this_process().usage().unwrap().sockets;
        for _ in 0..GIFTS {
            gifts.send(UnixStream::pair().unwrap().0);
        }
        used.send(sockets());
        go_on.receive();
        used.send(sockets());
    };
    let sandbox = Process::builder().config(&config).spawn(sandbox).unwrap();
    assert_eq!(used.receive(), GIFTS, "who has sent them pays for them");
    let own: Vec<_> = (0..10).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let error = UdpSocket::bind("127.0.0.1:0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded, "but 10 it may have");
    // Who has as many as it may cannot receive one more: it is closed.
    let refused = gifts.try_receive().unwrap_err();
    let reasons = std::iter::successors(Some(&refused as &dyn std::error::Error), |error| error.source());
    let text: String = reasons.map(|error| error.to_string()).collect();
    assert!(text.contains("the limit is 10"), "{text}");
    drop(own);
    for _ in 1..GIFTS {
        drop(gifts.receive());
    }
    go_on.send(());
    assert_eq!(used.receive(), 0);
    assert_eq!(sandbox.join(), ExitReason::Normal);
}

pub(crate) fn gifts_to_itself_and_to_the_dead() {
    let config = ProcessConfig::inherit().tree_sockets(8);
    let child = Process::builder().config(&config).spawn(|| {
        let used = || lunatic::this_process().usage().unwrap().sockets;
        let gifts = Channel::<UnixStream>::new(0);
        let (mut one, _other) = UnixStream::pair().unwrap();
        for _ in 0..1000 {
            gifts.send(one);
            one = gifts.receive();
        }
        assert_eq!(used(), 2);
        let channels = Channel::<Channel<UnixStream>>::new(0);
        let dead = Process::spawn(move || channels.send(Channel::new(0))).unwrap();
        dead.join();
        let closed = channels.receive();
        for _ in 0..1000 {
            one = closed.try_send(one).unwrap_err().into_message();
        }
        assert_eq!(used(), 2);
        // To one that never takes any, and is killed.
        for _ in 0..100 {
            let receiver = Process::spawn_with(one, |_: UnixStream| lunatic::sleep(std::time::Duration::MAX)).unwrap();
            let (tcp, _) = pair();
            lunatic::mailbox::Address::of(receiver).send(tcp);
            receiver.kill();
            receiver.join();
            one = UnixStream::pair().unwrap().0;
        }
        drop(one);
        assert_eq!(used(), 1);
    });
    assert_eq!(child.unwrap().join(), ExitReason::Normal);
}
