//! Programs that were built with the published crates `lunatic` 0.13 and 0.14 run unchanged: those of `tests/published`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use cargo_lunatic::guests;
use lunatic_tests::programs::{self, Call};
use lunatic_tests::{target_folder, workspace};

fn published() -> PathBuf {
    workspace().join("tests/published")
}

/// What cargo builds of a package there.
fn build(
    what: impl FnOnce(&Path, &[&str]) -> Result<Vec<cargo_lunatic::Artifact>, cargo_lunatic::Error>,
    arguments: &[&str],
) -> Vec<(String, PathBuf)> {
    let _alone = lunatic_tests::guests::lock();
    let folder = format!("--target-dir={}", target_folder().display());
    let arguments = [&["--locked", folder.as_str()], arguments].concat();
    let built = what(&published(), &arguments);
    let built = built.unwrap_or_else(|error| panic!("the published guests could not be built: {error}"));
    built.into_iter().map(|guest| (guest.name, guest.path)).collect()
}

/// The test program `name`, called as cargo calls it with `runner = "lunatic run"`.
fn tests(name: &str, args: &[&str]) -> Call {
    static BUILT: OnceLock<Vec<(String, PathBuf)>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        build(
            |folder, arguments| guests::build_tests(folder, arguments),
            &["--package=published-guests", "--tests"],
        )
    });
    let file = built.iter().find(|(other, _)| other == name);
    let (_, file) = file.unwrap_or_else(|| panic!("there is no test program {name}, only {built:?}"));
    let folder = published().join("guests");
    let arguments = ["run".as_ref(), file.as_os_str()]
        .into_iter()
        .chain(args.iter().map(AsRef::as_ref));
    programs::lunatic(arguments)
        .env("CARGO_MANIFEST_DIR", &folder)
        .current_dir(&folder)
}

/// Runs all tests of a program, which must pass.
fn all_pass(name: &str) {
    let finished = tests(name, &[]).run().code(0);
    assert!(finished.stdout.contains("test result: ok."), "{finished}");
}

#[test]
fn processes_mailboxes_links_and_configurations() {
    all_pass("processes");
}

#[test]
fn abstract_processes_supervisors_timers_and_names() {
    all_pass("actors");
}

#[test]
fn databases_lie_in_the_folders_of_the_program_and_nowhere_else() {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("given");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(outside.path().join("file.db"), "").unwrap();
    std::os::unix::fs::symlink("../file.db", folder.join("link.db")).unwrap();
    std::os::unix::fs::symlink("..", folder.join("link")).unwrap();
    let finished = tests("databases", &[]).current_dir(&folder).run().code(0);
    assert!(finished.stdout.contains("test result: ok."), "{finished}");
    assert_eq!(std::fs::metadata(outside.path().join("file.db")).unwrap().len(), 0);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 2);
}

#[test]
fn tcp_udp_tls_and_names_of_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("certificate.pem"), identity.cert.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), identity.signing_key.serialize_pem()).unwrap();
    let finished = tests("network", &[]).current_dir(folder.path()).run().code(0);
    assert!(finished.stdout.contains("test result: ok."), "{finished}");
}

#[test]
fn a_filter_and_flags_are_understood_as_they_were() {
    let finished = tests("actors", &["supervis", "one_for"]).run().code(0);
    assert!(finished.stdout.contains("2 passed"), "both filters count: {finished}");
    let finished = tests("actors", &["one_for_one", "--exact"]).run().code(0);
    assert!(finished.stdout.contains("1 passed"), "{finished}");
    let finished = tests("processes", &["--list", "--format", "terse"]).run().code(0);
    assert!(finished.stdout.contains("fuel_is_limited: test"), "{finished}");
    let finished = tests("processes", &["--ignored"]).run().code(1);
    assert!(
        finished
            .stdout
            .contains("a_failed_child_that_is_linked_takes_its_parent_along ... FAILED"),
        "{finished}"
    );
    let finished = tests("actors", &["metrics_are", "--nocapture", "--metrics"])
        .run()
        .code(0);
    assert!(finished.stdout.contains("1 passed"), "{finished}");
    tests("actors", &["--no-such-flag"]).run().code(2);
}

/// A running server, which is killed when it is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts the application and reads from its log where it listens.
    fn start() -> Self {
        let built = build(
            |folder, arguments| guests::build(folder, arguments),
            &["--package=published-web", "--bins"],
        );
        let (_, file) = built.first().expect("the package has a program");
        let call = programs::lunatic(["run".as_ref(), "--trust".as_ref(), file.as_os_str()]);
        let mut child = call
            .into_command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // What handlers that fail on purpose leave there.
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("could not start the server: {error}"));
        let mut lines = BufReader::new(child.stdout.take().expect("it was to be a pipe"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            let read = lines.read_line(&mut line).expect("the log is text");
            assert!(read > 0, "the server ended before it said where it listens");
            if let Some((_, rest)) = line.split_once("http://") {
                break rest
                    .chars()
                    .take_while(|c| c.is_ascii_digit() || ".:".contains(*c))
                    .collect();
            }
        };
        // Its log is read to the end, so that it never waits for us.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { child, address }
    }

    /// What curl gets: the status and the body.
    fn curl(&self, path: &str, args: &[&str]) -> (u32, String) {
        let url = format!("http://{}{path}", self.address);
        let output = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--max-time",
                "60",
                "--write-out",
                "\n%{http_code}",
            ])
            .args(args)
            .arg(url)
            .output()
            .unwrap_or_else(|error| {
                panic!("curl could not be started ({error}): install it, in Debian with `apt-get install curl`")
            });
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("the answers are text");
        let (body, status) = text.rsplit_once('\n').expect("the status comes last");
        (status.parse().expect("it is a number"), body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_application_of_submillisecond_answers_curl() {
    let server = Server::start();
    let get = |path: &str| server.curl(path, &[]);
    assert_eq!(get("/"), (200, "Welcome".into()));
    assert_eq!(get("/greet/Ada"), (200, "Hello Ada".into()));
    assert_eq!(get("/sum?a=-2&b=44"), (200, "42".into()));
    assert_eq!(get("/nothing").0, 404);
    // A handler that fails is one process, and the others go on.
    assert_eq!(get("/fail").0, 500);
    assert_eq!(get("/entries"), (200, "[]".into()));
    let entry = r#"{"name":"Ada","text":"größer"}"#;
    let json = ["--header", "content-type: application/json", "--data"];
    let post = [&json[..], &[entry]].concat();
    assert_eq!(server.curl("/entries", &post), (200, "1".into()));
    assert_eq!(server.curl("/entries", &post), (200, "2".into()));
    assert_eq!(get("/entries"), (200, format!("[{entry},{entry}]")));
    assert_eq!(server.curl("/entries", &[&json[..], &["nonsense"]].concat()).0, 400);
    // Sessions are told apart by their cookies.
    let folder = tempfile::tempdir().unwrap();
    for (visitor, count) in [("one", "1"), ("one", "2"), ("two", "1"), ("one", "3"), ("two", "2")] {
        let jar = folder.path().join(visitor);
        let jar = jar.to_str().expect("the folder's name is text");
        let answer = server.curl("/session/count", &["--cookie", jar, "--cookie-jar", jar]);
        assert_eq!(answer, (200, count.into()), "{visitor}");
    }
}

#[test]
fn an_application_of_submillisecond_speaks_over_a_websocket() {
    let server = Server::start();
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let request = format!(
        "GET /socket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(answer.read_line(&mut head).unwrap() > 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    // From RFC 6455: what belongs to this key.
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    for word in ["hello", "again"] {
        // A text of 5 bytes, masked with zeros.
        let mut frame = vec![0x81, 0x85, 0, 0, 0, 0];
        frame.extend(word.as_bytes());
        stream.write_all(&frame).unwrap();
        let mut back = [0; 8];
        answer.read_exact(&mut back).unwrap();
        assert_eq!(&back, [&[0x81, 6], word.as_bytes(), b"!"].concat().as_slice());
    }
}

#[test]
fn a_program_sees_what_the_command_line_says_and_with_cargo_what_it_saw_then() {
    let built = build(
        |folder, arguments| guests::build(folder, arguments),
        &["--package=published-guests", "--bins"],
    );
    let (_, file) = built.first().expect("the package has a program");
    let file = file.to_str().expect("the path is text");
    let run = |args: &[&str]| {
        programs::lunatic(args)
            .env("PUBLISHED", "yes")
            .env_remove("CARGO_MANIFEST_DIR")
    };
    let everything = "folder true\nvariable Some(\"yes\")\nnetwork true\n";
    let nothing = "folder false\nvariable None\nnetwork false\n";

    let alone = run(&["run", file, "a", "-b"]).run().code(0);
    assert_eq!(alone.stdout, format!("arguments [\"a\", \"-b\"]\n{nothing}"), "{alone}");
    assert!(
        alone.stderr.contains("note: this program was built for Lunatic 0.13"),
        "{alone}"
    );
    let trusted = run(&["run", "--trust", file]).run().code(0);
    assert_eq!(
        (trusted.stdout, trusted.stderr),
        (format!("arguments []\n{everything}"), String::new())
    );
    let by_cargo = run(&["--bench", file, "a"])
        .env("CARGO_MANIFEST_DIR", "/")
        .run()
        .code(0);
    assert_eq!(
        by_cargo.stdout,
        format!("arguments [\"a\", \"--bench\"]\n{everything}"),
        "{by_cargo}"
    );

    let counted = run(&["run", "--trust", "--metrics", file]).run().code(0);
    assert!(
        counted
            .stderr
            .ends_with("time_count 1\ntime_sum 2.5\ntime_min 2.5\ntime_max 2.5\nvisits 3\n"),
        "{counted}"
    );
    run(&["run", "--trust", file, "fail"]).run().code(101);
}

#[test]
fn init_writes_what_cargo_needs() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        programs::lunatic(["init"]).current_dir(folder.path()).run().code(0);
    }
    let written = std::fs::read_to_string(folder.path().join(".cargo/config.toml")).unwrap();
    assert_eq!(written.matches("lunatic run").count(), 1, "{written}");
    std::fs::write(
        folder.path().join(".cargo/config.toml"),
        "[build]\ntarget = \"wasm32-wasi\"\n",
    )
    .unwrap();
    let refused = programs::lunatic(["init"]).current_dir(folder.path()).run().code(1);
    assert!(refused.stderr.contains("build.target"), "{refused}");
}
