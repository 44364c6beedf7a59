//! Processes that are no actors.

use std::io::{Read as _, Write as _};

use lunatic::code::{self, Version};
use lunatic::mailbox::ReplyTo;
use lunatic::net::{TcpListener, TcpStream};
use lunatic::{Address, Mailbox, Process};
use serde::{Deserialize, Serialize};

use crate::{LONG, OWN, is_done, say_ready};

#[derive(Serialize, Deserialize)]
struct Sum {
    total: u64,
}

fn add_up(mut sum: Sum) {
    let numbers = Mailbox::<(u64, ReplyTo<(u32, u64)>)>::new();
    loop {
        sum = code::upgrade_here(sum, add_up);
        let (number, reply) = numbers.receive();
        sum.total += number;
        reply.send((OWN, sum.total));
    }
}

/// A loop that offers its point of change.
pub(crate) fn plain() {
    let adder = Process::spawn(|| add_up(Sum { total: 0 })).unwrap();
    let numbers = Address::<(u64, ReplyTo<(u32, u64)>)>::of(adder);
    assert_eq!(numbers.call(|reply| (1, reply)).unwrap(), (1, 1));
    say_ready();
    assert!(!code::check());
    // It comes to its point with each number.
    let mut sum = 1;
    loop {
        sum += 1;
        let (version, total) = numbers.call(|reply| (1, reply)).unwrap();
        assert_eq!(total, sum);
        if version == 2 {
            break;
        }
    }
    assert!(is_done(LONG));
    assert!(code::check());
    assert_eq!(Version::own().number(), 1);
}

/// A process that accepts connections, and changes between two of them.
#[derive(Serialize, Deserialize)]
struct Counter {
    listener: TcpListener,
    served: u32,
}

fn serve(mut server: Counter) {
    loop {
        server = code::upgrade_here(server, serve);
        let (mut stream, _) = server.listener.accept().unwrap();
        server.served += 1;
        stream.write_all(&[OWN as u8, server.served as u8]).unwrap();
    }
}

pub(crate) fn serving() {
    let (listener, address) = lunatic_test_guests::listener();
    let server = Counter { listener, served: 0 };
    Process::spawn_with(server, serve).unwrap();
    let ask = || {
        let mut bytes = [0; 2];
        TcpStream::connect(address).unwrap().read_exact(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(ask(), [1, 1]);
    say_ready();
    let mut asked = 1_u8;
    loop {
        asked = asked.wrapping_add(1);
        let [version, served] = ask();
        assert_eq!(served, asked);
        if version == 2 {
            break;
        }
    }
    assert!(is_done(LONG));
}
