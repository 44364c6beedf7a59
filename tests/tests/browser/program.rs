//! A program that runs, its dashboard, and a browser with a page of it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lunatic_tests::browser::{Browser, Page};
use lunatic_tests::guests::{Profile, path};
use lunatic_tests::programs::lunatic;
use serde_json::Value;

/// A program that is ready. It is killed when this is dropped.
pub(crate) struct Program {
    child: Child,
    /// The address that it has printed, if it has a dashboard.
    pub(crate) url: String,
}

/// Starts a scenario of `guests/shown.rs` with a dashboard, and waits until it is ready.
pub(crate) fn start(args: &[&str]) -> Program {
    start_with(&["--dashboard=127.0.0.1:0"], args)
}

/// [`start`] with these flags of the host.
pub(crate) fn start_with(flags: &[&str], args: &[&str]) -> Program {
    let guest = path("shown", Profile::Release);
    let mut program = spawn(lunatic([flags, &[guest.to_str().unwrap()], args].concat()).into_command());
    let mut stdout = BufReader::new(program.child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    if flags.iter().any(|flag| flag.starts_with("--dashboard")) {
        program.url = program.dashboard();
    }
    program
}

/// Starts a scenario of another guest with a dashboard, and does not wait.
pub(crate) fn start_guest(guest: &str, flags: &[&str], args: &[&str]) -> Program {
    let guest = path(guest, Profile::Debug);
    let all = [&["--dashboard=127.0.0.1:0"], flags, &[guest.to_str().unwrap()], args].concat();
    let mut program = spawn(lunatic(all).into_command());
    program.url = program.dashboard();
    program
}

/// `lunatic dashboard` beside the program with this socket.
pub(crate) fn beside(socket: &str) -> Program {
    let mut program = spawn(lunatic(["dashboard", "127.0.0.1:0", "--at", socket]).into_command());
    program.url = program.dashboard();
    program
}

fn spawn(mut command: Command) -> Program {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    Program {
        child: child.unwrap(),
        url: String::new(),
    }
}

impl Program {
    /// What it says its dashboard's address is. Its crash reports are read on, so that it need not wait.
    fn dashboard(&mut self) -> String {
        let mut stderr = BufReader::new(self.child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("dashboard: ").map(str::to_owned);
        std::thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
        url.unwrap_or_else(|| panic!("it says {line:?}"))
    }

    /// The address of a view, for a browser that knows the token.
    pub(crate) fn at(&self, view: &str) -> String {
        let (address, _) = self.url.split_once('#').unwrap();
        format!("{address}#{view}")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A page of a dashboard.
pub(crate) struct Seen {
    pub(crate) browser: Browser,
    pub(crate) page: Page,
    _turn: MutexGuard<'static, ()>,
}

/// Whose turn it is: a browser has so many processes that one at a time is quickest.
static TURN: Mutex<()> = Mutex::new(());

/// Opens the overview, as a user does with the address that the program has printed.
pub(crate) fn open(program: &Program) -> Seen {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut browser = Browser::start();
    let page = browser.open(&program.url);
    browser.watch(&page);
    let mut seen = Seen {
        browser,
        page,
        _turn: turn,
    };
    seen.until("document.getElementById('link').dataset.state == 'live'");
    seen
}

impl Seen {
    pub(crate) fn go(&mut self, view: &str) {
        self.evaluate(&format!("location.hash = {:?}", format!("#{view}")));
        self.until(&format!(
            "document.querySelector('#main h1') && location.hash.startsWith({:?})",
            format!("#{view}")
        ));
    }

    pub(crate) fn until(&mut self, expression: &str) {
        self.browser.wait_until(&self.page, expression);
    }

    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        self.browser.evaluate(&self.page, expression)
    }

    pub(crate) fn text(&mut self, selector: &str) -> String {
        let text = self.evaluate(&format!("document.querySelector({selector:?}).innerText"));
        text.as_str().unwrap().to_owned()
    }

    /// Clicks on the first of what a selector finds whose text or label has this in it.
    pub(crate) fn click(&mut self, selector: &str, text: &str) {
        self.evaluate(&format!(
            "[...document.querySelectorAll({selector:?})]
                .find(one => one.innerText.includes({text:?}) || (one.ariaLabel ?? '').includes({text:?})).click()"
        ));
    }

    pub(crate) fn press(&mut self, key: &str) {
        self.browser.press(&self.page, key);
    }

    /// Fills in a field as a user does.
    pub(crate) fn fill(&mut self, id: &str, text: &str) {
        self.evaluate(&format!(
            "{{ const field = document.getElementById({id:?});
                field.value = {text:?};
                field.dispatchEvent(new Event('input', {{ bubbles: true }}));
                field.dispatchEvent(new Event('change', {{ bubbles: true }})); }}"
        ));
    }

    /// Nothing has gone wrong in the page.
    pub(crate) fn is_well(&self) {
        assert_eq!(self.browser.errors(), [""; 0]);
    }
}
