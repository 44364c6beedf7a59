//! A real headless browser, driven by a test over the DevTools protocol.
//!
//! The browser is Chromium: an installed one, or else Debian's package, which is installed if possible.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Instant;

use lunatic_http::websocket::{Message, WebSocket, WebSocketLimits};
use serde_json::{Value, json};

use crate::host::PATIENCE;
use crate::serving::client;

/// Names of the program; those that need no window system come first.
const NAMES: [&str; 6] = [
    "chromium-headless-shell",
    "chrome-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];
const PACKAGE: &str = "chromium-headless-shell";

/// A browser, which is stopped when this is dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    socket: WebSocket,
    last_id: u64,
    /// Problems in the pages that are watched.
    errors: Vec<String>,
    /// Its profile, which no other browser uses.
    _folder: tempfile::TempDir,
}

/// One page of a browser.
#[derive(Debug, Clone)]
pub struct Page {
    session: String,
}

impl Browser {
    /// Starts a browser with its own profile.
    ///
    /// # Panics
    ///
    /// If there is no browser and none can be installed, with instructions; or if it does not start.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for temporary files can be made");
        let mut command = Command::new(program());
        command
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {command:?}: {error}"));
        let mut stderr = BufReader::new(child.stderr.take().expect("it was to be a pipe"));
        let mut said = String::new();
        let url = loop {
            let start = said.len();
            if stderr.read_line(&mut said).is_ok_and(|read| read == 0) {
                panic!("the browser ended at once: {said}");
            }
            if let Some(url) = said[start..].trim().strip_prefix("DevTools listening on ") {
                break url.to_owned();
            }
        };
        // The browser goes on writing, and must not block because nobody reads.
        std::thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
        let mut socket = client()
            .websocket(&url)
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        // The browser does not answer while a page keeps it busy.
        socket.set_limits(WebSocketLimits {
            message_len: 64 << 20,
            ping_interval: PATIENCE,
            ..Default::default()
        });
        Self {
            child,
            socket,
            last_id: 0,
            errors: Vec::new(),
            _folder: folder,
        }
    }

    /// Opens a page and waits until it is loaded.
    ///
    /// # Panics
    ///
    /// If the browser reports an error.
    pub fn open(&mut self, url: &str) -> Page {
        let target = self.call(None, "Target.createTarget", json!({ "url": url }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.call(None, "Target.attachToTarget", attach);
        let session = attached["sessionId"].as_str().expect("a session has a name").to_owned();
        let page = Page { session };
        let loaded = json!({
            "expression": "new Promise(done => document.readyState == 'complete' && location.href != 'about:blank'
                ? done() : addEventListener('load', () => done()))",
            "awaitPromise": true,
        });
        let start = Instant::now();
        // If the empty page goes away for this one, the question is lost with it.
        while let Err(error) = self.try_call(Some(&page.session), "Runtime.evaluate", &loaded) {
            assert!(start.elapsed() < PATIENCE, "{url} does not load: {error}");
        }
        page
    }

    /// Evaluates an expression in a page; if the result is a promise, waits for its value.
    ///
    /// # Panics
    ///
    /// If the expression throws, or if its value takes longer than [`PATIENCE`].
    pub fn evaluate(&mut self, page: &Page, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut result = self.call(Some(&page.session), "Runtime.evaluate", params);
        if let Some(exception) = result.get("exceptionDetails") {
            panic!("`{expression}` throws {exception}");
        }
        result["result"]["value"].take()
    }

    /// Waits until an expression is true in a page. It is evaluated whenever the page has changed. While a part of
    /// the page that it reads does not exist, it is not true: a page that is drawn anew may be without it for a moment.
    ///
    /// # Panics
    ///
    /// If it never is.
    pub fn wait_until(&mut self, page: &Page, expression: &str) {
        self.evaluate(
            page,
            &format!(
                "new Promise(done => {{
                    const is_true = () => {{
                        try {{ return {expression}; }}
                        catch (error) {{ if (error instanceof TypeError) return false; throw error; }}
                    }};
                    const look = () => {{ if (is_true()) {{ done(); watch.disconnect(); }} }};
                    const watch = new MutationObserver(look);
                    watch.observe(document, {{ subtree: true, childList: true, characterData: true, attributes: true }});
                    look();
                }})"
            ),
        );
    }

    /// Sends a command of the protocol to a page.
    ///
    /// # Panics
    ///
    /// If the browser reports an error.
    pub fn command(&mut self, page: &Page, method: &str, params: Value) -> Value {
        self.call(Some(&page.session), method, params)
    }

    /// Presses a key: `Tab`, `Enter` or `Escape`.
    ///
    /// # Panics
    ///
    /// For any other key.
    pub fn press(&mut self, page: &Page, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            _ => panic!("{key} is not known here"),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.command(page, "Input.dispatchKeyEvent", event);
        }
    }

    /// Starts recording problems of a page: exceptions, error messages, and resources that it cannot load.
    pub fn watch(&mut self, page: &Page) {
        for domain in ["Runtime.enable", "Log.enable"] {
            self.command(page, domain, json!({}));
        }
    }

    /// The problems in the pages that are watched.
    pub fn errors(&self) -> &[String] {
        &self.errors
    }

    fn take_down(&mut self, event: &Value) {
        let params = &event["params"];
        let is_error = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => params["type"] == "error" || params["type"] == "assert",
            Some("Log.entryAdded") => params["entry"]["level"] == "error",
            _ => false,
        };
        if is_error {
            self.errors.push(params.to_string());
        }
    }

    fn call(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        let answer = self.try_call(session, method, &params);
        answer.unwrap_or_else(|error| panic!("{method} {params}: {error}"))
    }

    fn try_call(&mut self, session: Option<&str>, method: &str, params: &Value) -> Result<Value, Value> {
        self.last_id += 1;
        let mut request = json!({ "id": self.last_id, "method": method, "params": params });
        if let Some(session) = session {
            request["sessionId"] = session.into();
        }
        let sent = self.socket.send(request.to_string());
        sent.unwrap_or_else(|error| panic!("{method}: {error}"));
        let _limit = self.stop_if_silent();
        loop {
            let message = self.socket.receive();
            let message = message.unwrap_or_else(|error| panic!("{method} {params}: {error}"));
            let Message::Text(text) = message else { continue };
            let mut answer: Value = serde_json::from_str(&text).expect("the browser speaks JSON");
            if answer["id"] == self.last_id {
                return match answer.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(answer["result"].take()),
                };
            }
            self.take_down(&answer);
        }
    }

    /// Kills the browser after [`PATIENCE`], unless the returned value is dropped first. Pings do not detect a page that waits
    /// for something that never happens, because the browser still answers them.
    fn stop_if_silent(&self) -> Sender<()> {
        let (answered, waits) = channel();
        let process = self.child.id();
        std::thread::spawn(move || {
            if waits.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                kill_group(process);
            }
        });
        answered
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        kill_group(self.child.id());
        let _ = self.child.wait();
    }
}

/// Kills the program with this number and its children: it may be a script, with the browser as its child.
fn kill_group(process: u32) {
    let group = format!("-{process}");
    let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
}

/// The program of the browser, which is installed if necessary.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        find().unwrap_or_else(|| {
            install();
            find().unwrap_or_else(|| panic!("`{PACKAGE}` was installed, but no program of it is in PATH"))
        })
    })
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let in_folders = |name: &str| {
        folders
            .iter()
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    };
    NAMES.into_iter().find_map(in_folders)
}

/// Installs the browser with apt-get, whose output is shown.
fn install() {
    let help = format!("install a Chromium for the tests: sudo apt-get install {PACKAGE}");
    eprintln!("installing {PACKAGE} with apt-get for a test with a real browser (about 100 MB to download, once)");
    for arguments in [&["update"][..], &["install", "-y", "--no-install-recommends", PACKAGE]] {
        let status = Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .arg("-q")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::from(std::io::stderr()))
            .status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => panic!("apt-get {}: {status}; {help}", arguments.join(" ")),
            Err(error) => panic!("there is no apt-get ({error}); {help}"),
        }
    }
}
