//! The door: a socket of the user's own, and who may come in.

use std::fs::{self, DirBuilder, Permissions};
use std::future::{Ready, ready};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use lunatic_host::{RunningSystem, Runtime};
use rustix::process::getuid;

use crate::here::Here;
use crate::serving::{self, Clients};
use crate::view::SystemView;

/// A socket on which nobody is served yet.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
}

/// What the door leads to.
#[derive(Clone)]
pub struct Program {
    /// The runtime that it runs on, for its figures.
    pub runtime: Arc<Runtime>,
    /// The system that is looked into.
    pub system: Arc<RunningSystem>,
    /// What it is called: the file of the program.
    pub name: String,
    /// Since when it runs.
    pub start: Instant,
}

impl Program {
    pub(crate) fn view(&self) -> SystemView {
        let view = SystemView {
            program: self.name.clone(),
            pid: process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_ms: u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            main: self.system.main().map(|id| id.to_string()),
            alarms: self.system.alarms().map_or(0, |alarms| alarms.count()),
            upgrades: self.system.last_upgrade().map_or(0, |last| last.number()),
            ..SystemView::default()
        };
        let times: Vec<_> = self.runtime.workers().iter().filter_map(|worker| worker.time).collect();
        view.with(&self.runtime.figures(), &times)
    }
}

impl Door {
    /// Makes the socket, which only this user may open, and the folder around it if that is missing.
    ///
    /// A socket that is there is replaced if nobody listens on it any more.
    ///
    /// # Errors
    ///
    /// If another program listens on it; if the folder or the socket cannot be made; if a folder under the machine's temporary
    /// folder is another user's.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let owner = fs::metadata(folder)?.uid();
            if owner != getuid().as_raw() && owner != 0 {
                return Err(io::Error::other(format!("{} is another user's", folder.display())));
            }
        }
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another program listens on it",
            ));
        }
        let _ = fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Where the socket is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Serves on a thread of its own, for as long as this program runs.
    ///
    /// # Errors
    ///
    /// If the machine has no room for a thread.
    pub fn serve(self, program: Program) -> io::Result<()> {
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serve = move || {
            let served = executor.block_on(self.accept(program));
            if let Err(error) = served {
                eprintln!("note: the admin door is closed: {error}");
            }
        };
        thread::Builder::new().name("lunatic admin".into()).spawn(serve)?;
        Ok(())
    }

    async fn accept(self, program: Program) -> io::Result<()> {
        let listener = tokio::net::UnixListener::from_std(self.listener)?;
        serving::serve(listener, Here::new(program)).await;
        Ok(())
    }
}

impl Clients for tokio::net::UnixListener {
    type Stream = tokio::net::UnixStream;
    type Opening = Ready<io::Result<Self::Stream>>;

    async fn next(&self) -> io::Result<Self::Opening> {
        loop {
            let (stream, _) = self.accept().await?;
            if is_welcome(&stream) {
                return Ok(ready(Ok(stream)));
            }
        }
    }
}

/// Whether the one at the other end is the user, or the administrator: who could read the program's memory as well.
fn is_welcome(stream: &tokio::net::UnixStream) -> bool {
    let uid = stream.peer_cred().map(|peer| peer.uid());
    uid.is_ok_and(|uid| uid == getuid().as_raw() || uid == 0)
}
