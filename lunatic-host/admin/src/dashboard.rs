//! The dashboard: pages for a browser, and the interface of the door, over TCP.

use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;

use http::header::{ALLOW, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::beside::Beside;
use crate::door::Program;
use crate::guard::{self, Check, Denied};
use crate::here::Here;
use crate::serving::{self, Body, Clients, Service};
use crate::tls::Certificates;
use crate::token::Token;
use crate::{answer, pages};

/// A port that does not serve clients yet.
#[derive(Debug)]
pub struct Dashboard {
    listener: TcpListener,
    address: SocketAddr,
    way: Way,
}

/// How clients are admitted.
enum Way {
    Token(Token),
    Certificates(TlsAcceptor),
}

impl Dashboard {
    /// Opens the port; port 0 stands for any free port. Clients that present the token may do what the door allows.
    ///
    /// # Errors
    ///
    /// If other machines can reach the address, because without TLS they could read the token; or if the port is taken.
    pub fn open(address: SocketAddr, token: Token) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let port = address.port();
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "other machines can reach this address, and what is sent there can be read on the way. Give \
                     127.0.0.1:{port}, and on the other machine: ssh -L {port}:127.0.0.1:{port} THIS-MACHINE. Or open it \
                     with certificates: --admin-tcp"
                ),
            ));
        }
        Self::bind(address, Way::Token(token))
    }

    /// Opens a port with TLS, at any address. Clients with a certificate that is signed by the authority for clients
    /// may do what the door allows.
    ///
    /// # Errors
    ///
    /// If a file is invalid; the error names it. Also if the port is taken.
    pub fn open_tls(address: SocketAddr, certificates: &Certificates) -> io::Result<Self> {
        Self::bind(address, Way::Certificates(certificates.read()?))
    }

    fn bind(address: SocketAddr, way: Way) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, way })
    }

    /// Returns the address, without the token.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL for a browser. The token follows the `#`, so browsers never send it.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.way {
            Way::Token(token) => format!("http://{}/#token={}", self.address, token.reveal()),
            Way::Certificates(_) => format!("https://{}/", self.address),
        }
    }

    /// Serves a program of this process on a thread of its own, until this process exits.
    ///
    /// # Errors
    ///
    /// If the machine refuses a thread.
    pub fn serve(self, program: Program) -> io::Result<()> {
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serve = move || {
            if let Err(error) = executor.block_on(self.accept(Here::new(program))) {
                eprintln!("note: the dashboard is closed: {error}");
            }
        };
        thread::Builder::new().name("lunatic dashboard".into()).spawn(serve)?;
        Ok(())
    }

    /// Serves the program with the door at `socket`, until this process exits.
    ///
    /// # Errors
    ///
    /// If serving cannot start.
    pub fn serve_beside(self, socket: &Path) -> io::Result<()> {
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        executor.block_on(self.accept(Beside::new(socket)))
    }

    async fn accept(self, behind: impl Service) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let guarded = |check| Guarded { check, behind };
        match self.way {
            Way::Token(token) => serving::serve(listener, guarded(Check::Token(token))).await,
            Way::Certificates(acceptor) => serving::serve((listener, acceptor), guarded(Check::Certificate)).await,
        }
        Ok(())
    }
}

/// Omits the secret.
impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(…)",
            Self::Certificates(_) => "Certificates(…)",
        })
    }
}

impl Clients for tokio::net::TcpListener {
    type Stream = TcpStream;
    type Opening = Ready<io::Result<TcpStream>>;

    async fn next(&self) -> io::Result<Self::Opening> {
        let (stream, _) = self.accept().await?;
        // Events are sent in small pieces.
        Ok(ready(stream.set_nodelay(true).map(|()| stream)))
    }
}

impl Clients for (tokio::net::TcpListener, TlsAcceptor) {
    type Stream = TlsStream<TcpStream>;
    type Opening = tokio_rustls::Accept<TcpStream>;

    async fn next(&self) -> io::Result<Self::Opening> {
        let (stream, _) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok(self.1.accept(stream))
    }
}

/// Serves pages to everyone who can reach the port, and the program only to those who pass the check.
struct Guarded<S> {
    check: Check,
    behind: S,
}

impl<S: Service> Guarded<S> {
    async fn checked(&self, request: Request<Incoming>) -> Result<Response<Body>, Denied> {
        self.check.place(request.headers())?;
        if let Some(page) = pages::find(request.uri().path()) {
            return Ok(match *request.method() {
                Method::GET | Method::HEAD => page.answer().map(answer::whole),
                _ => only_get(),
            });
        }
        self.check.client(request.headers())?;
        Ok(self.behind.answer(request).await)
    }
}

impl<S: Service> Service for Guarded<S> {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let mut answer = self.checked(request).await.unwrap_or_else(deny);
        guard::protect(answer.headers_mut());
        answer
    }
}

fn deny(denied: Denied) -> Response<Body> {
    let mut answer = answer::error(denied.status(), denied.words().into()).map(answer::whole);
    if denied == Denied::Token {
        let bearer = HeaderValue::from_static("Bearer");
        answer.headers_mut().insert(WWW_AUTHENTICATE, bearer);
    }
    answer
}

fn only_get() -> Response<Body> {
    let mut answer =
        answer::error(StatusCode::METHOD_NOT_ALLOWED, "this path accepts only GET".into()).map(answer::whole);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    answer
}
