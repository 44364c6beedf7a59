//! Sockets as futures.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::rc::Rc;
use std::time::Duration;

use lunatic::net::TcpStream;
use lunatic::task::{block_on, sleep, spawn_local, timeout};
use lunatic::{Channel, Process};
use lunatic_test_guests::{listener, pair};

/// More than the operating system keeps, so that writes have to wait, too.
const LEN: usize = 8 << 20;

pub(crate) fn futures_wait_for_sockets_beside_other_things() {
    let (listener, address) = listener();
    let starts = Channel::<()>::new(0);
    let client = move || {
        starts.receive();
        let stream = TcpStream::connect(address).unwrap();
        let reader = stream.try_clone().unwrap();
        Process::spawn_with(stream, |mut stream: TcpStream| {
            stream.write_all(&vec![7; LEN]).unwrap();
            stream.shutdown(lunatic::net::Shutdown::Write).unwrap();
        })
        .unwrap();
        let mut back = Vec::new();
        (&reader).read_to_end(&mut back).unwrap();
        assert!(back.len() == LEN && back.iter().all(|byte| *byte == 7));
    };
    let clients = [0, 1].map(|_| Process::spawn(client).unwrap());
    block_on(async {
        let ticks = Rc::new(Cell::new(0));
        let own = ticks.clone();
        let clock = spawn_local(async move {
            for tick in 1_u32.. {
                sleep(Duration::from_millis(1)).await;
                own.set(tick);
                if tick == 3 {
                    starts.send(());
                    starts.send(());
                }
            }
        });
        let mut serving = Vec::new();
        for _ in clients {
            let (stream, _) = listener.accept_async().await.unwrap();
            assert!(ticks.get() >= 3);
            serving.push(spawn_local(echo(stream)));
        }
        for task in serving {
            assert_eq!(task.await, LEN);
        }
        assert_eq!(clock.cancel(), None);
        // Nobody connects any more.
        let late = timeout(Duration::from_millis(5), listener.accept_async());
        assert!(late.await.is_none());
    });
    for client in clients {
        assert_eq!(client.join(), lunatic::ExitReason::Normal);
    }
    futures_share_a_socket();
}

async fn echo(stream: TcpStream) -> usize {
    let mut bytes = vec![0; 1 << 14];
    let mut sum = 0;
    loop {
        match stream.read_async(&mut bytes).await.unwrap() {
            0 => return sum,
            len => {
                sum += len;
                stream.write_all_async(&bytes[..len]).await.unwrap();
            }
        }
    }
}

/// Both directions at once, and a timeout of the socket, which stays.
fn futures_share_a_socket() {
    let (client, server) = pair();
    let (client, server) = (Rc::new(client), Rc::new(server));
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let (reader, writer) = (client.clone(), client.clone());
    block_on(async {
        let writing = spawn_local(async move { writer.write_all_async(&vec![1; LEN]).await });
        let reading = spawn_local(async move {
            let mut bytes = [0; 3];
            reader.read_async(&mut bytes).await.map(|len| bytes[..len].to_vec())
        });
        let mut bytes = vec![0; 1 << 16];
        let mut sum = 0;
        while sum < LEN {
            sum += server.read_async(&mut bytes).await.unwrap();
        }
        writing.await.unwrap();
        server.write_all_async(b"end").await.unwrap();
        assert_eq!(reading.await.unwrap(), b"end");
        drop(server);
        assert_eq!(client.read_async(&mut bytes).await.unwrap(), 0);
    });
    assert_eq!(client.read_timeout().unwrap(), Some(Duration::from_secs(5)));
}
