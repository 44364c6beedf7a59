//! Notifies the service manager that has started this program: systemd, if it sets `NOTIFY_SOCKET`.
//!
//! Messages are datagrams on a Unix socket, in a format that systemd promises to keep (`sd_notify(3)`). The socket is
//! connected before the host confines itself.

use std::env;
use std::ffi::OsStr;
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use lunatic_host::Runtime;

/// How long the manager may take to accept a message. After that, the message is dropped.
const PATIENCE: Duration = Duration::from_secs(5);

/// The connection to the service manager, if there is one.
#[derive(Clone, Default)]
pub(crate) struct Manager {
    socket: Option<Arc<UnixDatagram>>,
    /// How long the manager waits for a sign of life before it considers this program dead.
    watchdog: Option<Duration>,
}

impl Manager {
    /// The manager that the environment names.
    ///
    /// # Errors
    ///
    /// If nobody listens there.
    pub(crate) fn of_environment() -> anyhow::Result<Self> {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self::default());
        };
        let socket = connect(&name).with_context(|| format!("NOTIFY_SOCKET: cannot reach {}", name.display()))?;
        let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| *usec > 0 && is_meant);
        Ok(Self {
            socket: Some(Arc::new(socket)),
            watchdog: watchdog.map(Duration::from_micros),
        })
    }

    /// Whether there is a manager.
    pub(crate) fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// Reports that the program runs.
    pub(crate) fn is_ready(&self) {
        self.tell("READY=1\n");
    }

    /// Reports that the program reads its configuration again, until it [is ready](Self::is_ready).
    pub(crate) fn reloads(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let usec = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={usec}\n"));
    }

    /// Reports that the program is about to end.
    pub(crate) fn stops(&self) {
        self.tell("STOPPING=1\n");
    }

    /// Sends signs of life, twice per interval of the watchdog, for as long as `runtime` makes progress.
    ///
    /// # Errors
    ///
    /// If the operating system has no room for another thread.
    pub(crate) fn feed(&self, runtime: Arc<Runtime>) -> io::Result<()> {
        let (Some(patience), true) = (self.watchdog, self.is_there()) else {
            return Ok(());
        };
        let manager = self.clone();
        let feed = move || {
            loop {
                if runtime.makes_progress() {
                    manager.tell("WATCHDOG=1\n");
                }
                thread::sleep(patience / 2);
            }
        };
        thread::Builder::new().name("lunatic watchdog".into()).spawn(feed)?;
        Ok(())
    }

    /// Ignores errors: a manager that does not listen must not disturb the program.
    fn tell(&self, message: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(message.as_bytes());
        }
    }
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address(name.as_bytes())?)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// A path, or an abstract name, which begins with `@` and lies in no folder.
fn address(name: &[u8]) -> io::Result<SocketAddr> {
    match name {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(OsStr::from_bytes(name)),
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "it is neither a path nor an abstract name",
        )),
    }
}
