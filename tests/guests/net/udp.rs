//! UDP and multicast.

use std::io::ErrorKind;
use std::time::Duration;

use lunatic::net::UdpSocket;
use lunatic::{Channel, ExitReason, Process, ProcessConfig};

use crate::kind;

pub(crate) fn datagrams() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(one) = UdpSocket::bind(address) else { continue };
        let other = UdpSocket::bind(address).unwrap();
        let mut bytes = [0; 100];
        one.send_to(b"hello", other.local_addr().unwrap()).unwrap();
        assert_eq!(other.peek_from(&mut bytes).unwrap(), (5, one.local_addr().unwrap()));
        assert_eq!(
            other.recv_from(&mut bytes[..3]).unwrap().0,
            3,
            "what has no room is lost"
        );
        other.connect(one.local_addr().unwrap()).unwrap();
        assert_eq!(other.peer_addr().unwrap(), one.local_addr().unwrap());
        other.send(b"").unwrap();
        assert_eq!(one.recv_from(&mut bytes).unwrap().0, 0);
        other.send(b"back").unwrap();
        assert_eq!(one.recv_from(&mut bytes).unwrap(), (4, other.local_addr().unwrap()));
        one.send_to(b"again", other.local_addr().unwrap()).unwrap();
        assert_eq!(
            (other.peek(&mut bytes).unwrap(), other.recv(&mut bytes).unwrap()),
            (5, 5)
        );
        // Handed over.
        let address = other.local_addr().unwrap();
        Process::spawn_with(other, |other: UdpSocket| {
            let mut bytes = [0; 100];
            let len = other.recv(&mut bytes).unwrap();
            other.send(&bytes[..len]).unwrap();
        })
        .unwrap();
        one.send_to(b"to the child", address).unwrap();
        assert_eq!(one.recv(&mut bytes).unwrap(), 12);
        assert_eq!(&bytes[..12], b"to the child");
        one.set_broadcast(true).unwrap();
        one.set_ttl(3).unwrap();
        assert_eq!((one.broadcast().unwrap(), one.ttl().unwrap()), (true, 3));
        assert!(
            one.send_to(&[0; 70_000], one.local_addr().unwrap()).is_err(),
            "no datagram is so long"
        );
    }
}

pub(crate) fn a_datagram_that_does_not_come_times_out() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    assert_eq!(kind(socket.recv_from(&mut [0; 8])), ErrorKind::TimedOut);
    // Nobody is there: the system tells.
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    socket.connect(gone).unwrap();
    socket.set_read_timeout(None).unwrap();
    socket.send(b"anybody?").unwrap();
    assert_eq!(kind(socket.recv(&mut [0; 8])), ErrorKind::ConnectionRefused);
    // It was told once, and the socket works on: whoever waits for it then waits, and can be killed.
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(kind(socket.recv(&mut [0; 8])), ErrorKind::TimedOut);
    socket.set_read_timeout(None).unwrap();
    let begins = Channel::<()>::new(0);
    let wait = |(socket, begins): (UdpSocket, Channel<()>)| {
        begins.send(());
        let _ = socket.recv(&mut [0; 8]);
    };
    let waiting = Process::spawn_with((socket, begins), wait).unwrap();
    begins.receive();
    waiting.kill();
    assert_eq!(waiting.join(), ExitReason::Killed);
}

pub(crate) fn datagrams_need_a_right() {
    // The program has `127.0.0.1` and `bind:127.0.0.1`.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let here = socket.local_addr().unwrap();
    socket.send_to(b"x", here).unwrap();
    assert_eq!(kind(socket.send_to(b"x", "127.0.0.2:9")), ErrorKind::PermissionDenied);
    assert_eq!(kind(socket.connect("127.0.0.2:9")), ErrorKind::PermissionDenied);
    assert_eq!(kind(UdpSocket::bind("0.0.0.0:0")), ErrorKind::PermissionDenied);
    let group = "239.255.7.7".parse().unwrap();
    assert_eq!(
        kind(socket.join_multicast_v4(&group, &"127.0.0.1".parse().unwrap())),
        ErrorKind::PermissionDenied
    );
    // A socket that was given is used with the rights of who has it.
    let child = Process::builder()
        .config(&ProcessConfig::new())
        .spawn_with((socket, here), |(socket, here)| {
            let socket: UdpSocket = socket;
            assert_eq!(kind(socket.send_to(b"x", here)), ErrorKind::PermissionDenied);
            assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 1);
        });
    assert_eq!(child.unwrap().join(), ExitReason::Normal);
}

pub(crate) fn multicast() {
    let group = "239.255.7.7".parse().unwrap();
    let here = "127.0.0.1".parse().unwrap();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // A machine may have no multicast on loopback; that is an error, and no more.
    if socket.join_multicast_v4(&group, &here).is_ok() {
        socket.set_multicast_loop_v4(true).unwrap();
        socket.set_multicast_ttl_v4(1).unwrap();
        socket.leave_multicast_v4(&group, &here).unwrap();
    }
    let no_group = "127.0.0.1".parse().unwrap();
    assert_eq!(
        kind(socket.join_multicast_v4(&no_group, &here)),
        ErrorKind::InvalidInput
    );
}
