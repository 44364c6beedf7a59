//! The door: who may come in, how many, and for how long.

use std::convert::Infallible;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use http_body_util::Either;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lunatic_host::{RunningSystem, Runtime};
use rustix::process::getuid;
use tokio::sync::{Semaphore, watch};

use crate::request::Asked;
use crate::view::SystemView;
use crate::{answer, events, request};

/// So many clients are served at once; more wait.
const CLIENTS_MAX: usize = 64;
/// A request's head must have come by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// A client is cut off after this time, whatever it does; one that hears events, when they are over by so much.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(120);
/// The longest head of a request, in bytes.
const HEAD_LEN_MAX: usize = 16 << 10;

/// A socket on which nobody is served yet.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
}

/// What the door leads to.
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
            ..SystemView::default()
        };
        view.with(&self.runtime.figures())
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
            let served = executor.block_on(self.accept(Arc::new(program)));
            if let Err(error) = served {
                eprintln!("note: the admin door is closed: {error}");
            }
        };
        thread::Builder::new().name("lunatic admin".into()).spawn(serve)?;
        Ok(())
    }

    async fn accept(self, program: Arc<Program>) -> io::Result<()> {
        let listener = tokio::net::UnixListener::from_std(self.listener)?;
        let places = Arc::new(Semaphore::new(CLIENTS_MAX));
        let listeners = Arc::new(Semaphore::new(events::CLIENTS_MAX));
        loop {
            let place = places.clone().acquire_owned().await.expect("it is never closed");
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                // Of this client, or because descriptors are short; neither is for ever.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            if !is_welcome(&stream) {
                continue;
            }
            let (program, listeners) = (program.clone(), listeners.clone());
            tokio::spawn(async move {
                let _ = serve(stream, program, listeners).await;
                drop(place);
            });
        }
    }
}

/// Whether the one at the other end is the user, or the administrator: who could read the program's memory as well.
fn is_welcome(stream: &tokio::net::UnixStream) -> bool {
    let uid = stream.peer_cred().map(|peer| peer.uid());
    uid.is_ok_and(|uid| uid == getuid().as_raw() || uid == 0)
}

async fn serve(stream: tokio::net::UnixStream, program: Arc<Program>, listeners: Arc<Semaphore>) -> hyper::Result<()> {
    let (cut_off, is_cut_off) = watch::channel(tokio::time::Instant::now() + CLIENT_TIMEOUT);
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let asked = request::read(
            request.method(),
            request.uri().path(),
            request.uri().query().unwrap_or_default(),
        );
        let program = program.clone();
        let (cut_off, listeners) = (cut_off.clone(), listeners.clone());
        async move {
            let answer = match asked {
                Ok(Asked::Events(wanted)) => {
                    cut_off.send_replace(tokio::time::Instant::now() + wanted.time() + CLIENT_TIMEOUT);
                    let begun = events::begin(&program.system, &wanted, &listeners);
                    begun.map_or_else(
                        |refused| answer::refuse(refused).map(Either::Left),
                        |stream| stream.map(Either::Right),
                    )
                }
                asked => answer::answer(program, asked).await.map(Either::Left),
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_LEN_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    loop {
        let end = *is_cut_off.borrow();
        match tokio::time::timeout_at(end, connection.as_mut()).await {
            Ok(served) => return served,
            Err(_) if *is_cut_off.borrow() > end => {}
            Err(_) => return Ok(()),
        }
    }
}
