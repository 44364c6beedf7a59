//! The chat of `examples/upgrade` gets its second version, by the command that users give, while people talk.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use lunatic_tests::guests::{Profile, path};
use lunatic_tests::programs::{Finished, lunatic};
use lunatic_tests::serving::{Serving, guest};

struct Person(BufReader<TcpStream>);

impl Person {
    fn comes(server: &Serving) -> Self {
        Self(BufReader::new(server.connect()))
    }

    fn says(&mut self, line: &str) {
        writeln!(self.0.get_mut(), "{line}").unwrap();
    }

    #[track_caller]
    fn hears(&mut self, expected: &str) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(line.contains(expected), "{line:?} and not {expected:?}");
        line.trim().to_owned()
    }
}

/// The path of a version.
fn version(name: &str) -> &'static str {
    path(&format!("talk-{name}"), Profile::Debug).to_str().unwrap()
}

#[test]
fn people_stay_connected_and_get_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("door");
    let socket = socket.to_str().unwrap();
    let server = guest("talk-old", Profile::Debug, &[&format!("--admin={socket}")], &[]);
    let ask = |args: &[&str]| -> Finished { lunatic([args, &["--at", socket]].concat()).run() };
    let mut ann = Person::comes(&server);
    let first = ann.hears("comes in");
    // Not at the same time: only those who are in the room hear who comes in.
    let mut bob = Person::comes(&server);
    let ann_is = first.strip_suffix(" comes in").unwrap();
    ann.hears("comes in");
    bob.hears("comes in");
    bob.says("good evening");
    ann.hears("good evening");
    bob.hears("good evening");
    ann.says("/who");
    bob.hears("/who");
    ann.hears("/who");

    let tried = ask(&["upgrade", "--dry-run", version("new")]).code(0);
    for kind in ["room::Room", "talk::Door", "talk::Guest"] {
        assert!(tried.stdout.contains(kind), "{}", tried.stdout);
    }
    assert!(tried.stdout.contains("can change"), "{}", tried.stdout);
    let listed = ask(&["list", "versions"]).code(0).stdout;
    assert_eq!(listed.lines().count(), 2, "{listed}");

    // People and the door change when they come to their point; the room does so at once.
    let args = ["upgrade", "--watch", "1", "--patience", "0.1", version("new")];
    let upgraded = ask(&args).code(0);
    assert!(upgraded.stderr.contains("watching 1 process"), "{}", upgraded.stderr);
    assert!(upgraded.stdout.contains("of version 2"), "{}", upgraded.stdout);
    for person in [&mut ann, &mut bob] {
        person.hears("the room was renovated");
    }
    ann.says("/name Ann");
    bob.hears(&format!("{ann_is} is Ann"));
    ann.hears("is Ann");
    ann.says("/who");
    ann.hears("Ann");
    let mut eve = Person::comes(&server);
    eve.hears("comes in");
    eve.says("hello");
    eve.hears("hello");
    ann.hears("comes in");
    ann.hears("hello");
    drop(eve);
    ann.hears("has left");

    let stays = ask(&["upgrade", "--cancel"]).code(1);
    assert!(
        stays.stderr.contains("to go back, upgrade to the former version"),
        "{}",
        stays.stderr
    );
    let nothing = ask(&["upgrade", "/dev/null"]).code(1);
    assert!(nothing.stderr.contains("must be a module"), "{}", nothing.stderr);
}

#[test]
fn what_does_not_fit_is_said_before_anything_changes() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("door");
    let socket = socket.to_str().unwrap();
    let server = guest("talk-old", Profile::Debug, &[&format!("--admin={socket}")], &[]);
    let mut ann = Person::comes(&server);
    ann.hears("comes in");
    let other = path("upgrades-new", Profile::Debug).to_str().unwrap();
    let refused = lunatic(["upgrade", "--at", socket, other]).run().code(1);
    assert!(refused.stderr.contains("nothing has changed"), "{}", refused.stderr);
    assert!(
        refused.stdout.contains("the version has no function of this name"),
        "{}",
        refused.stdout
    );
    ann.says("still here");
    ann.hears("still here");
}
