//! A chat over TCP that is upgraded while people talk. `src/first.rs` and `src/second.rs` are the two versions of the
//! room; everything else is the same.
//!
//! ```console
//! $ cargo lunatic run --package lunatic-example-upgrade --admin --allow-net 'bind:127.0.0.1:*' -- 127.0.0.1:7000
//! listening on tcp://127.0.0.1:7000
//! ```
//!
//! Run `nc 127.0.0.1 7000` in two other terminals, and talk. Then build the second version and upgrade. No connection
//! is interrupted, and from then on `/who` is answered:
//!
//! ```console
//! $ cargo lunatic build --package lunatic-example-upgrade --features second
//! $ lunatic upgrade --watch 2 target/wasm32-wasip1/debug/talk.wasm
//! ```

#[cfg_attr(feature = "second", path = "second.rs")]
#[cfg_attr(not(feature = "second"), path = "first.rs")]
mod room;

use std::io::{self, Read};

use lunatic::actor::{Actor, ActorRef};
use lunatic::net::{TcpListener, TcpStream};
use lunatic::{Process, code, this_process};
use room::{Heard, Room};
use serde::{Deserialize, Serialize};

/// The longest line, in bytes.
const LINE_MAX: usize = 1024;

// ANCHOR: door
/// The process that accepts connections.
#[derive(Serialize, Deserialize)]
struct Door {
    listener: TcpListener,
    room: ActorRef<Room>,
}

fn open(mut door: Door) {
    loop {
        door = code::upgrade_here(door, open);
        match door.listener.accept() {
            Ok((stream, _)) => let_in(door.room, stream),
            Err(error) => eprintln!("somebody cannot come in: {error}"),
        }
    }
}
// ANCHOR_END: door

fn let_in(room: ActorRef<Room>, stream: TcpStream) {
    let begin = move |stream: TcpStream| {
        // The room writes to the stream, this process reads from it.
        let Ok(written) = stream.try_clone() else { return };
        room.cast(Heard::Came(this_process(), written));
        listen(Guest {
            stream,
            room,
            begun: Vec::new(),
        });
    };
    if let Err(error) = Process::spawn_with(stream, begin) {
        eprintln!("somebody cannot come in: {error}");
    }
}

/// A person who is connected.
#[derive(Serialize, Deserialize)]
struct Guest {
    stream: TcpStream,
    room: ActorRef<Room>,
    /// The beginning of a line whose end has not arrived yet.
    begun: Vec<u8>,
}

fn listen(mut guest: Guest) {
    let mut bytes = [0; LINE_MAX];
    loop {
        guest = code::upgrade_here(guest, listen);
        let read = match guest.stream.read(&mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        guest.begun.extend_from_slice(&bytes[..read]);
        while let Some(end) = guest.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = guest.begun.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            guest.room.cast(Heard::Said(this_process(), line));
        }
        if guest.begun.len() > LINE_MAX {
            break;
        }
    }
    guest.room.cast(Heard::Left(this_process()));
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let listener = TcpListener::bind(address.as_str())?;
    println!("listening on tcp://{}", listener.local_addr()?);
    let room = Room::start(()).map_err(io::Error::other)?;
    let door = Door { listener, room };
    let door = Process::spawn_with(door, open).map_err(io::Error::other)?;
    // The main process has no point of change: it only waits.
    Err(io::Error::other(format!(
        "nobody can come in any more: the door {}",
        door.join()
    )))
}
