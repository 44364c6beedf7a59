//! What programs of WASI 0.2 do: those of Rust's std, and sockets, pollables and handles by their own names. The first
//! argument names the scenario to run; the test makes a component of this program.

mod handles;
mod network;
#[expect(dead_code, reason = "the handler uses the rest")]
mod requests;

use std::fs;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant, SystemTime};

fn main() {
    let scenarios: &[(&str, fn())] = &[
        ("arguments_and_variables", arguments_and_variables),
        ("input", input),
        ("output_of_many_lines", output_of_many_lines),
        ("exits", exits),
        ("panics", panics),
        ("recurses", recurses),
        ("spins", spins),
        ("fills", fills),
        ("sleeps", sleeps),
        ("clocks", clocks),
        ("allocates", allocates),
        ("files", files),
        ("listing", listing),
        ("files_elsewhere", files_elsewhere),
        ("read_only", read_only),
        ("opens_many", opens_many),
        ("reads_a_pipe", reads_a_pipe),
        ("random", handles::random),
        ("random_too_much", handles::random_too_much),
        ("polls", handles::polls),
        ("floods_pollables", handles::floods_pollables),
        ("floods_streams", handles::floods_streams),
        ("drops_streams", handles::drops_streams),
        ("floods_listings", handles::floods_listings),
        ("floods_output", handles::floods_output),
        ("floods_output_by_handles", handles::floods_output_by_handles),
        ("drops_in_disorder", handles::drops_in_disorder),
        ("long_paths", handles::long_paths),
        ("writes_too_much", handles::writes_too_much),
        ("talks", network::talks),
        ("connects", network::connects),
        ("binds", network::binds),
        ("looks_up", network::looks_up),
        ("floods_sockets", network::floods_sockets),
        ("datagrams", network::datagrams),
        ("floods_datagrams", network::floods_datagrams),
        ("fetches", || print!("{}", requests::fetch(&argument(1)))),
        ("listens_in_vain", network::listens_in_vain),
        ("accepts_nobody", network::accepts_nobody),
    ];
    let name = std::env::args().nth(1).unwrap_or_default();
    if name == "--list" {
        return scenarios.iter().for_each(|(name, _)| println!("{name}"));
    }
    match scenarios.iter().find(|(known, _)| *known == name) {
        Some((_, scenario)) => scenario(),
        None => panic!("there is no scenario {name:?}"),
    }
}

fn argument(number: usize) -> String {
    std::env::args().nth(number + 1).expect("the test gives an argument")
}

fn arguments_and_variables() {
    for argument in std::env::args() {
        println!("<{argument}>");
    }
    let mut all: Vec<_> = std::env::vars().collect();
    all.sort();
    for (name, value) in all {
        println!("{name}=<{value}>");
    }
}

fn input() {
    let mut first = String::new();
    io::stdin().read_line(&mut first).unwrap();
    println!("first: {}", first.trim_end());
    let lines = io::stdin().lock().lines().map(Result::unwrap).count();
    println!("and {lines} more");
}

fn output_of_many_lines() {
    for line in 0..2000 {
        println!("line {line} {}", "x".repeat(line % 97));
    }
    eprintln!("on standard error");
    print!("unfinished");
}

fn exits() {
    std::process::exit(argument(1).parse().unwrap());
}

fn panics() {
    panic!("on purpose");
}

#[expect(unconditional_recursion, reason = "the stack must end")]
fn recurses() {
    let room = std::hint::black_box([0_u8; 1000]);
    recurses();
    println!("{}", room[0]);
}

fn spins() {
    println!("spins");
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
    }
}

/// Fills and copies memory in instructions of a few hundred megabytes.
fn fills() {
    println!("fills");
    let mut bytes = vec![1_u8; 256 << 20];
    let half = bytes.len() / 2;
    loop {
        bytes.copy_within(..half, half);
        bytes.fill(std::hint::black_box(3));
    }
}

fn sleeps() {
    println!("sleeps");
    std::thread::sleep(Duration::from_millis(argument(1).parse().unwrap()));
    println!("awake");
}

fn clocks() {
    let (start, wall) = (Instant::now(), SystemTime::now());
    std::thread::sleep(Duration::from_millis(5));
    assert!(start.elapsed() >= Duration::from_millis(5));
    assert!(SystemTime::now() >= wall);
    let year = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / (365 * 24 * 3600);
    assert!(year > 50, "{year}");
}

fn allocates() {
    let megabytes: usize = argument(1).parse().unwrap();
    let mut all = Vec::new();
    for _ in 0..megabytes {
        all.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
    println!("{}", all.len());
}

fn files() {
    let path = "/data/one.txt";
    fs::write(path, "one\ntwo\n").unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), "one\ntwo\n");
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(b"three\n").unwrap();
    drop(file);
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(4)).unwrap();
    let mut word = [0; 3];
    file.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"two");
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(b"ONE").unwrap();
    file.sync_all().unwrap();
    file.set_len(7).unwrap();
    drop(file);
    assert_eq!(fs::read_to_string(path).unwrap(), "ONE\ntwo");
    assert_eq!(fs::metadata(path).unwrap().len(), 7);
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    fs::write("/data/large", &large).unwrap();
    assert_eq!(fs::read("/data/large").unwrap(), large);
    fs::create_dir("/data/folder").unwrap();
    fs::rename(path, "/data/folder/two.txt").unwrap();
    fs::hard_link("/data/folder/two.txt", "/data/another name").unwrap();
    fs::remove_file("/data/another name").unwrap();
    let error = fs::read("/data/missing").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(fs::remove_dir("/data/folder").is_err(), "it is not empty");
    fs::remove_file("/data/folder/two.txt").unwrap();
    fs::remove_dir("/data/folder").unwrap();
    println!("done");
}

fn listing() {
    let mut names: Vec<_> = fs::read_dir("/data")
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    println!("{}", names.len());
    println!("{}", names[0].display());
}

fn files_elsewhere() {
    for path in ["/etc/passwd", "/data/../secret", "/data/link-outside"] {
        let error = fs::read(path).unwrap_err();
        println!("{path}: {:?}", error.kind());
    }
    // The reason for the report of the failure.
    fs::read("/etc/passwd").unwrap();
}

fn read_only() {
    assert_eq!(fs::read_to_string("/data/given").unwrap(), "given");
    assert!(fs::write("/data/given", "changed").is_err());
    assert!(fs::write("/data/new", "new").is_err());
    assert!(fs::remove_file("/data/given").is_err());
    assert!(fs::create_dir("/data/folder").is_err());
}

fn opens_many() {
    let open = || fs::File::open("/data/given");
    let mut files = Vec::new();
    let error = loop {
        match open() {
            Ok(file) => files.push(file),
            Err(error) => break error,
        }
    };
    println!("{} files, then {error:?}", files.len());
    let count = files.len();
    // Those that are closed make room for others at once.
    files.clear();
    let again: Vec<_> = (0..count).map(|_| open().unwrap()).collect();
    println!("and {} again", again.len());
}

/// Opening it waits for somebody who writes.
fn reads_a_pipe() {
    println!("opens");
    println!("{:?}", fs::read_to_string("/data/pipe"));
}
