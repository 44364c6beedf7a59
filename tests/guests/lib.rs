//! What the guests of the system tests have in common: each is a program with several scenarios, and its first argument
//! names the one to run. A scenario asserts what it has to show, so that a main process that ends normally has shown it.

use lunatic::net::{SocketAddr, TcpListener, TcpStream};

/// Runs the scenario that the first argument names; `--list` prints the names of all.
///
/// # Panics
///
/// If there is none of that name.
pub fn run(scenarios: &[(&str, fn())]) {
    let name = std::env::args().nth(1).unwrap_or_default();
    if name == "--list" {
        return scenarios.iter().for_each(|(name, _)| println!("{name}"));
    }
    match scenarios.iter().find(|(known, _)| *known == name) {
        Some((_, scenario)) => scenario(),
        None => panic!("there is no scenario {name:?}"),
    }
}

/// The `main` of a program with these functions as its scenarios.
#[macro_export]
macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        fn main() {
            $crate::run(&[$((stringify!($name), $name)),*]);
        }
    };
}

/// A listener on loopback, and its address.
///
/// # Panics
///
/// If there can be none.
pub fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Both ends of a connection on loopback, the client's first.
///
/// # Panics
///
/// If there can be none.
pub fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listener();
    let client = TcpStream::connect(address).unwrap();
    let (server, peer) = listener.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    assert_eq!(server.local_addr().unwrap(), client.peer_addr().unwrap());
    (client, server)
}
