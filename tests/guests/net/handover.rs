//! Sockets that processes hand to each other, and that close with their process.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use lunatic::mailbox::{Address, CallError, Mailbox, ReplyTo};
use lunatic::net::{SocketAddr, TcpListener, TcpStream};
use lunatic::{Channel, ExitReason, Process};

use crate::{answers, echo, kind, listener, pair};

pub(crate) fn a_socket_goes_with_a_message() {
    let (mut client, server) = pair();
    let streams = Channel::<(u8, TcpStream)>::new(0);
    let back = Channel::<TcpStream>::new(0);
    streams.send((7, server));
    let child = Process::spawn(move || {
        let (number, mut stream) = streams.receive();
        stream.write_all(&[number]).unwrap();
        back.send(stream);
    })
    .unwrap();
    let mut byte = [0];
    client.read_exact(&mut byte).unwrap();
    assert_eq!(byte, [7]);
    assert_eq!(child.join(), ExitReason::Normal);
    // It belongs to this process again, so the end of the child has not closed it.
    let server = back.receive();
    Process::spawn_with(server, echo).unwrap();
    answers(&mut client, b"still open");
}

pub(crate) fn a_socket_goes_with_a_spawn() {
    let (mut client, server) = pair();
    let child = Process::spawn_with(
        (vec!["some".to_owned(), "words".to_owned()], server),
        |(words, mut stream)| {
            let words: Vec<String> = words;
            let stream: &mut TcpStream = &mut stream;
            stream.write_all(words.join(" ").as_bytes()).unwrap();
        },
    )
    .unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "some words");
    assert_eq!(child.join(), ExitReason::Normal);
    let (_, server) = pair();
    let too_large = (vec![0_u8; 70_000], server);
    assert!(Process::spawn_with(too_large, |_| ()).is_err());
}

pub(crate) fn a_socket_goes_with_mail() {
    let (mut client, server) = pair();
    let child = Process::spawn(|| echo(Mailbox::<TcpStream>::new().receive())).unwrap();
    Address::of(child).send(server);
    answers(&mut client, b"by mail");
}

pub(crate) fn a_failed_send_gives_the_socket_back() {
    let (mut client, server) = pair();
    let full = Channel::<TcpStream>::new(1);
    full.send(pair().0);
    let server = full.try_send(server).unwrap_err().into_message();
    let short = Duration::from_millis(1);
    let mut server = full.send_timeout(server, short).unwrap_err().into_message();
    server.write_all(b"a").unwrap();
    // The owner of the channel has ended.
    let channels = Channel::new(0);
    Process::spawn(move || channels.send(Channel::<TcpStream>::new(0)))
        .unwrap()
        .join();
    let closed = channels.receive();
    let mut server = closed.try_send(server).unwrap_err().into_message();
    server.write_all(b"b").unwrap();
    drop(server);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "ab");
}

pub(crate) fn a_call_that_times_out_has_handed_its_socket_over() {
    let (mut client, server) = pair();
    let go_on = Channel::<()>::new(0);
    let child = Process::spawn(move || {
        go_on.receive();
        let (stream, _) = Mailbox::<(TcpStream, ReplyTo<()>)>::new().receive();
        echo(stream);
    })
    .unwrap();
    let requests = Address::<(TcpStream, ReplyTo<()>)>::of(child);
    let late = requests.call_timeout(|reply| (server, reply), Duration::from_millis(1));
    assert!(matches!(late, Err(CallError::TimedOut)), "{late:?}");
    go_on.send(());
    answers(&mut client, b"late");
    drop(client);
    assert_eq!(child.join(), ExitReason::Normal);
    // One that has ended gets no socket, which is no fault of the caller.
    let (_client, server) = pair();
    let gone = requests.call(|reply| (server, reply));
    assert!(matches!(gone, Err(CallError::Gone(ExitReason::Normal))), "{gone:?}");
}

pub(crate) fn a_socket_that_is_never_received_closes_with_its_receiver() {
    let (mut client, server) = pair();
    let channels = Channel::new(0);
    let owner = Process::spawn(move || {
        channels.send(Channel::<TcpStream>::new(0));
        lunatic::sleep(Duration::MAX);
    })
    .unwrap();
    let channel = channels.receive();
    channel.send(server);
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(kind(client.read(&mut [0])), ErrorKind::TimedOut);
    client.set_read_timeout(None).unwrap();
    owner.kill();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    // As the argument of a process that never runs.
    let (mut client, server) = pair();
    Process::spawn_with(server, |_| lunatic::sleep(Duration::MAX))
        .unwrap()
        .kill();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

pub(crate) fn sockets_close_with_their_process() {
    let addresses = Channel::<SocketAddr>::new(0);
    let child = Process::spawn(move || {
        let (listener, address) = listener();
        addresses.send(address);
        let stream = listener.accept().unwrap();
        // Neither is dropped: the process just ends.
        std::mem::forget((listener, stream));
        panic!("on purpose");
    })
    .unwrap();
    let address = addresses.receive();
    let mut client = TcpStream::connect(address).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    child.join();
    assert_eq!(kind(TcpStream::connect(address)), ErrorKind::ConnectionRefused);
}

pub(crate) fn a_process_that_waits_for_a_socket_can_be_killed() {
    let (accepting, address) = listener();
    let child = Process::spawn_with(accepting, |listener| drop(TcpListener::accept(&listener))).unwrap();
    drop(TcpStream::connect(address).unwrap());
    assert_eq!(child.join(), ExitReason::Normal);
    let (accepting, address) = listener();
    let child = Process::spawn_with(accepting, |listener| {
        let _ = listener.accept();
        drop(TcpListener::accept(&listener));
    })
    .unwrap();
    drop(TcpStream::connect(address).unwrap());
    child.kill();
    assert_eq!(child.join(), ExitReason::Killed);
    assert_eq!(kind(TcpStream::connect(address)), ErrorKind::ConnectionRefused);
    let (mut client, server) = pair();
    let child = Process::spawn_with(server, echo).unwrap();
    answers(&mut client, b"x");
    child.kill();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

pub(crate) fn several_accept_from_one_listener() {
    let (listener, address) = listener();
    let served = Channel::<u32>::new(0);
    for number in 0..4_u32 {
        let clone = listener.try_clone().unwrap();
        Process::spawn_with(clone, move |clone: TcpListener| {
            for stream in clone.incoming() {
                let mut stream = stream.unwrap();
                stream.write_all(b"!").unwrap();
                served.send(number);
            }
        })
        .unwrap();
    }
    let streams: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    for mut stream in streams {
        stream.read_exact(&mut [0]).unwrap();
        served.receive();
    }
}
