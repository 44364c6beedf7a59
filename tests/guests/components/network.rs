//! Sockets of WASI 0.2.

use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Network};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::OutgoingDatagram;
use wasip2::sockets::udp_create_socket::create_udp_socket;

fn address(ip: (u8, u8, u8, u8), port: u16) -> IpSocketAddress {
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: ip })
}

const HERE: (u8, u8, u8, u8) = (127, 0, 0, 1);

fn listen(network: &Network, at: IpSocketAddress) -> Result<(TcpSocket, IpSocketAddress), ErrorCode> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_bind(network, at)?;
    socket.finish_bind()?;
    socket.start_listen()?;
    socket.finish_listen()?;
    let address = socket.local_address()?;
    Ok((socket, address))
}

fn connect(network: &Network, to: IpSocketAddress) -> Result<(TcpSocket, InputStream, OutputStream), ErrorCode> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_connect(network, to)?;
    loop {
        match socket.finish_connect() {
            Ok((input, output)) => return Ok((socket, input, output)),
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            Err(code) => return Err(code),
        }
    }
}

fn accept(listener: &TcpSocket) -> (TcpSocket, InputStream, OutputStream) {
    loop {
        match listener.accept() {
            Ok(accepted) => return accepted,
            Err(ErrorCode::WouldBlock) => listener.subscribe().block(),
            Err(code) => panic!("{code:?}"),
        }
    }
}

/// The streams first, because they belong to the socket.
fn close((socket, input, output): (TcpSocket, InputStream, OutputStream)) {
    drop((input, output));
    drop(socket);
}

fn print(result: Result<(), ErrorCode>) {
    println!("{}", result.err().map_or("done", |code| code.name()));
}

/// Both ends of a connection in one program.
pub(super) fn talks() {
    let network = instance_network();
    let (listener, at) = listen(&network, address(HERE, 0)).unwrap();
    let (client, from_server, to_server) = connect(&network, at).unwrap();
    let (server, from_client, to_client) = accept(&listener);
    to_server.blocking_write_and_flush(b"question").unwrap();
    assert_eq!(from_client.blocking_read(100).unwrap(), b"question");
    to_client.blocking_write_and_flush(b"answer").unwrap();
    assert_eq!(from_server.blocking_read(100).unwrap(), b"answer");
    client.shutdown(wasip2::sockets::tcp::ShutdownType::Send).unwrap();
    assert!(matches!(from_client.blocking_read(1), Err(StreamError::Closed)));
    drop((from_server, to_server, from_client, to_client));
    drop((client, server, listener));
    println!("done");
}

pub(super) fn connects() {
    let port = super::argument(1).parse().unwrap();
    print(connect(&instance_network(), address(HERE, port)).map(close));
}

pub(super) fn binds() {
    print(listen(&instance_network(), address((0, 0, 0, 0), 0)).map(drop));
}

/// Looks a name up, and connects to what was found.
pub(super) fn looks_up() {
    let network = instance_network();
    let (name, port) = (super::argument(1), super::argument(2).parse().unwrap());
    let found = match resolve_addresses(&network, &name) {
        Ok(found) => found,
        Err(code) => return print(Err(code)),
    };
    let mut connected = Err(ErrorCode::NameUnresolvable);
    loop {
        match found.resolve_next_address() {
            Ok(Some(IpAddress::Ipv4(ip))) => connected = connect(&network, address(ip, port)).map(close),
            Ok(Some(IpAddress::Ipv6(_))) => {}
            Ok(None) => break,
            Err(ErrorCode::WouldBlock) => found.subscribe().block(),
            Err(code) => panic!("{code:?}"),
        }
    }
    print(connected);
}

pub(super) fn floods_sockets() {
    let mut all = Vec::new();
    let code = loop {
        match create_tcp_socket(IpAddressFamily::Ipv4) {
            Ok(socket) => all.push(socket),
            Err(code) => break code,
        }
    };
    println!("{} sockets, then {}", all.len(), code.name());
}

pub(super) fn datagrams() {
    let network = instance_network();
    let bind = || {
        let socket = create_udp_socket(IpAddressFamily::Ipv4).unwrap();
        socket.start_bind(&network, address(HERE, 0)).unwrap();
        socket.finish_bind().unwrap();
        let at = socket.local_address().unwrap();
        (socket, at)
    };
    let ((one, _), (other, at)) = (bind(), bind());
    let (_incoming, outgoing) = one.stream(None).unwrap();
    let (incoming, _outgoing) = other.stream(None).unwrap();
    outgoing.subscribe().block();
    assert!(outgoing.check_send().unwrap() > 0);
    let datagram = |to| OutgoingDatagram {
        data: b"hello".to_vec(),
        remote_address: Some(to),
    };
    assert_eq!(outgoing.send(&[datagram(at)]).unwrap(), 1);
    let received = loop {
        let received = incoming.receive(10).unwrap();
        if !received.is_empty() {
            break received;
        }
        incoming.subscribe().block();
    };
    assert_eq!(received[0].data, b"hello");
    outgoing.subscribe().block();
    assert!(outgoing.check_send().unwrap() > 0);
    let denied = outgoing.send(&[datagram(address((127, 0, 0, 2), 9))]);
    print(denied.map(drop));
}

/// Sends more datagrams at once than any check permits, to an address that is denied.
pub(super) fn floods_datagrams() {
    let network = instance_network();
    let socket = create_udp_socket(IpAddressFamily::Ipv4).unwrap();
    socket.start_bind(&network, address(HERE, 0)).unwrap();
    socket.finish_bind().unwrap();
    let (_incoming, outgoing) = socket.stream(None).unwrap();
    let datagram = |_| OutgoingDatagram {
        data: Vec::new(),
        remote_address: Some(address((127, 0, 0, 2), 9)),
    };
    let datagrams: Vec<_> = (0..10_000).map(datagram).collect();
    let denied = outgoing.send(&datagrams);
    print(denied.map(drop));
}

/// Listening fails each time, because the socket is bound to no address.
pub(super) fn listens_in_vain() {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4).unwrap();
    for _ in 0..100 {
        assert_eq!(socket.start_listen().unwrap_err(), ErrorCode::InvalidState);
    }
    print(Ok(()));
}

pub(super) fn accepts_nobody() {
    let (listener, _) = listen(&instance_network(), address(HERE, 0)).unwrap();
    println!("waits");
    accept(&listener);
}
