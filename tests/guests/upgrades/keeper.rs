//! All that a process is and has.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use lunatic::actor::{Actor, Info, Next};
use lunatic::code::{self, Version};
use lunatic::mailbox::{Mail, ReplyTo};
use lunatic::net::{SocketAddr, TcpListener, TcpStream};
use lunatic::registry::{self, Group};
use lunatic::{Channel, ExitReason, Mailbox, Process, process, sleep, timer};
use serde::{Deserialize, Serialize};

use crate::{OWN, ready};

#[derive(Serialize, Deserialize)]
struct Keeper {
    #[cfg(not(feature = "new"))]
    count: u32,
    #[cfg(feature = "new")]
    #[serde(alias = "count")]
    total: u64,
    #[cfg(feature = "new")]
    #[serde(default)]
    added: Option<String>,
    channel: Channel<u32>,
    listener: TcpListener,
    stream: TcpStream,
    ticks: u32,
    #[serde(skip)]
    has_changed: bool,
}

#[derive(Serialize, Deserialize)]
enum Ask {
    Version(ReplyTo<(u32, u32, bool)>),
    Count(ReplyTo<u64>),
    Ticks(ReplyTo<u32>),
    Address(ReplyTo<SocketAddr>),
    /// Says something on the connection that it has.
    Say(ReplyTo<()>),
    Crash,
}

#[derive(Serialize, Deserialize)]
struct Tick;

impl Actor for Keeper {
    /// Where to connect to.
    type Args = SocketAddr;
    type Call = Ask;
    type Cast = u32;

    code::keep_state!();

    fn init(address: SocketAddr) -> Result<Self, ExitReason> {
        timer::send_interval(Mailbox::new().address(), Tick, Duration::from_millis(1));
        process::trap_exit(true);
        Ok(Self {
            #[cfg(not(feature = "new"))]
            count: 40,
            #[cfg(feature = "new")]
            total: 40,
            #[cfg(feature = "new")]
            added: Some("made here".into()),
            channel: Channel::new(0),
            listener: lunatic_test_guests::listener().0,
            stream: TcpStream::connect(address).unwrap(),
            ticks: 0,
            has_changed: false,
        })
    }

    fn changed(&mut self) {
        self.has_changed = true;
    }

    fn handle_call(&mut self, ask: Ask) -> Next {
        match ask {
            Ask::Version(reply) => reply.send((OWN, Version::own().number(), self.has_changed)),
            #[cfg(not(feature = "new"))]
            Ask::Count(reply) => reply.send(u64::from(self.count)),
            #[cfg(feature = "new")]
            Ask::Count(reply) => {
                assert_eq!(self.added, None);
                reply.send(self.total);
            }
            Ask::Ticks(reply) => reply.send(self.ticks),
            Ask::Address(reply) => reply.send(self.listener.local_addr().unwrap()),
            Ask::Say(reply) => {
                self.stream.write_all(b"hello").unwrap();
                let (mut accepted, _) = self.listener.accept().unwrap();
                accepted.write_all(b"welcome").unwrap();
                self.channel.send(7);
                reply.send(());
            }
            Ask::Crash => panic!("it was asked to"),
        }
        Next::Continue
    }

    fn handle_cast(&mut self, number: u32) -> Next {
        #[cfg(not(feature = "new"))]
        {
            self.count += number;
        }
        #[cfg(feature = "new")]
        {
            self.total += u64::from(number);
        }
        Next::Continue
    }

    fn handle_info(&mut self, info: Info) -> Next {
        if let Info::Message(message) = info
            && let Ok(Tick) = message.read()
        {
            self.ticks += 1;
        }
        Next::Continue
    }
}

/// All that a process is and has stays as it is.
pub(crate) fn keeps() {
    let (listener, address) = lunatic_test_guests::listener();
    let keeper = Keeper::start(address).unwrap();
    let (mut client, _) = listener.accept().unwrap();
    let process = keeper.process();
    registry::register("keeper", process).unwrap();
    Group::named("keepers").join(process).unwrap();
    process::trap_exit(true);
    process.link();
    let monitor = process.monitor();
    keeper.cast(2);
    let before = keeper.call(Ask::Ticks).unwrap();
    assert_eq!(keeper.call(Ask::Version).unwrap(), (1, 1, false));
    ready();
    assert_eq!(keeper.call(Ask::Version).unwrap(), (2, 2, true));
    assert_eq!(keeper.call(Ask::Count).unwrap(), 42);
    while keeper.call(Ask::Ticks).unwrap() <= before {
        sleep(Duration::from_millis(1));
    }
    let mut second = TcpStream::connect(keeper.call(Ask::Address).unwrap()).unwrap();
    keeper.call(Ask::Say).unwrap();
    let mut bytes = [0; 7];
    client.read_exact(&mut bytes[..5]).unwrap();
    assert_eq!(&bytes[..5], b"hello");
    second.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"welcome");
    assert_eq!(registry::lookup("keeper"), Some(process));
    assert_eq!(Group::named("keepers").members(), [process]);
    // It traps exits still.
    let stranger = Process::spawn(move || process.exit(&ExitReason::Shutdown));
    stranger.unwrap().join();
    assert_eq!(keeper.call(Ask::Count).unwrap(), 42);
    assert!(keeper.call(Ask::crash).is_err());
    let mut told = (false, false);
    while told != (true, true) {
        match Mailbox::<()>::new().receive_mail() {
            Mail::Exit { from, .. } => told.0 |= from == process,
            Mail::Down { monitor: of, .. } => told.1 |= of == monitor,
            _ => unreachable!("nobody sends that"),
        }
    }
}

impl Ask {
    fn crash(_: ReplyTo<()>) -> Self {
        Self::Crash
    }
}
