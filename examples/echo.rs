//! A TCP server that sends back what it receives, with one process for each connection.
//!
//! Run it with `cargo lunatic run --example echo --allow-net bind:127.0.0.1:7000 -- 127.0.0.1:7000`, and connect with
//! `nc 127.0.0.1 7000`. Without an address (and with `--allow-net '*'`) it connects to itself, and exits.

use std::io::{self, Read, Write};
use std::time::Duration;

use lunatic::Process;
use lunatic::net::{SocketAddr, TcpListener, TcpStream};

#[lunatic::main]
fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let address = args.next();
    // With `once`, a connection is closed after the first message.
    let once = args.next().as_deref() == Some("once");
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0"))?;
    println!("listening at {}", listener.local_addr()?);
    if address.is_none() {
        let here = listener.local_addr()?;
        // From here on the listener belongs to the new process.
        Process::spawn_with(listener, move |listener| serve(&listener, once)).map_err(io::Error::other)?;
        return talk(here);
    }
    serve(&listener, once);
    Ok(())
}

// ANCHOR: serve
/// Accepts connections, and spawns a process for each.
fn serve(listener: &TcpListener, once: bool) {
    for stream in listener.incoming() {
        let spawned = stream.and_then(|stream| {
            let child = Process::spawn_with(stream, move |stream| echo(stream, once));
            child.map_err(io::Error::other)
        });
        // Do not stop for a connection that was reset before it was accepted, nor for one too many: other connections
        // will end.
        if let Err(error) = spawned {
            eprintln!("a connection was lost: {error}");
            lunatic::sleep(Duration::from_millis(10));
        }
    }
}

/// Serves one connection. The connection closes when this process exits, even if it fails.
fn echo(mut stream: TcpStream, once: bool) {
    let mut bytes = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(&bytes[..len]).is_err() || once {
            break;
        }
    }
}
// ANCHOR_END: serve

fn talk(to: SocketAddr) -> io::Result<()> {
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(TcpStream::connect(to)?);
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(format!("hello from connection {number}").as_bytes())?;
        let mut bytes = [0; 64];
        let len = stream.read(&mut bytes)?;
        println!("{}", String::from_utf8_lossy(&bytes[..len]));
    }
    Ok(())
}
