//! Core dumps of processes that fail. The programs are in `guests/crashing.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lunatic_host::dumps::{DumpConfig, Dumps};
use lunatic_host::report::dump::{CodePlace, Core};
use lunatic_tests::guests::{self, Profile};
use lunatic_tests::host::{Host, PATIENCE};
use lunatic_tests::programs::{Finished, lunatic};
use wasmparser::{KnownCustom, Name, Parser, Payload};

use crate::operating::program_with;

/// A folder for dumps, which is not there yet.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("dumps")
    }

    /// Runs a program whose processes are dumped here.
    fn run(&self, flags: &[&str], args: &[&str]) -> Finished {
        let guest = guests::path("crashing", Profile::Debug);
        self.run_file(flags, guest, args)
    }

    fn run_file(&self, flags: &[&str], file: &Path, args: &[&str]) -> Finished {
        let folder = self.path();
        let dumped = [&["run", "--dump-dir", folder.to_str().unwrap()], flags].concat();
        lunatic([&dumped, &[file.to_str().unwrap()][..], args].concat()).run()
    }

    /// The dumps, the oldest first.
    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    }

    fn only(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        files.into_iter().next().unwrap()
    }
}

fn show(file: &Path, flags: &[&str]) -> String {
    lunatic([&["dump", "show", file.to_str().unwrap()], flags].concat())
        .run()
        .code(0)
        .stdout
}

/// The name that the module gives to a function.
fn name_of(module: &[u8], place: &CodePlace) -> Option<String> {
    let custom = Parser::new(0)
        .parse_all(module)
        .filter_map(|payload| match payload.unwrap() {
            Payload::CustomSection(section) => Some(section),
            _ => None,
        });
    for section in custom {
        let KnownCustom::Name(names) = section.as_known() else {
            continue;
        };
        for names in names {
            let Ok(Name::Function(names)) = names else { continue };
            let mut names = names.into_iter().map(Result::unwrap);
            return Some(names.find(|naming| naming.index == place.function)?.name.to_owned());
        }
    }
    None
}

#[test]
fn a_dump_is_the_process_as_it_was() {
    let folder = Folder::new();
    let ran = folder.run(&[], &["a_clerk"]).code(0);
    let file = folder.only();
    assert!(
        ran.stderr.contains(&format!("core dump: {}\n", file.display())),
        "{ran}"
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder.path()), mode(&file)), (0o700, 0o600));

    let bytes = fs::read(&file).unwrap();
    wasmparser::validate(&bytes).expect("it is a valid module");
    let core = Core::read(&bytes).unwrap();
    // Functions are those of the file that the user has.
    let module = guests::bytes("crashing", Profile::Debug);
    let names: Vec<_> = core.frames.iter().filter_map(|frame| name_of(&module, frame)).collect();
    let at = |part: &str| names.iter().position(|name| name.contains(part));
    assert!(at("rust_panic").unwrap() < at("file_away").unwrap(), "{names:?}");
    assert_eq!(names.len(), core.frames.len(), "{names:?}");
    assert!(core.frames.iter().any(|frame| frame.offset > 0), "{:?}", core.frames);
    // The memory is that of the panic, not of what came after.
    let address = u64::from_str_radix(ran.stdout.trim().trim_start_matches("0x"), 16).unwrap();
    let secret = b"the password is swordfish";
    assert_eq!(core.bytes(address..address + secret.len() as u64).unwrap(), secret);
    assert!(core.written().0 < 2 << 20, "{:?}", core.written());

    let shown = show(&file, &["--address", ran.stdout.trim(), "--len", "25"]);
    assert!(shown.contains("the password is "), "{shown}");
}

#[test]
fn a_dump_says_whom_the_process_knew_and_what_it_might_do() {
    let folder = Folder::new();
    folder
        .run(&["--env", "SHOP=open", "--max-memory", "32M"], &["a_clerk"])
        .code(0);
    let json: serde_json::Value = serde_json::from_str(&show(&folder.only(), &["--json"])).unwrap();
    let is = |key: &str, value: serde_json::Value| assert_eq!(json[key], value, "{key}: {json}");
    is("names", serde_json::json!(["clerk"]));
    is("parent", "#1".into());
    is("monitored_by", serde_json::json!(["#1"]));
    is("reason", "panicked: the order is wrong".into());
    is("mailbox_len", 3.into());
    let entry = &json["mailbox"][2];
    assert_eq!(
        (entry["kind"].as_str(), entry["len"].as_u64().is_some()),
        (Some("message"), true),
        "{json}"
    );
    let rights = &json["rights"];
    assert_eq!(rights["max_memory"], 32 << 20);
    assert_eq!(
        (&rights["env"], &rights["dirs"]),
        (&serde_json::json!(["SHOP"]), &serde_json::json!([]))
    );
    assert!(rights["may"].as_array().unwrap().contains(&"spawn".into()), "{json}");

    let shown = show(&folder.only(), &[]);
    for text in [
        "panicked: the order is wrong",
        "file_away",
        "crashing.rs:",
        "monitored by   #1",
        "SHOP",
        "3 entries",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(!shown.contains("open\n"), "a value of a variable is shown: {shown}");
}

#[test]
fn whatever_is_reported_is_dumped_and_nothing_else() {
    for (scenario, code) in [("main_fails", 101), ("an_error", 0)] {
        let folder = Folder::new();
        folder.run(&[], &[scenario]).code(code);
        let file = folder.only();
        assert!(show(&file, &[]).contains("traps exits"), "{scenario}");
    }
    let folder = Folder::new();
    let guest = guests::path("endings", Profile::Debug);
    folder
        .run_file(&[], guest, &["ends_that_are_no_failures_are_not_reported"])
        .code(0);
    folder.run_file(&[], guest, &["a_kill_is_137"]).code(137);
    assert_eq!(folder.files(), Vec::<PathBuf>::new());
}

#[test]
fn a_storm_leaves_the_first_dumps_of_its_run_and_says_how_many_it_has_not() {
    let folder = Folder::new();
    let storm = || folder.run(&["--dump-limit", "3"], &["a_storm", "2000"]).code(0);
    let first = storm();
    let files = folder.files();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(
        first.stderr.contains("note: 1997 crashes have no core dump in "),
        "{first}"
    );
    let core = |file: &PathBuf| serde_json::from_str::<serde_json::Value>(&show(file, &["--json"])).unwrap();
    assert_eq!(core(&files[0])["crashes_left_out"], 0);
    // A further run takes the place of the first.
    fs::write(folder.path().join("notes.txt"), "not a dump").unwrap();
    storm();
    let later = folder.files();
    assert_eq!(later.len(), 4, "{later:?}");
    assert!(files.iter().all(|file| !later.contains(file)), "{later:?}");
}

#[test]
fn taking_a_dump_away_makes_room_for_another_of_the_same_run() {
    let host = Host::with(|builder| builder.workers(1));
    let program = host
        .program(&guests::bytes("crashing", Profile::Debug))
        .args(["main_fails"])
        .quiet();
    let folder = Folder::new();
    let config = DumpConfig {
        limit: 1,
        ..DumpConfig::new(folder.path())
    };
    let dumps = Dumps::open(config).unwrap();
    let fail = || {
        program.clone().dumps(dumps.clone()).run();
        dumps.finish()
    };
    assert_eq!((fail(), fail()), (0, 1));
    let first = folder.only();
    fs::remove_file(&first).unwrap();
    let start = Instant::now();
    while folder.files().is_empty() {
        assert!(start.elapsed() < PATIENCE, "nobody looks again");
        fail();
    }
    assert_ne!(folder.only(), first);
}

#[test]
fn what_may_be_secret_can_be_left_out() {
    let has = |file: &Path, text: &[u8]| fs::read(file).unwrap().windows(text.len()).any(|part| part == text);
    let (all, none) = (Folder::new(), Folder::new());
    all.run(&[], &["a_clerk"]).code(0);
    none.run(&["--dump-without", "memory,messages"], &["a_clerk"]).code(0);
    // What the messages say stands there in digits.
    let message = b"7076696c65676572".to_ascii_lowercase();
    let message = &message[..8];
    let (all, none) = (all.only(), none.only());
    assert!(has(&all, b"swordfish") && has(&all, message));
    assert!(!has(&none, b"swordfish") && !has(&none, message));
    let shown = show(&none, &[]);
    assert!(
        shown.contains("left out       memory, messages") && shown.contains("file_away"),
        "{shown}"
    );
}

/// A memory of a gibibyte, of which three pages are touched.
const SPARSE: &str = r#"(module
    (memory (export "memory") 16384)
    (func (export "_start")
        (i32.store (i32.const 0x10) (i32.const 1))
        (i32.store (i32.const 0x20000000) (i32.const 2))
        (i32.store (i32.const 0x3ffffff0) (i32.const 3))
        (unreachable)))"#;

#[test]
fn only_pages_with_data_are_written() {
    let folder = Folder::new();
    let module = folder.0.path().join("sparse.wat");
    fs::write(&module, SPARSE).unwrap();
    folder.run_file(&[], &module, &[]).code(134);
    let bytes = fs::read(folder.only()).unwrap();
    let core = Core::read(&bytes).unwrap();
    assert!(bytes.len() < 64 << 10, "{} bytes", bytes.len());
    assert_eq!((core.memory_len, core.written().1), (1 << 30, 3));
    let word = |address: u64| core.bytes(address..address + 4).unwrap();
    assert_eq!(
        [0x10, 0x2000_0000, 0x3fff_fff0, 0x8000].map(word).concat(),
        [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]
    );
}

#[test]
fn dumps_take_no_more_room_than_they_may() {
    let folder = Folder::new();
    let len = (8 << 20).to_string();
    let ran = folder.run(&["--dump-bytes", "4M"], &["a_large_memory", &len]).code(0);
    let bytes = fs::read(folder.only()).unwrap();
    assert!(
        bytes.len() <= 4 << 20 && bytes.len() > 3 << 20,
        "{} bytes: {ran}",
        bytes.len()
    );
    let core = Core::read(&bytes).unwrap();
    assert!(core.about.memory_missing > 4 << 20, "{core}");
    assert!(core.to_string().contains("had no room"), "{core}");
}

#[test]
fn what_is_no_dump_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    for (bytes, why) in [
        (&b"MZ"[..], "not a core dump"),
        (b"\0asm\x01\0\0\0", "but not a core dump"),
    ] {
        fs::write(&file, bytes).unwrap();
        let refused = lunatic(["dump", "show", file.to_str().unwrap()]).run().code(1);
        assert!(refused.stderr.contains(why), "{refused}");
    }
    let guest = guests::path("crashing", Profile::Debug).to_str().unwrap();
    lunatic(["run", "--dump-limit", "3", guest]).run().code(2);
    let refused = lunatic(["run", "--dump-dir", "/dev/null", guest]).run().code(1);
    assert!(refused.stderr.contains("--dump-dir"), "{refused}");
}

#[test]
fn a_process_that_waits_is_dumped_and_goes_on() {
    // Also one that is frozen, which is thawed for it and frozen again.
    for flags in [&[][..], &["--max-resident", "0"]] {
        let program = program_with(flags, &["a_tree"]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("process.wasm");
        let dump = || program.ask(&["dump", "3", "--output", file.to_str().unwrap()]);
        dump().code(0);
        let refused = dump().code(1);
        assert!(
            refused.stderr.contains("could not write"),
            "it is there already: {refused}"
        );
        let bytes = fs::read(&file).unwrap();
        wasmparser::validate(&bytes).expect("it is a valid module");
        let core = Core::read(&bytes).unwrap();
        assert_eq!(
            (&*core.about.waits_for, &*core.about.links),
            ("waits for mail", &["#2".to_owned()][..])
        );
        // Its name is on its heap.
        assert!(bytes.windows(5).any(|part| part == b"first"));
        let gone = program.ask(&["dump", "77"]).code(1);
        assert!(gone.stderr.contains("there is no such process"), "{gone}");
        program.ask(&["exit", "3"]).code(0);
        program.ask(&["stop"]).code(0);
        let (code, stdout, stderr) = program.end();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.contains("first "), "it has heard of the exit: {stdout}");
    }
}

/// The same storm with and without dumps: those who get none cost next to nothing.
#[test]
fn a_storm_is_not_slower_for_its_dumps() {
    let host = Host::with(|builder| builder);
    let program = host.program(&guests::bytes("crashing", Profile::Debug));
    let storm = |dumps| {
        let program = program.clone().args(["a_storm", "20000"]).quiet();
        let program = match dumps {
            Some(dumps) => program.dumps(dumps),
            None => program,
        };
        Duration::from_millis(program.run().normal().stdout.trim().parse().unwrap())
    };
    let folder = tempfile::tempdir().unwrap();
    let dumps = Dumps::open(DumpConfig::new(folder.path())).unwrap();
    storm(None);
    let without = storm(None).max(Duration::from_millis(100));
    let with = storm(Some(dumps.clone()));
    assert!(with < 3 * without, "{with:?}, and {without:?} without dumps");
    assert_eq!(
        dumps.finish() + fs::read_dir(folder.path()).unwrap().count() as u64,
        20_000
    );
}
