//! A chat server for the benchmark: two processes for each connection, one that reads and one that writes.
//! `benches/src/load.rs` has the clients.
//!
//! The first line of a client comes back to it alone, when the client is in the room; each later line goes to all clients.

use std::io::{self, Read, Write};

use lunatic::net::{TcpListener, TcpStream};
use lunatic::registry::Group;
use lunatic::{Address, Mailbox, Process};

/// The length of each line in bytes.
const LINE_LEN: usize = 64;

fn main() -> io::Result<()> {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("usage: chat_server ADDRESS");
        std::process::exit(2);
    };
    let listener = TcpListener::bind(address.as_str())?;
    println!("listening at {}", listener.local_addr()?);
    for stream in listener.incoming() {
        Process::spawn_with(stream?, |stream| read(stream).expect("a client could not join"))
            .map_err(io::Error::other)?;
    }
    Ok(())
}

fn read(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let writer = Process::spawn_with(stream.try_clone()?, write).map_err(io::Error::other)?;
    let room = Group::named("room");
    let mut line = [0; LINE_LEN];
    stream.read_exact(&mut line)?;
    room.join(writer).map_err(io::Error::other)?;
    Address::of(writer).send(line.to_vec());
    while stream.read_exact(&mut line).is_ok() {
        room.broadcast(&line.to_vec());
    }
    writer.kill();
    Ok(())
}

fn write(mut stream: TcpStream) {
    let lines = Mailbox::<Vec<u8>>::new();
    while stream.write_all(&lines.receive()).is_ok() {}
}
