//! What processes with a configuration may do.

use std::fs;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant, SystemTime};

use lunatic::process::SpawnError;
use lunatic::registry::{self, RegisterError};
use lunatic::rights::{self, Right, Usage};
use lunatic::{Address, Channel, ExitReason, Process, ProcessConfig, this_process, timer};
use serde::Serialize;
use serde::de::DeserializeOwned;

lunatic_test_guests::scenarios![
    a_configured_child_has_nothing,
    a_child_that_inherits_has_everything,
    folders_are_narrowed,
    folders_outside_are_denied,
    environment_and_arguments,
    standard_input_can_be_given_away,
    output_can_be_discarded,
    clocks_and_random_numbers_can_be_fixed,
    network_rules_are_narrowed,
    rights_cannot_be_won_back,
    bad_configurations,
    names_can_be_denied,
    memory_of_a_subtree,
    processes_of_a_subtree,
    time_of_a_subtree,
    timers_use_up_the_budget_of_a_child_that_sleeps,
    the_share_of_a_core,
    the_share_of_a_core_is_for_timers_too,
    a_spawn_bomb_leaves_others_alone,
    use_is_told,
    open_files_are_limited,
    many_children_with_one_configuration,
    denials,
    escapes,
    output_can_be_captured,
    modules_can_be_compiled_and_denied,
];

/// What `ask` finds in a child with the configuration.
fn in_child<T: Serialize + DeserializeOwned + 'static>(config: &ProcessConfig, ask: fn() -> T) -> T {
    let told = Channel::<T>::new(0);
    let child = Process::builder()
        .config(config)
        .spawn(move || told.send(ask()))
        .unwrap();
    assert_eq!(child.join(), ExitReason::Normal);
    told.receive()
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| error.to_string())
}

fn a_configured_child_has_nothing() {
    assert_eq!(read("/data/given.txt").unwrap(), "from outside");
    assert_eq!(std::env::var("COLOUR").as_deref(), Ok("green"));
    let config = ProcessConfig::new();
    assert!(in_child(&config, || read("/data/given.txt")).is_err());
    assert_eq!(
        in_child(&config, || (std::env::args().count(), std::env::vars().count())),
        (0, 0)
    );
    let may = in_child(&config, || {
        [
            rights::may(Right::Spawn),
            rights::may(Right::Configure),
            rights::may(Right::Names),
            rights::may_connect("127.0.0.1", 80),
        ]
    });
    assert_eq!(may, [false; 4]);
    let spawned = in_child(&config, || matches!(Process::spawn(|| ()), Err(SpawnError::Denied(_))));
    assert!(spawned);
    in_child(&config, || println!("but it may print"));
}

fn a_child_that_inherits_has_everything() {
    let config = ProcessConfig::inherit();
    assert_eq!(in_child(&config, || read("/data/given.txt")).unwrap(), "from outside");
    assert_eq!(in_child(&config, || std::env::var("COLOUR").unwrap()), "green");
    assert!(in_child(&config, || rights::may_connect("127.0.0.1", 80)
        && rights::may(Right::Spawn)));
    let config = ProcessConfig::inherit().no_dirs().no_env().no_net().deny(Right::Spawn);
    assert!(in_child(&config, || read("/data/given.txt")).is_err());
    assert_eq!(in_child(&config, || std::env::vars().count()), 0);
    assert!(!in_child(&config, || rights::may_connect("127.0.0.1", 80)
        || rights::may(Right::Spawn)));
}

fn folders_are_narrowed() {
    fs::create_dir_all("/data/inner/deep").unwrap();
    fs::write("/data/inner/deep/x", "deep").unwrap();
    let write = || fs::write("/in/new", "new").map_err(|error| error.to_string());
    let config = ProcessConfig::new().dir("/data/inner", "/in");
    assert_eq!(in_child(&config, || read("/in/deep/x")).unwrap(), "deep");
    assert_eq!(in_child(&config, write), Ok(()));
    assert!(in_child(&config, || read("/in/../given.txt")).is_err());
    assert!(in_child(&config, || read("/data/given.txt")).is_err());
    let config = ProcessConfig::new()
        .dir_read_only("/data/inner", "/in")
        .allow(Right::Spawn)
        .allow(Right::Configure);
    assert_eq!(in_child(&config, || read("/in/deep/x")).unwrap(), "deep");
    assert!(in_child(&config, write).is_err());
    // What is read only stays so for the child's child, whatever that is given.
    assert!(in_child(&config, || {
        let config = ProcessConfig::new().dir("/in", "/in");
        in_child(&config, || {
            fs::write("/in/deep/x", "changed").is_err() && read("/in/deep/x").unwrap() == "deep"
        })
    }));
    fs::remove_dir_all("/data/inner").unwrap();
}

fn folders_outside_are_denied() {
    for path in [
        "/",
        "/data/..",
        "/data/link",
        "/etc",
        "/data/missing",
        "/data/given.txt",
    ] {
        let config = ProcessConfig::new().dir(path, "/x");
        match Process::builder().config(&config).spawn(|| ()) {
            Err(SpawnError::Denied(why)) => assert!(why.contains(path), "{why}"),
            other => panic!("{path}: {other:?}"),
        }
    }
}

fn environment_and_arguments() {
    let config = ProcessConfig::new()
        .env("SHAPE", "round=1")
        .pass_env("COLOUR")
        .pass_env("MISSING")
        .arg("me")
        .arg("");
    let (mut vars, args) = in_child(&config, || {
        (
            std::env::vars().collect::<Vec<_>>(),
            std::env::args().collect::<Vec<_>>(),
        )
    });
    vars.sort();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(vars, [pair("COLOUR", "green"), pair("SHAPE", "round=1")]);
    assert_eq!(args, ["me", ""]);
}

fn standard_input_can_be_given_away() {
    let all = || {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).unwrap();
        text
    };
    assert_eq!(in_child(&ProcessConfig::new(), all), "");
    assert_eq!(in_child(&ProcessConfig::new().stdin(), all), "for the child");
    // One that has no input cannot give it away.
    let config = ProcessConfig::new().allow(Right::Spawn).allow(Right::Configure);
    assert_eq!(
        in_child(&config, || in_child(&ProcessConfig::new().stdin(), || {
            io::read_to_string(io::stdin()).unwrap()
        })),
        ""
    );
}

fn output_can_be_discarded() {
    let config = ProcessConfig::new().discard_stdout();
    in_child(&config, || {
        println!("not seen");
        io::stdout().flush().unwrap();
        eprintln!("seen on error");
    });
    println!("seen");
}

fn clocks_and_random_numbers_can_be_fixed() {
    let look = || {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64;
        let start = Instant::now();
        let passed = start.elapsed().as_nanos() as u64;
        use std::hash::{BuildHasher, Hasher};
        let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
        (now, passed, random)
    };
    let config = ProcessConfig::new()
        .fixed_clock(Duration::from_secs(1_000))
        .random_seed(7);
    let first = in_child(&config, look);
    assert_eq!((first.0, first.1), (1_000_000_000_000, 1_000));
    assert_eq!(in_child(&config, look), first);
    let other = in_child(&config.clone().random_seed(8), look);
    assert_ne!(other.2, first.2);
    // A descendant does not get the real ones again.
    let config = config.allow(Right::Spawn).allow(Right::Configure);
    assert_eq!(
        in_child(&config, || in_child(&ProcessConfig::new(), || SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs())),
        1_000
    );
}

fn network_rules_are_narrowed() {
    let config = ProcessConfig::new()
        .allow_net("127.0.0.1:80-90")
        .allow_net("10.0.0.1")
        .allow_net("*.b.org");
    let seen = in_child(&config, || {
        [("127.0.0.1", 80), ("127.0.0.1", 91), ("10.0.0.1", 80), ("a.b.org", 1)]
            .map(|(host, port)| rights::may_connect(host, port))
    });
    // The parent has 127.0.0.0/8 and a.b.org only.
    assert_eq!(seen, [true, false, false, true]);
    assert!(in_child(&config, || rights::may_resolve("a.b.org")
        && !rights::may_resolve("c.b.org")));
    assert!(rights::may_bind("127.0.0.1", 0) && !rights::may_bind("0.0.0.0", 0));
    assert!(!in_child(&config, || rights::may_bind("127.0.0.1", 0)));
    assert!(!rights::may_connect("no host", 1) && !rights::may_resolve(""));
}

fn rights_cannot_be_won_back() {
    let config = ProcessConfig::inherit().deny(Right::Spawn);
    assert!(!in_child(&config, || rights::may(Right::Spawn)));
    let config = ProcessConfig::inherit().deny(Right::Configure);
    assert!(in_child(&config, || {
        let plain = Process::spawn(|| ()).is_ok();
        plain
            && matches!(
                Process::builder().config(&ProcessConfig::inherit()).spawn(|| ()),
                Err(SpawnError::Denied(_))
            )
    }));
    let config = ProcessConfig::new()
        .allow(Right::Spawn)
        .allow(Right::Configure)
        .max_memory(4 << 20);
    assert!(in_child(&config, || {
        let more = ProcessConfig::inherit()
            .allow(Right::Names)
            .allow_net("*")
            .max_memory(1 << 30)
            .max_files(9999);
        in_child(&more, || {
            let grows = Process::spawn(|| drop(std::hint::black_box(vec![1_u8; 5 << 20])))
                .unwrap()
                .join();
            !rights::may(Right::Names)
                && !rights::may_connect("127.0.0.1", 80)
                && matches!(grows, ExitReason::OutOfMemory(_))
        })
    }));
}

fn bad_configurations() {
    let bad = [
        ProcessConfig::new().allow_net("a b"),
        ProcessConfig::new().env("", "x"),
        ProcessConfig::new().env("A", "x\0dir=/::/"),
        ProcessConfig::new().dir("", "/x"),
        ProcessConfig::new().cpu_share(0),
        (0..10_000).fold(ProcessConfig::new(), |config, _| config.arg("0123456789")),
    ];
    for config in bad {
        let spawned = Process::builder().config(&config).spawn(|| ());
        assert!(matches!(spawned, Err(SpawnError::BadConfig(_))), "{spawned:?}");
    }
    let twice = ProcessConfig::new().dir("/data", "/x").dir("/data", "/x");
    assert!(matches!(
        Process::builder().config(&twice).spawn(|| ()),
        Err(SpawnError::Denied(_))
    ));
}

fn names_can_be_denied() {
    registry::register("main", this_process()).unwrap();
    let tries = || {
        let group = registry::Group::named("all").join(this_process()).is_err();
        (
            registry::register("me", this_process()),
            group,
            registry::lookup("main").is_some(),
        )
    };
    assert_eq!(
        in_child(&ProcessConfig::new(), tries),
        (Err(RegisterError::Denied), true, true)
    );
    assert_eq!(
        in_child(&ProcessConfig::new().allow(Right::Names), tries),
        (Ok(()), false, true)
    );
    // What was not given by it cannot be taken away by it either, except from itself.
    let room = || registry::Group::named("room");
    room().join(this_process()).unwrap();
    let main = this_process();
    let takes_away = || {
        let main = registry::lookup("main").unwrap();
        (registry::unregister("main"), registry::Group::named("room").leave(main))
    };
    assert_eq!(in_child(&ProcessConfig::new(), takes_away), (false, false));
    assert_eq!(registry::lookup("main"), Some(main));
    assert_eq!(room().members(), [main]);
    let (begin, gave_up) = (Channel::<()>::new(0), Channel::<(bool, bool)>::new(0));
    let child = Process::builder().config(&ProcessConfig::new()).spawn(move || {
        begin.receive();
        let left = registry::Group::named("room").leave(this_process());
        gave_up.send((registry::unregister("child"), left));
    });
    let child = child.unwrap();
    registry::register("child", child).unwrap();
    room().join(child).unwrap();
    begin.send(());
    assert_eq!(gave_up.receive(), (true, true));
    let config = ProcessConfig::new().allow(Right::Names);
    assert_eq!(in_child(&config, takes_away), (true, true));

    let config = ProcessConfig::new().allow(Right::Spawn);
    assert!(in_child(&config, || matches!(
        Process::builder().name("x").spawn(|| ()),
        Err(SpawnError::Denied(_))
    )));
}

/// Keeps so many MiB until it is killed.
fn hold(mib: usize) -> ! {
    let held = vec![1_u8; mib << 20];
    std::hint::black_box(&held);
    loop {
        lunatic::sleep(Duration::from_secs(3600));
    }
}

fn memory_of_a_subtree() {
    let config = ProcessConfig::inherit().tree_memory(40 << 20);
    let root = Process::builder().config(&config).trap_exit().spawn(|| {
        let (told, holds) = (Channel::<()>::new(0), Channel::<()>::new(0));
        let first = Process::spawn(move || {
            let held = vec![1_u8; 20 << 20];
            told.send(());
            holds.receive();
            drop(std::hint::black_box(held));
        })
        .unwrap();
        told.receive();
        // The second would fit alone, and not beside the first.
        let second = Process::spawn(|| hold(20)).unwrap();
        assert!(matches!(second.join(), ExitReason::OutOfMemory(_)));
        first.kill();
        first.join();
        let third = Process::spawn(|| drop(std::hint::black_box(vec![1_u8; 20 << 20]))).unwrap();
        assert_eq!(third.join(), ExitReason::Normal);
    });
    assert_eq!(root.unwrap().join(), ExitReason::Normal);
    // None of it was the parent's.
    let child = Process::spawn(|| drop(std::hint::black_box(vec![1_u8; 50 << 20]))).unwrap();
    assert_eq!(child.join(), ExitReason::Normal);
}

fn processes_of_a_subtree() {
    let config = ProcessConfig::inherit().tree_processes(10);
    let root = Process::builder().config(&config).spawn(|| {
        let children: Vec<_> = (0..9)
            .map(|_| Process::spawn(|| lunatic::sleep(Duration::from_secs(3600))).unwrap())
            .collect();
        match Process::spawn(|| ()) {
            Err(SpawnError::Limit(why)) => assert!(why.contains("10 processes"), "{why}"),
            other => panic!("{other:?}"),
        }
        children[0].kill();
        children[0].join();
        assert_eq!(Process::spawn(|| ()).unwrap().join(), ExitReason::Normal);
        children.iter().for_each(|child| child.kill());
    });
    assert_eq!(root.unwrap().join(), ExitReason::Normal);
}

fn time_of_a_subtree() {
    let config = ProcessConfig::inherit().cpu_time(Duration::from_millis(50));
    let reasons = Channel::<ExitReason>::new(0);
    let root = Process::builder().config(&config).spawn(move || {
        let burner = Process::spawn(|| {
            loop {
                std::hint::black_box(())
            }
        })
        .unwrap();
        let waits = Process::spawn(move || reasons.send(burner.join())).unwrap();
        let _ = waits;
        loop {
            std::hint::black_box(())
        }
    });
    assert_eq!(root.unwrap().join(), ExitReason::OutOfBudget);
    // One who only waits uses nothing, until it goes on.
    let short = Process::builder()
        .config(&config)
        .spawn(|| lunatic::sleep(Duration::from_millis(200)))
        .unwrap();
    assert_eq!(short.join(), ExitReason::Normal);
}

/// Sets intervals of a millisecond that send to the caller, and sleeps for ever.
fn tick(intervals: u32) {
    let here = Address::<u32>::of(this_process());
    (0..intervals).for_each(|number| _ = timer::send_interval(here, number, Duration::from_millis(1)));
    lunatic::sleep(Duration::MAX);
}

/// How long a sleep of five milliseconds takes: the median of so many.
fn median_sleep(of: usize) -> Duration {
    let mut sleeps = Vec::new();
    for _ in 0..of {
        let start = Instant::now();
        lunatic::sleep(Duration::from_millis(5));
        sleeps.push(start.elapsed());
    }
    sleeps.sort();
    sleeps[of / 2]
}

fn timers_use_up_the_budget_of_a_child_that_sleeps() {
    let config = ProcessConfig::new()
        .max_memory(4 << 20)
        .tree_processes(1)
        .cpu_time(Duration::from_millis(500));
    let alone = median_sleep(50);
    let child = Process::builder().config(&config).spawn(|| tick(2_000)).unwrap();
    while child.is_alive() {
        let beside = median_sleep(10);
        assert!(
            beside < 10 * alone + Duration::from_secs(1),
            "{beside:?} in place of {alone:?}"
        );
    }
    assert_eq!(child.join(), ExitReason::OutOfBudget);
}

fn the_share_of_a_core_is_for_timers_too() {
    let config = ProcessConfig::new().cpu_share(10).max_mailbox(1000).measured();
    let child = Process::builder().config(&config).spawn(|| tick(20_000)).unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        lunatic::sleep(Duration::from_millis(100));
    }
    let (used, passed) = (child.usage().unwrap().cpu, start.elapsed());
    assert!(used < passed / 4, "{used:?} of {passed:?}");
    child.kill();
    assert_eq!(child.join(), ExitReason::Killed);
}

fn the_share_of_a_core() {
    let config = ProcessConfig::inherit().cpu_share(10).measured();
    let burner = Process::builder()
        .config(&config)
        .spawn(|| {
            loop {
                std::hint::black_box(())
            }
        })
        .unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        lunatic::sleep(Duration::from_millis(100));
    }
    let (used, passed) = (burner.usage().unwrap().cpu, start.elapsed());
    assert!(used < passed / 5, "{used:?} of {passed:?}");
    burner.kill();
    assert_eq!(burner.join(), ExitReason::Killed);
}

fn a_spawn_bomb_leaves_others_alone() {
    fn bomb() {
        loop {
            let _ = Process::spawn(bomb);
        }
    }
    let config = ProcessConfig::inherit()
        .tree_processes(1_000)
        .tree_memory(256 << 20)
        .cpu_time(Duration::from_secs(2));
    let root = Process::builder().config(&config).spawn(bomb).unwrap();
    let mut late = Vec::new();
    for _ in 0..100 {
        let start = Instant::now();
        assert_eq!(Process::spawn(|| ()).unwrap().join(), ExitReason::Normal);
        late.push(start.elapsed());
        assert!(root.usage().is_none_or(|usage| usage.processes <= 1_000));
    }
    late.sort();
    assert!(
        late[50] < Duration::from_secs(1),
        "half took longer than {:?}",
        late[50]
    );
    assert_eq!(root.join(), ExitReason::OutOfBudget);
}

fn use_is_told() {
    assert_eq!(this_process().usage(), None);
    let ready = Channel::<()>::new(0);
    let config = ProcessConfig::inherit().measured();
    let root = Process::builder().config(&config).spawn(move || {
        let child = Process::spawn(move || {
            let held = vec![1_u8; 8 << 20];
            ready.send(());
            lunatic::sleep(Duration::from_secs(3600));
            drop(std::hint::black_box(held));
        });
        child.unwrap().join();
    });
    let root = root.unwrap();
    ready.receive();
    let Usage {
        processes,
        memory,
        sockets,
        cpu,
        ..
    } = root.usage().unwrap();
    assert_eq!((processes, sockets), (2, 0));
    assert!((8 << 20..64 << 20).contains(&memory), "{memory}");
    assert!(cpu > Duration::ZERO);
    root.kill();
    root.join();
    assert_eq!(root.usage(), None);
}

fn open_files_are_limited() {
    let config = ProcessConfig::inherit().max_files(3);
    assert!(in_child(&config, || {
        let open = || fs::File::open("/data/given.txt");
        for _ in 0..10 {
            let files = [open(), open(), open()].map(Result::unwrap);
            assert_eq!(open().unwrap_err().raw_os_error(), Some(33), "EMFILE");
            drop(files);
        }
        true
    }));
}

fn many_children_with_one_configuration() {
    let config = ProcessConfig::new().dir("/data", "/in").env("A", "1");
    let read = Channel::<bool>::new(0);
    for _ in 0..2_000 {
        let spawned = Process::builder()
            .config(&config)
            .spawn(move || read.send(fs::read("/in/given.txt").is_ok()));
        spawned.unwrap();
    }
    assert!((0..2_000).all(|_| read.receive()));
}

fn denials() {
    let _ = fs::write("/data/new", "");
    let _ = fs::read("/data/link");
    in_child(&ProcessConfig::new(), || {
        let _ = Process::spawn(|| ());
        let _ = registry::register("x", this_process());
    });
    let outside = ProcessConfig::new().dir("/etc", "/etc");
    let _ = Process::builder().config(&outside).spawn(|| ());
}

/// Every way out of a folder that a path can describe. `/data` has `given.txt`, and is beside `secret.txt`.
fn escapes() {
    let denied = |what: &str, result: io::Result<()>| assert!(result.is_err(), "{what} led out of the folder");
    for path in [
        "/data/../secret.txt",
        "/data/link",
        "../secret.txt",
        "/secret.txt",
        "/data/./../secret.txt",
        "/data/sub/../../secret.txt",
        "/data//../secret.txt",
        "/proc/self/environ",
        "/data/../../../../../../../../etc/passwd",
        "/dev/zero",
        "/etc/passwd",
    ] {
        denied(path, fs::read(path).map(drop));
        denied(path, fs::write(path, "changed"));
        denied(path, fs::metadata(path).and_then(|_| fs::File::open(path)).map(drop));
    }
    fs::create_dir("/data/sub").unwrap();
    denied(
        "a hard link from outside",
        fs::hard_link("/data/../secret.txt", "/data/hard"),
    );
    denied(
        "a hard link to outside",
        fs::hard_link("/data/given.txt", "/data/../hard"),
    );
    denied(
        "a rename to outside",
        fs::rename("/data/given.txt", "/data/../given.txt"),
    );
    denied(
        "a rename from outside",
        fs::rename("/data/../secret.txt", "/data/secret.txt"),
    );
    denied(
        "a rename into a folder that is read only",
        fs::rename("/data/given.txt", "/ro/given.txt"),
    );
    denied(
        "a rename out of a folder that is read only",
        fs::rename("/ro/only.txt", "/data/only.txt"),
    );
    denied(
        "a link into a folder that is read only",
        fs::hard_link("/ro/only.txt", "/ro/more.txt"),
    );
    denied("removing what is read only", fs::remove_file("/ro/only.txt"));
    denied("a folder outside", fs::create_dir("/data/../made"));
    denied("removing outside", fs::remove_file("/data/../secret.txt"));
    denied("a list of outside", fs::read_dir("/data/..").map(drop));
    // Links that lead nowhere, or out, can be made by the host's user; they are not followed.
    denied("a link to a device", fs::read("/data/zero").map(drop));
    denied("a link to /proc", fs::read("/data/proc/self/environ").map(drop));
    denied("a link that is absolute", fs::read("/data/absolute").map(drop));
    fs::rename("/data/sub", "/data/renamed").unwrap();
    assert_eq!(fs::read_to_string("/data/given.txt").unwrap(), "from outside");
    fs::remove_dir("/data/renamed").unwrap();
}

fn modules_can_be_compiled_and_denied() {
    use lunatic::{CompileError, Module};
    const PLUGIN: &str = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (func (export "seven") (call $exit (i32.const 7)))
        (func (export "fine"))
        (func (export "loops") (loop $again (br $again)))
        (func (export "takes") (param i32)))"#;
    let plugin = Module::compile(PLUGIN.as_bytes()).unwrap();
    let config = ProcessConfig::new().cpu_time(Duration::from_millis(30));
    let run = |export| {
        Process::builder()
            .config(&config)
            .spawn_export(plugin, export)
            .map(|process| process.join())
    };
    assert_eq!(run("seven"), Ok(ExitReason::Exit(7)));
    assert_eq!(run("fine"), Ok(ExitReason::Normal));
    assert_eq!(run("loops"), Ok(ExitReason::OutOfBudget));
    for missing in ["takes", "missing", "lunatic:run", "lunatic:startup", "memory"] {
        assert!(matches!(run(missing), Err(SpawnError::BadModule(_))), "{missing}");
    }
    for bytes in [
        &b"(module"[..],
        b"\0asm\x01\0\0\0\xff",
        b"",
        b"(module (import \"env\" \"system\" (func)))",
    ] {
        assert!(matches!(Module::compile(bytes), Err(CompileError::Invalid(_))));
    }
    // Who knows the handle spawns in it, until its owner ends.
    let made = Channel::<Module>::new(0);
    let owner = Process::spawn(move || {
        made.send(Module::compile(b"(module (func (export \"run\")))").unwrap());
        lunatic::sleep(Duration::from_secs(3600));
    })
    .unwrap();
    let module = made.receive();
    assert_eq!(
        Process::builder().spawn_export(module, "run").unwrap().join(),
        ExitReason::Normal
    );
    owner.kill();
    owner.join();
    assert!(matches!(
        Process::builder().spawn_export(module, "run"),
        Err(SpawnError::BadModule(_))
    ));
    assert!(in_child(&ProcessConfig::new(), || matches!(
        Module::compile(b"(module)"),
        Err(CompileError::Denied(_))
    )));
    assert!(in_child(&ProcessConfig::new().allow(Right::Compile), || {
        Module::compile(b"(module)").is_ok()
    }));
}

fn output_can_be_captured() {
    let config = ProcessConfig::new().capture_stdout().allow(Right::Spawn);
    let spawn = |body: fn()| Process::builder().config(&config).spawn(body).unwrap();
    let (one, two) = (spawn(|| println!("one")), spawn(|| print!("two, without an end")));
    one.join();
    two.join();
    assert_eq!(
        (one.take_stdout(), two.take_stdout()),
        (b"one\n".to_vec(), b"two, without an end".to_vec())
    );
    assert_eq!((one.take_stdout(), one.take_stderr()), (vec![], vec![]));
    // While it runs; with what its own children write; and no more than is kept.
    let talks = spawn(|| {
        Process::spawn(|| println!("a grandchild")).unwrap().join();
        lunatic::sleep(Duration::from_secs(3600));
    });
    while talks.take_stdout().is_empty() {
        lunatic::yield_now();
    }
    talks.kill();
    let floods = spawn(|| (0..100_000).for_each(|_| println!("0123456789")));
    floods.join();
    let text = String::from_utf8(floods.take_stdout()).unwrap();
    assert!(text.len() < 257 << 10 && text.ends_with("more bytes are not shown]\n"));
    // Nobody but the parent is told.
    let other = spawn(|| println!("for the parent"));
    other.join();
    let told = Channel::<bool>::new(0);
    Process::spawn(move || told.send(other.take_stdout().is_empty())).unwrap();
    assert!(told.receive());
    assert_eq!(other.take_stdout(), b"for the parent\n");
    // A process keeps the output of so many children, and has room again when it has taken it.
    let both = ProcessConfig::new().capture_stdout().capture_stderr();
    let loud = || Process::builder().config(&both).spawn(|| eprintln!("error"));
    let mut children = Vec::new();
    let refused = loop {
        match loud() {
            Ok(child) => children.push(child),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(refused, SpawnError::Limit(_)) && children.len() >= 1000,
        "{refused:?} after {}",
        children.len()
    );
    for child in children {
        child.join();
        assert_eq!(
            (child.take_stdout(), child.take_stderr()),
            (vec![], b"error\n".to_vec())
        );
    }
    assert!(loud().is_ok());
}
