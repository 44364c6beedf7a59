//! `cargo lunatic run --watch`: a program that goes on while its sources change.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use lunatic_tests::host::PATIENCE;
use lunatic_tests::programs::cargo_lunatic;
use lunatic_tests::workspace;

const MAIN: &str = r#"
use std::io::Write as _;

use lunatic::actor::{Actor, Next};
use lunatic::mailbox::ReplyTo;
use lunatic::net::TcpListener;
use lunatic::{ExitReason, code};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Greeter {
    greeted: u32,
}

impl Actor for Greeter {
    type Args = ();
    type Call = ReplyTo<String>;
    type Cast = ();

    code::keep_state!();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Greeter { greeted: 0 })
    }

    fn handle_call(&mut self, reply: ReplyTo<String>) -> Next {
        self.greeted += 1;
        reply.send(format!("hello {}", self.greeted));
        Next::Continue
    }
}

fn main() {
    let listener = TcpListener::bind(std::env::args().nth(1).unwrap().as_str()).unwrap();
    let greeter = Greeter::start(()).unwrap();
    println!("listening on {}", listener.local_addr().unwrap());
    loop {
        let (mut stream, _) = listener.accept().unwrap();
        let greeting = greeter.call(|reply| reply).unwrap();
        stream.write_all(greeting.as_bytes()).unwrap();
    }
}
"#;

/// The command that watches, and all that it says.
struct Watching {
    child: Child,
    lines: Receiver<String>,
    source: std::path::PathBuf,
}

impl Watching {
    fn start(folder: &Path) -> Self {
        let manifest = format!(
            "[package]\nname = \"greeter\"\nedition = \"2024\"\n[workspace]\n[dependencies]\nlunatic = {{ path = {:?} }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n",
            workspace().join("lunatic")
        );
        fs::create_dir(folder.join("src")).unwrap();
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        // The same versions as here.
        fs::copy(workspace().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        let source = folder.join("src/main.rs");
        fs::write(&source, MAIN).unwrap();
        let args = ["run", "--watch", "--allow-net", "bind:127.0.0.1", "--", "127.0.0.1:0"];
        let mut command = cargo_lunatic(args).into_command();
        let spawned = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawned.spawn().unwrap();
        let (said, lines) = channel();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let copy = said.clone();
        std::thread::spawn(move || {
            BufReader::new(out)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| copy.send(line))
        });
        std::thread::spawn(move || {
            BufReader::new(err)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| said.send(line))
        });
        Self { child, lines, source }
    }

    /// The next line that has `part` in it.
    #[track_caller]
    fn says(&self, part: &str) -> String {
        let mut all = String::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => all += &(line + "\n"),
                Err(over) => panic!("{over}, without {part:?}:\n{all}"),
            }
        }
    }

    #[track_caller]
    fn address(&self) -> SocketAddr {
        let line = self.says("listening on ");
        line.split_once("listening on ").unwrap().1.parse().unwrap()
    }

    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.source).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(&self.source, text.replace(from, to)).unwrap();
    }
}

/// A test that fails leaves nothing behind: the program ends with the one who watches it.
impl Drop for Watching {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn greeting(address: SocketAddr) -> String {
    let mut text = String::new();
    TcpStream::connect(address).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_program_goes_on_while_its_sources_change() {
    let folder = tempfile::tempdir().unwrap();
    let mut watching = Watching::start(folder.path());
    let address = watching.address();
    assert_eq!(greeting(address), "hello 1");

    watching.edit("hello", "good evening");
    watching.says("Upgraded 1 process; 1 has no point of change");
    assert_eq!(greeting(address), "good evening 2");

    watching.edit("Next::Continue", "Next::Continu");
    watching.says("does not compile, and its last build keeps running");
    assert_eq!(greeting(address), "good evening 3");

    // A file that is missing, and then comes.
    watching.edit("Next::Continu", "Next::Continue");
    watching.edit("fn main()", "mod extra;\n\nfn main()");
    watching.says("file not found for module `extra`");
    watching.says("does not compile, and its last build keeps running");
    fs::write(folder.path().join("src/extra.rs"), "// Nothing.\n").unwrap();
    watching.says("Upgraded 1 process");
    assert_eq!(greeting(address), "good evening 4");

    // Saved, but not changed.
    watching.edit("fn main()", "fn main()");
    watching.says("Unchanged the program");
    assert_eq!(greeting(address), "good evening 5");

    // A field without a default does not fit.
    watching.edit("greeted: u32,", "greeted: u32,\n    since: u64,");
    watching.edit("Greeter { greeted: 0 }", "Greeter { greeted: 0, since: 7 }");
    let why = watching.says("Restarting");
    assert!(why.contains("missing field `since`"), "{why}");
    let address = watching.address();
    assert_eq!(greeting(address), "good evening 1");

    // Only the watcher gets it, as from an editor or a supervisor: there is no terminal that would send it to both.
    let child = watching.child.id().to_string();
    let interrupted = Command::new("kill").args(["-INT", &child]).status();
    assert!(interrupted.unwrap().success());
    let start = Instant::now();
    let ended = loop {
        match watching.child.try_wait().unwrap() {
            Some(ended) => break ended,
            None => assert!(start.elapsed() < PATIENCE, "it ignores SIGINT"),
        }
        std::thread::yield_now();
    };
    assert_eq!(ended.code(), Some(143));
}
