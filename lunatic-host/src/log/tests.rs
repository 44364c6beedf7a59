use std::fs;
use std::io::Read as _;

use super::*;

fn record(message: &str) -> Record<'_> {
    Record {
        level: 3,
        target: "t",
        message,
        fields: Vec::new(),
        spans: Vec::new(),
    }
}

#[test]
fn a_filter_can_be_changed() {
    let (output, _) = Output::captured();
    let log = Log::new(output, Format::Text, Filter::default());
    assert_eq!(
        (log.level(""), log.level("a"), log.filter().to_string()),
        (3, 3, "info".into())
    );
    log.set_filter("a=debug".parse().unwrap());
    assert_eq!((log.level(""), log.level("a"), log.level("b")), (4, 4, 0));
}

#[test]
fn a_file_that_was_moved_away_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
    let log = Log::to_file(&path, Format::Text, Filter::default()).unwrap();
    assert!(log.record(&line_of(&record("one"), ("#1", "main"), None)));
    fs::rename(&path, &moved).unwrap();
    assert!(log.record(&line_of(&record("two"), ("#1", "main"), None)));
    log.reopen().unwrap();
    assert!(log.record(&line_of(&record("three"), ("#1", "main"), None)));
    log.finish();
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let (old, new) = (read(&moved), read(&path));
    assert!(
        old.contains("one\n") && old.contains("two\n") && !old.contains("three"),
        "{old}"
    );
    assert!(new.ends_with("three\n") && new.lines().count() == 1, "{new}");
    // A folder in its place is no log.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(log.reopen().is_err());
    assert!(log.record(&line_of(&record("four"), ("#1", "main"), None)));
    log.finish();
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for path in [
        &*pipe,
        Path::new("/dev/null"),
        folder.path(),
        &folder.path().join("no/log"),
    ] {
        assert!(
            Log::to_file(path, Format::Text, Filter::default()).is_err(),
            "{}",
            path.display()
        );
    }
}

/// A pipe that nobody reads: records fill it, are dropped, and are counted; when it is read, that is written.
#[test]
fn what_nobody_reads_is_dropped_and_counted() {
    let (mut reader, writer) = io::pipe().unwrap();
    let log = Log::new(Output::file(writer), Format::Json, Filter::default());
    let long = "x".repeat(1000);
    let put = (0..5000)
        .filter(|_| log.record(&line_of(&record(&long), ("#1", "main"), None)))
        .count();
    assert!(put < 2500, "no end of what is kept: {put} KiB");
    let read = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    log.finish();
    drop(log);
    let text = read.join().unwrap();
    assert_eq!(text.matches("xxx\"}").count(), put, "each line that was taken came out");
    let dropped = text.lines().filter_map(|line| {
        let (_, number) = line.split_once(r#""fields":{"dropped":"#)?;
        assert!(line.contains(OWN_TARGET), "{line}");
        number.trim_end_matches('}').parse::<usize>().ok()
    });
    assert_eq!(dropped.sum::<usize>() + put, 5000, "all others are counted");
}

#[test]
fn the_hosts_own_records_are_of_no_process() {
    let (output, capture) = Output::captured();
    let log = Log::new(output, Format::Json, "off".parse().unwrap());
    log.say(Level::Warn, "lunatic", "a\nb");
    log.finish();
    let text = String::from_utf8(capture.take()).unwrap();
    assert!(
        text.ends_with("\"level\":\"WARN\",\"target\":\"lunatic\",\"message\":\"a\\nb\"}\n"),
        "{text}"
    );
}
