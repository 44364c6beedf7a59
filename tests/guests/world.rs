//! Ordinary programs of Rust's std: arguments, environment, standard streams, files, clocks, random numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime};

use lunatic::{Channel, ExitReason, Process, ProcessConfig};

lunatic_test_guests::scenarios![
    arguments_are_those_that_were_given,
    the_environment_is_what_was_given,
    children_see_arguments_and_environment,
    standard_input_is_read_to_its_end,
    standard_input_belongs_to_the_main_process,
    reading_input_blocks_nobody_else,
    opening_a_pipe_blocks_nobody_else,
    pipes_that_hang_leave_others_their_files,
    operations_on_files_are_charged,
    a_folder_is_listed_while_it_changes,
    large_folders_are_listed_as_fast_as_small_ones,
    files_under_a_folder_can_be_used,
    large_files_are_read_and_written_whole,
    files_elsewhere_cannot_be_used,
    a_folder_can_be_read_only,
    many_processes_use_files_at_once,
    clocks_go_forward,
    random_numbers_differ,
    lines_of_many_processes_never_tear,
    unfinished_lines_come_out_at_the_end,
    main_returns_the_error_of_a_file,
    a_handled_error_of_a_file,
];

fn arguments_are_those_that_were_given() {
    for argument in std::env::args() {
        println!("<{argument}>");
    }
}

fn the_environment_is_what_was_given() {
    let mut all: Vec<_> = std::env::vars().collect();
    all.sort();
    for (name, value) in all {
        println!("{name}=<{value}>");
    }
}

fn children_see_arguments_and_environment() {
    let told = Channel::new(0);
    Process::spawn(move || told.send((std::env::args().collect::<Vec<_>>(), std::env::var("COLOUR").ok()))).unwrap();
    assert_eq!(told.receive(), (std::env::args().collect(), Some("green".to_owned())));
}

fn standard_input_is_read_to_its_end() {
    let mut first = String::new();
    io::stdin().read_line(&mut first).unwrap();
    println!("first: {}", first.trim_end());
    let mut sum = 0;
    for line in io::stdin().lock().lines() {
        sum += line.unwrap().parse::<u64>().unwrap();
    }
    println!("sum: {sum}");
}

fn standard_input_belongs_to_the_main_process() {
    let told = Channel::new(0);
    Process::spawn(move || {
        let mut text = String::new();
        told.send(io::stdin().read_to_string(&mut text).map_err(|error| error.to_string()));
    })
    .unwrap();
    assert_eq!(told.receive(), Ok(0));
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).unwrap();
    assert_eq!(text, "for main only");
}

/// Has others work with each other, and say so, while the main process waits in `waits`.
fn others_work_while(waits: impl FnOnce()) {
    let (numbers, squares) = (Channel::<u64>::new(0), Channel::<u64>::new(0));
    Process::spawn(move || {
        loop {
            let number = numbers.receive();
            squares.send(number * number);
        }
    })
    .unwrap();
    Process::spawn(move || {
        let own = Channel::new(0);
        let asker = Process::spawn(move || {
            for number in 0..1000 {
                numbers.send(number);
            }
            own.send(());
        });
        own.receive();
        assert_eq!(asker.unwrap().join(), ExitReason::Normal);
        // The channel `squares` is the main process's, which waits; it takes any number of messages.
        println!("the others work");
    })
    .unwrap();
    waits();
    (0..1000).for_each(|number| assert_eq!(squares.receive(), number * number));
}

fn reading_input_blocks_nobody_else() {
    others_work_while(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).unwrap();
        println!("and then came {line}");
    });
}

/// To open a pipe that has a name waits until somebody opens its other end.
fn opening_a_pipe_blocks_nobody_else() {
    others_work_while(|| {
        fs::File::open("/data/pipe").unwrap();
        println!("and then it was open");
    });
}

/// More than there are threads that may block.
const HANGING: usize = 600;

/// Spawns processes in a group of their own that wait for somebody to open the other end of a pipe. All begin to.
fn hang(processes: usize) -> Process {
    let all = Channel::<()>::new(0);
    let root = Process::builder().config(&ProcessConfig::inherit()).spawn(move || {
        for _ in 0..processes {
            let opens = move || {
                all.send(());
                let _ = fs::File::open("/data/pipe");
            };
            Process::spawn_link(opens).unwrap();
        }
        lunatic::sleep(Duration::MAX);
    });
    (0..processes).for_each(|_| all.receive());
    root.unwrap()
}

fn pipes_that_hang_leave_others_their_files() {
    let read = || assert_eq!(fs::read_to_string("/data/given.txt").unwrap(), "from outside");
    let first = hang(HANGING);
    (0..100).for_each(|_| read());
    // Those that are killed keep what hangs, so that more of them get no more.
    first.kill();
    first.join();
    for _ in 0..10 {
        let more = hang(HANGING / 10);
        read();
        more.kill();
        more.join();
    }
    (0..100).for_each(|_| read());
    // When it hangs no more, all is as before: for one that is like them, too.
    drop(fs::OpenOptions::new().write(true).open("/data/pipe").unwrap());
    let like_them = Process::builder().config(&ProcessConfig::inherit()).spawn(move || {
        let readers: Vec<_> = (0..100).map(|_| Process::spawn(read).unwrap()).collect();
        for reader in readers {
            assert_eq!(reader.join(), ExitReason::Normal);
        }
    });
    assert_eq!(like_them.unwrap().join(), ExitReason::Normal);
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn fd_readdir(folder: i32, to: *mut u8, len: usize, cookie: u64, out: *mut usize) -> i32;
}

fn operations_on_files_are_charged() {
    /// Lists the first entries of a folder, so many times, and looks at none.
    fn list(folder: &str, times: usize) {
        let folder = fs::File::open(folder).unwrap();
        let (mut entries, mut len) = (vec![0; 64 << 10], 0);
        for _ in 0..times {
            // SAFETY: the memory is there, and as long as is said.
            let code = unsafe { fd_readdir(folder.as_raw_fd(), entries.as_mut_ptr(), entries.len(), 0, &mut len) };
            assert_eq!(code, 0);
        }
    }
    fn used(folder: &str) -> Duration {
        let so_far = || lunatic::this_process().usage().unwrap().cpu;
        let before = so_far();
        list(folder, 200);
        so_far() - before
    }
    // The guest has as much to do for both, and the host hardly more: it is the thread that lists a thousand files each time.
    let measured = ProcessConfig::inherit().measured();
    let compares = Process::builder().config(&measured).spawn(|| {
        let (empty, full) = (used("/data/small"), used("/data/large"));
        assert!(full > empty * 3, "{empty:?}, {full:?}");
    });
    assert_eq!(compares.unwrap().join(), ExitReason::Normal);
    let limited = ProcessConfig::inherit().cpu_time(Duration::from_millis(100));
    let lists = Process::builder()
        .config(&limited)
        .spawn(|| list("/data/large", usize::MAX));
    assert_eq!(lists.unwrap().join(), ExitReason::OutOfBudget);
}

fn a_folder_is_listed_while_it_changes() {
    const FILES: usize = 3000;
    fs::create_dir("/data/many").unwrap();
    for number in 0..FILES {
        fs::write(format!("/data/many/file number {number}"), "").unwrap();
    }
    fs::create_dir("/data/many/folder").unwrap();
    let kinds: BTreeMap<_, _> = fs::read_dir("/data/many")
        .unwrap()
        .map(Result::unwrap)
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                entry.file_type().unwrap().is_dir(),
            )
        })
        .collect();
    assert_eq!(kinds.len(), FILES + 1);
    assert!(kinds.iter().all(|(name, is_dir)| *is_dir == (name == "folder")));
    assert!(kinds.contains_key("file number 0") && kinds.contains_key("file number 2999"));
    // What is removed moves nothing that is still to come.
    for entry in fs::read_dir("/data/many").unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => fs::remove_dir(entry.path()).unwrap(),
            false => fs::remove_file(entry.path()).unwrap(),
        }
    }
    assert_eq!(fs::read_dir("/data/many").unwrap().count(), 0);
    // A folder that was listed and closed can be opened again as the same number, and is another.
    fs::remove_dir("/data/many").unwrap();
    assert_eq!(fs::read_dir("/data").unwrap().count(), 1);
    assert!(fs::read_dir("/data/given.txt").is_err());
}

fn large_folders_are_listed_as_fast_as_small_ones() {
    let list = |folder, files| {
        let time = || {
            let start = Instant::now();
            assert_eq!(fs::read_dir(folder).unwrap().count(), files);
            start.elapsed()
        };
        (0..3).map(|_| time()).min().unwrap()
    };
    let (small, large) = (list("/data/small", 1000), list("/data/large", 20_000));
    // Twenty times as much; four hundred times, if all were read for each part.
    assert!(large < small * 100, "{small:?}, {large:?}");
}

fn files_under_a_folder_can_be_used() {
    fs::write("/data/new.txt", "one\ntwo\n").unwrap();
    let mut file = fs::OpenOptions::new().append(true).open("/data/new.txt").unwrap();
    file.write_all(b"three\n").unwrap();
    drop(file);
    assert_eq!(fs::read_to_string("/data/new.txt").unwrap(), "one\ntwo\nthree\n");
    let mut file = fs::File::open("/data/new.txt").unwrap();
    file.seek(SeekFrom::Start(4)).unwrap();
    let mut line = String::new();
    io::BufReader::new(file).read_line(&mut line).unwrap();
    assert_eq!(line, "two\n");
    assert_eq!(fs::metadata("/data/new.txt").unwrap().len(), 14);

    assert_eq!(fs::read_to_string("/data/given.txt").unwrap(), "from outside");
    fs::create_dir_all("/data/a/b").unwrap();
    fs::write("/data/a/b/c", "").unwrap();
    fs::rename("/data/a/b/c", "/data/a/d").unwrap();
    fs::remove_dir("/data/a/b").unwrap();
    let names: BTreeSet<_> = fs::read_dir("/data")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["a", "given.txt", "new.txt"].map(str::to_owned).into());
    fs::remove_dir_all("/data/a").unwrap();
    assert_eq!(fs::metadata("/data/a").unwrap_err().kind(), io::ErrorKind::NotFound);
}

/// One call reads or writes a megabyte at most; std goes on with the rest.
fn large_files_are_read_and_written_whole() {
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|at| (at * 31 % 251) as u8).collect();
    fs::write("/data/large", &bytes).unwrap();
    assert!(fs::read("/data/large").unwrap() == bytes);
    let mut file = fs::File::options().read(true).write(true).open("/data/large").unwrap();
    assert_eq!(file.write(&bytes[1..]).unwrap(), 1 << 20);
    let mut part = vec![0; 3_000_000];
    assert_eq!(file.read(&mut part).unwrap(), 1 << 20);
    assert!(
        part[..1 << 20] == bytes[1 << 20..2 << 20],
        "the next megabyte is as it was"
    );
    file.rewind().unwrap();
    file.read_exact(&mut part).unwrap();
    assert!(part[..1 << 20] == bytes[1..=1 << 20]);
    assert!(part[1 << 20..] == bytes[1 << 20..3_000_000]);
    fs::remove_file("/data/large").unwrap();
}

fn files_elsewhere_cannot_be_used() {
    for path in [
        "/etc/passwd",
        "/data/../secret.txt",
        "/data/link",
        "../secret.txt",
        "/",
        "/proc/self/maps",
        "secret.txt",
    ] {
        assert!(fs::read(path).is_err(), "{path}");
        assert!(fs::write(path, "overwritten").is_err(), "{path}");
    }
    assert!(fs::read_dir("/data/..").is_err());
    assert!(fs::create_dir("/data/../new").is_err());
    assert!(fs::rename("/data/given.txt", "/data/../given.txt").is_err());
}

fn a_folder_can_be_read_only() {
    assert_eq!(fs::read_to_string("/data/given.txt").unwrap(), "from outside");
    assert!(fs::write("/data/given.txt", "changed").is_err());
    assert!(fs::write("/data/new.txt", "new").is_err());
    assert!(fs::remove_file("/data/given.txt").is_err());
    assert!(fs::create_dir("/data/folder").is_err());
    assert_eq!(fs::read_to_string("/data/given.txt").unwrap(), "from outside");
}

fn many_processes_use_files_at_once() {
    let processes: Vec<Process> = (0..100)
        .map(|number| {
            let process = Process::spawn(move || {
                let path = format!("/data/{number}");
                let text = format!("{number} ").repeat(1000);
                fs::write(&path, &text).unwrap();
                assert!(fs::read_to_string(&path).unwrap() == text);
            });
            process.unwrap()
        })
        .collect();
    for process in processes {
        assert_eq!(process.join(), ExitReason::Normal);
    }
    assert_eq!(fs::read_dir("/data").unwrap().count(), 101);
}

fn clocks_go_forward() {
    let (instant, time) = (Instant::now(), SystemTime::now());
    assert!(time.duration_since(SystemTime::UNIX_EPOCH).unwrap() > Duration::from_secs(1_700_000_000));
    // Both go on while nobody but this process does anything. If one does not, the test does not end.
    while instant.elapsed() < Duration::from_millis(5) || time.elapsed().unwrap_or_default() < Duration::from_millis(5)
    {
    }
}

/// The keys of std's hash maps are random, in each process anew.
fn random_numbers_differ() {
    use std::hash::{BuildHasher, RandomState};
    let told = Channel::new(0);
    for _ in 0..100 {
        Process::spawn(move || {
            let map = HashMap::<u32, u32>::new();
            told.send((map.hasher().hash_one(1), RandomState::new().hash_one(1)));
        })
        .unwrap();
    }
    let all: BTreeSet<u64> = (0..100).map(|_| told.receive().0).collect();
    assert_eq!(all.len(), 100);
}

fn lines_of_many_processes_never_tear() {
    let processes: Vec<Process> = (0..100)
        .map(|number| {
            let process = Process::spawn(move || {
                for line in 0..100 {
                    println!("process {number} wrote line {line} with {}", "x".repeat(line));
                    // In one piece: std passes on what `eprintln!` is given piece by piece, and who takes too long between
                    // two of them loses the line.
                    let error = format!("process {number} wrote error {line} with {}\n", "y".repeat(line));
                    io::stderr().write_all(error.as_bytes()).unwrap();
                }
            });
            process.unwrap()
        })
        .collect();
    processes
        .iter()
        .for_each(|process| assert_eq!(process.join(), ExitReason::Normal));
}

fn unfinished_lines_come_out_at_the_end() {
    for number in 0..10 {
        let process = Process::spawn(move || print!("end {number}"));
        assert_eq!(process.unwrap().join(), ExitReason::Normal);
        println!();
    }
    print!("last");
}

/// Ends as a `main` does that returns an error.
fn fail(error: impl std::fmt::Debug, code: i32) -> ! {
    eprintln!("Error: {error:?}");
    std::process::exit(code)
}

fn main_returns_the_error_of_a_file() {
    let path = if fs::metadata("/in").is_ok() {
        "/in/no/such/file"
    } else {
        "data.txt"
    };
    fail(fs::read(path).unwrap_err(), 1)
}

fn a_handled_error_of_a_file() {
    assert!(fs::read("data.txt").is_err());
    eprintln!("Error: something else");
    std::process::exit(3)
}
