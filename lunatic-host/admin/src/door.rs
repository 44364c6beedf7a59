//! The door: a socket of the user, with access control.

use std::fs::{self, DirBuilder, Permissions};
use std::future::{Ready, ready};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use lunatic_host::{RunningSystem, Runtime};
use rustix::process::getuid;

use crate::here::Here;
use crate::place;
use crate::serving::{self, Clients};
use crate::view::SystemView;

/// A socket that does not serve clients yet.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
}

/// The program behind the door.
#[derive(Clone)]
pub struct Program {
    /// Its runtime, for figures.
    pub runtime: Arc<Runtime>,
    /// The system to inspect.
    pub system: Arc<RunningSystem>,
    /// Its name: the file of the program.
    pub name: String,
    /// When it started.
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
    /// Creates the socket, which only this user can open, and its folder if that is missing.
    ///
    /// An existing socket is replaced if nobody listens on it any more.
    ///
    /// # Errors
    ///
    /// If another program listens on it; if there is a file that is no socket; if the folder or the socket cannot be
    /// created; if the folder belongs to another user.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let owner = fs::metadata(folder)?.uid();
            if owner != getuid().as_raw() && owner != 0 {
                return Err(io::Error::other(format!(
                    "{} belongs to another user",
                    folder.display()
                )));
            }
            // Commands that look there would refuse it.
            if folder == place::folder() {
                place::check_owner(folder, getuid().as_raw())?;
            }
        }
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another program listens on it",
            ));
        }
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "a file or folder that is not a socket exists there; remove it, or choose another path",
                ));
            }
            // Nothing is there, or binding tells why not.
            Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Returns the path of the socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Serves on a thread of its own, until this program exits.
    ///
    /// # Errors
    ///
    /// If the machine refuses a thread.
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

/// Whether the peer is the user or the administrator, who could read the program's memory anyway.
fn is_welcome(stream: &tokio::net::UnixStream) -> bool {
    let uid = stream.peer_cred().map(|peer| peer.uid());
    uid.is_ok_and(|uid| uid == getuid().as_raw() || uid == 0)
}
