//! Static files.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, StatusCode};

use crate::body::Body;
use crate::conditional::Validators;
use crate::content_type;
use crate::ranges::{Wanted, wanted};
use crate::request::Request;
use crate::response::Response;
use crate::router::Handler;

/// A handler that serves the files of a folder. The last parameter of the route, usually `{path*}`, names the file. For a folder, the
/// handler serves its `index.html`.
///
/// - The process needs the right to read the folder (`--dir`). Symbolic links are followed within the limits of that right.
/// - The answer is 404 if the file does not exist or the process may not read it, and for every path with `..`, an empty
///   segment, a backslash, or a segment that begins with a dot (`.git`, `.env`), except `.well-known`.
/// - Files are streamed. The entity tag is made from the length and the time of the last change; a client that has the current
///   version gets 304. A request for one range gets that range; a request for several gets the whole file.
/// - Folders are not listed. A folder's path without a slash at its end is redirected to the path with the slash.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// use lunatic_http::{Files, Router, Server};
///
/// # fn main() -> std::io::Result<()> {
/// let app = Router::new()
///     .get("/hello", |_| "Hello!\n")
///     // The names of these files change with their contents.
///     .get("/assets/{path*}", Files::new("/www/assets").max_age(Duration::from_secs(31_536_000)))
///     .get("/{path*}", Files::new("/www"));
/// Server::bind("127.0.0.1:8080")?.serve(app)
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Files {
    folder: &'static str,
    max_age: Option<Duration>,
}

impl Files {
    /// Serves the files of this folder. Browsers may keep them, but check for changes at each use (`Cache-Control: no-cache`).
    #[must_use]
    pub fn new(folder: &'static str) -> Self {
        Self { folder, max_age: None }
    }

    /// Lets browsers and caches use a file for this long, in whole seconds, without checking for changes.
    #[must_use]
    pub fn max_age(self, age: Duration) -> Self {
        Self {
            max_age: Some(age),
            ..self
        }
    }
}

impl Handler for Files {
    fn handle(&self, request: Request) -> Response {
        let Some(mut path) = within(request.params.last().unwrap_or_default()) else {
            return StatusCode::NOT_FOUND.into();
        };
        path = Path::new(self.folder).join(path);
        if fs::metadata(&path).is_ok_and(|found| found.is_dir()) {
            // Without the slash, relative links of the page would point into the parent folder.
            if !request.path().ends_with('/') {
                return with_slash(&request);
            }
            path.push("index.html");
        } else if request.params.last().is_some_and(|path| path.ends_with('/')) {
            return StatusCode::NOT_FOUND.into();
        }
        let mut response = Response::file(&request, &path);
        if !(response.status().is_client_error() || response.status().is_server_error()) {
            let cached = match self.max_age {
                None => HeaderValue::from_static("no-cache"),
                Some(age) => HeaderValue::try_from(format!("public, max-age={}", age.as_secs()))
                    .expect("a number is visible ASCII"),
            };
            response.headers_mut().insert(CACHE_CONTROL, cached);
        }
        response
    }
}

/// Converts the path of a request to a relative path that cannot leave the folder; `None` if that is impossible.
fn within(path: &str) -> Option<PathBuf> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Some(PathBuf::new());
    }
    let is_name = |segment: &str| {
        let hidden = segment.starts_with('.') && segment != ".well-known";
        !segment.is_empty() && !hidden && !segment.contains(['\\', '\0'])
    };
    let path = path.split('/').all(is_name).then(|| PathBuf::from(path))?;
    // On other systems, a segment such as `C:` may be a root.
    path.components()
        .all(|component| matches!(component, Component::Normal(_)))
        .then_some(path)
}

fn with_slash(request: &Request) -> Response {
    let query = request.query_text().map_or(String::new(), |query| format!("?{query}"));
    // A relative target: a path that begins with `//` would be taken for a host.
    let last = request.path().rsplit('/').next().unwrap_or_default();
    let Ok(target) = HeaderValue::try_from(format!("./{last}/{query}")) else {
        return StatusCode::NOT_FOUND.into();
    };
    let mut response = Response::from(StatusCode::MOVED_PERMANENTLY);
    response.headers_mut().insert(LOCATION, target);
    response
}

impl Response {
    /// A response with a file, or with the range that the request asks for. The extension determines the `Content-Type`, and the
    /// response has `ETag` and `Last-Modified`. The status is 304 if the client has the current version, 404 if the file does not
    /// exist, and 405 for methods other than `GET` and `HEAD`.
    ///
    /// Do not make the path from client input. [`Files`] checks such paths.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use lunatic_http::{Request, Response};
    ///
    /// fn report(request: Request) -> Response {
    ///     Response::file(&request, Path::new("/reports/latest.pdf"))
    ///         .header("content-disposition", "attachment; filename=\"report.pdf\"")
    /// }
    /// # let _ = lunatic_http::Router::new().get("/report", report);
    /// ```
    #[must_use]
    pub fn file(request: &Request, path: &Path) -> Self {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = Self::from(StatusCode::METHOD_NOT_ALLOWED);
            response.headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match open(path) {
            Ok(Some(opened)) => opened.answer(request, path).unwrap_or_else(Into::into),
            Ok(None) => StatusCode::NOT_FOUND.into(),
            Err(error) => {
                // The path may come from a client: `{:?}` escapes what a terminal would obey.
                eprintln!("cannot read {path:?}: {error}");
                StatusCode::INTERNAL_SERVER_ERROR.into()
            }
        }
    }
}

struct Opened {
    file: File,
    len: u64,
    modified: Option<SystemTime>,
}

/// Opens a file; `None` if there is no file that the process may read.
fn open(path: &Path) -> io::Result<Option<Opened>> {
    use io::ErrorKind as E;
    let opened = fs::metadata(path).and_then(|found| {
        // Check before opening: opening a pipe blocks until somebody writes to it.
        if !found.is_file() {
            return Err(E::NotFound.into());
        }
        let file = File::open(path)?;
        let found = file.metadata()?;
        Ok(Opened {
            file,
            len: found.len(),
            modified: found.modified().ok(),
        })
    });
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(error) => match error.kind() {
            E::NotFound | E::NotADirectory | E::PermissionDenied | E::InvalidFilename => Ok(None),
            _ => Err(error),
        },
    }
}

impl Opened {
    fn answer(mut self, request: &Request, path: &Path) -> io::Result<Response> {
        let validators = self.validators();
        if let Some(answer) = request.precondition(&validators) {
            return Ok(answer);
        }
        // Other methods have no ranges (RFC 9110, 14.2).
        let wanted = match *request.method() {
            Method::GET => wanted(request.headers(), self.len, &validators),
            _ => Wanted::All,
        };
        let mut response = match wanted {
            Wanted::Nothing => Response::from(StatusCode::RANGE_NOT_SATISFIABLE),
            Wanted::All => Response::new(Body::reader(self.file.take(self.len), Some(self.len))),
            Wanted::Part(ref range) => {
                self.file.seek(SeekFrom::Start(range.start))?;
                let len = range.end - range.start;
                Response::new(Body::reader(self.file.take(len), Some(len))).with_status(StatusCode::PARTIAL_CONTENT)
            }
        };
        let headers = response.headers_mut();
        let of = match wanted {
            Wanted::All => None,
            Wanted::Nothing => Some(format!("bytes */{}", self.len)),
            Wanted::Part(range) => Some(format!("bytes {}-{}/{}", range.start, range.end - 1, self.len)),
        };
        if let Some(Ok(of)) = of.map(HeaderValue::try_from) {
            headers.insert(CONTENT_RANGE, of);
        }
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(response);
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type::of(name)));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Ok(response.validators(&validators))
    }

    fn validators(&self) -> Validators {
        let Some(modified) = self.modified else {
            return Validators::new();
        };
        let age = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Validators::new()
            .etag(&format!("{:x}-{:x}", self.len, age.as_nanos()))
            .modified(modified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::Router;
    use proptest::prelude::*;

    /// A folder with some files, and a file beside it.
    fn folder() -> (tempfile::TempDir, &'static str) {
        let folder = tempfile::tempdir().unwrap();
        let www = folder.path().join("www");
        fs::create_dir_all(www.join("sub/.git")).unwrap();
        fs::create_dir_all(www.join(".well-known")).unwrap();
        for (name, text) in [
            ("../secret", "secret"),
            ("index.html", "<h1>home</h1>"),
            ("a b.txt", "0123456789"),
            ("empty", ""),
            ("sub/index.html", "sub"),
            ("sub/.git/config", "secret"),
            (".env", "secret"),
            (".well-known/x", "known"),
        ] {
            fs::write(www.join(name), text).unwrap();
        }
        let path = String::leak(www.to_str().unwrap().to_owned());
        (folder, path)
    }

    fn ask(folder: &'static str, method: &str, path: &str, headers: &[(&'static str, &str)]) -> Response {
        let app = Router::new()
            .any("/{path*}", Files::new(folder))
            .get("/static/{path*}", Files::new(folder).max_age(Duration::from_secs(60)));
        let mut request = Request::new(method.parse().unwrap(), path.parse().unwrap(), ());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        app.handle(request)
    }

    #[test]
    fn files_are_served() {
        let (_folder, www) = folder();
        for (path, kind, text) in [
            ("/", "text/html; charset=utf-8", "<h1>home</h1>"),
            ("/index.html", "text/html; charset=utf-8", "<h1>home</h1>"),
            ("/a%20b.txt?x=1", "text/plain; charset=utf-8", "0123456789"),
            ("/empty", "application/octet-stream", ""),
            ("/sub/", "text/html; charset=utf-8", "sub"),
            ("/sub%2Findex.html", "text/html; charset=utf-8", "sub"),
            ("/.well-known/x", "application/octet-stream", "known"),
        ] {
            let mut response = ask(www, "GET", path, &[]);
            assert_eq!(response.status(), 200, "{path}");
            assert_eq!(response.header_text("content-type"), Some(kind), "{path}");
            assert_eq!(response.header_text("cache-control"), Some("no-cache"));
            assert_eq!(response.header_text("x-content-type-options"), Some("nosniff"));
            assert_eq!(response.body.len(), Some(text.len() as u64));
            assert_eq!(response.read_text().unwrap(), text, "{path}");
        }
        let redirected = ask(www, "GET", "/sub?x=1", &[]);
        assert_eq!(redirected.status(), 301);
        assert_eq!(redirected.header_text("location"), Some("./sub/?x=1"));
        let refused = ask(www, "POST", "/empty", &[]);
        assert_eq!(
            (refused.status().as_u16(), refused.header_text("allow")),
            (405, Some("GET, HEAD"))
        );
    }

    #[test]
    fn nothing_else_is_served() {
        let (_folder, www) = folder();
        for path in [
            "/../secret",
            "/%2e%2e/secret",
            "/..%2fsecret",
            "/sub/../../secret",
            "/sub/%2e./%2e./secret",
            "/..%5csecret",
            "/%2e%2e%5csecret",
            "/./index.html",
            "//index.html",
            "//evil.example/..",
            "/sub//index.html",
            "/index.html/",
            "/index.html/x",
            "/a%20b.txt%00.html",
            "/%00",
            "/.env",
            "/sub/.git/config",
            "/.well-known/",
            "/none",
            "/%ff",
            "/sub/index.html%2f",
        ] {
            let response = ask(www, "GET", path, &[]);
            assert_eq!(response.status(), 404, "{path}");
            assert_eq!(response.header_text("cache-control"), None);
        }
        let long = format!("/{}", "a".repeat(5000));
        assert_eq!(ask(www, "GET", &long, &[]).status(), 404);
    }

    #[test]
    fn parts_and_copies() {
        let (_folder, www) = folder();
        let whole = ask(www, "GET", "/a%20b.txt", &[]);
        let tag = whole.header_text("etag").unwrap();
        let date = whole.header_text("last-modified").unwrap();
        assert_eq!(whole.header_text("accept-ranges"), Some("bytes"));
        for (headers, status, text, of) in [
            (&[("range", "bytes=2-4")][..], 206, "234", Some("bytes 2-4/10")),
            (&[("range", "bytes=-3")], 206, "789", Some("bytes 7-9/10")),
            (
                &[("range", "bytes=10-")],
                416,
                "416 Range Not Satisfiable\n",
                Some("bytes */10"),
            ),
            (&[("range", "bytes=0-1,3-4")], 200, "0123456789", None),
            (
                &[("range", "bytes=2-4"), ("if-range", tag)],
                206,
                "234",
                Some("bytes 2-4/10"),
            ),
            (
                &[("range", "bytes=2-4"), ("if-range", "\"old\"")],
                200,
                "0123456789",
                None,
            ),
            (&[("if-none-match", tag)], 304, "", None),
            (&[("if-modified-since", date)], 304, "", None),
            (&[("if-match", "\"old\"")], 412, "412 Precondition Failed\n", None),
            (&[("if-none-match", tag), ("range", "bytes=2-4")], 304, "", None),
        ] {
            let mut response = ask(www, "GET", "/a%20b.txt", headers);
            assert_eq!(response.status(), status, "{headers:?}");
            assert_eq!(response.header_text("content-range"), of, "{headers:?}");
            assert_eq!(response.read_text().unwrap(), text, "{headers:?}");
        }
        // The head is that of the whole file, which is what its length says.
        let head = ask(www, "HEAD", "/a%20b.txt", &[("range", "bytes=2-4")]);
        assert_eq!((head.status().as_u16(), head.body.len()), (200, Some(10)));
        assert_eq!(head.header_text("content-range"), None);
        fs::write(Path::new(www).join("a b.txt"), "changed").unwrap();
        assert_ne!(ask(www, "GET", "/a%20b.txt", &[]).header_text("etag"), Some(tag));
    }

    #[cfg(unix)]
    #[test]
    fn only_files_are_opened() {
        let (folder, www) = folder();
        let socket = std::os::unix::net::UnixListener::bind(Path::new(www).join("socket")).unwrap();
        assert_eq!(ask(www, "GET", "/socket", &[]).status(), 404);
        std::os::unix::fs::symlink("nowhere", Path::new(www).join("link")).unwrap();
        assert_eq!(ask(www, "GET", "/link", &[]).status(), 404);
        drop((socket, folder));
    }

    proptest! {
        #[test]
        fn no_path_leads_out(path in proptest::collection::vec(prop_oneof![Just('.'), Just('/'), Just('\\'), any::<char>()], 0..20)) {
            if let Some(path) = within(&String::from_iter(path)) {
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert!(!path.is_absolute());
            }
        }
    }
}
