//! Guests that have modules compiled, by a helper: what it may take, who pays, and that it ends with who asked for it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lunatic_host::budget::Caps;
use lunatic_host::wasi::Output;
use lunatic_host::{CompileHelper, CompileLimits, ExitReason, RunningSystem, WaitFor};
use lunatic_tests::host::{Host, PATIENCE, Program};
use lunatic_tests::{imports, programs};

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(3600);

/// The least that a budget of time allows for in these tests: enough to start, and not enough to compile what is slow.
const BUDGET: Duration = Duration::from_millis(250);

/// A host with a helper. Its cache is the test's own.
fn host(cache: &Path, limits: CompileLimits) -> Host {
    host_with(CompileHelper::at(programs::path("lunatic")), cache, limits)
}

fn host_with(helper: CompileHelper, cache: &Path, limits: CompileLimits) -> Host {
    Host::with(|builder| {
        let builder = builder.workers(2).cache(Some(cache.to_path_buf()));
        builder.compile_helper(helper).compile_limits(limits)
    })
}

/// The limits of a host whose helpers may take as long as they like.
fn patient() -> CompileLimits {
    CompileLimits {
        time: NEVER,
        ..CompileLimits::default()
    }
}

/// A function with so many locals and loops in each other, in which all locals change.
fn loops(loops: usize, locals: usize) -> String {
    let mut text = format!("(func (param i32) {}\n", "(local i32)".repeat(locals));
    (0..loops).for_each(|_| text.push_str("loop "));
    for local in 1..=locals {
        let _ = write!(
            text,
            "(local.set {local} (i32.add (local.get {local}) (i32.const {local})))"
        );
    }
    (0..loops).for_each(|_| text.push_str("(br_if 0 (local.get 0)) end "));
    text + ")\n"
}

/// A module that no first look refuses, and that takes a compiler minutes.
fn slow() -> Vec<u8> {
    let function = loops(3000, 300);
    wat::parse_str(format!("(module {})", function.repeat(300))).unwrap()
}

/// A module that is small and good. Different numbers make different modules.
fn small(number: u32) -> Vec<u8> {
    let text = format!(
        r#"(module (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
            (memory (export "memory") 1)
            (func (export "run") (drop (i32.const {number})) (call $sleep (i64.const {})))
            (func (export "fine")))"#,
        NEVER.as_nanos()
    );
    wat::parse_str(&text).unwrap()
}

/// A program that has `module` at address 65536, and `$compile`, which has it compiled and prints the error, if there is one.
fn asking(module: &[u8], pages: usize, rest: &str) -> Vec<u8> {
    let mut bytes = String::new();
    module.iter().for_each(|byte| _ = write!(bytes, "\\{byte:02x}"));
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        {}
        (memory (export "memory") {})
        (table 2 funcref)
        (elem (i32.const 1) $child)
        (data (i32.const 1024) "inherit\00tree-cpu-ms={}\00")
        (data (i32.const 2048) "run")
        (data (i32.const 65536) "{bytes}")
        (func $compile_of (param $len i32) (result i32)
            (local $code i32)
            (local.set $code (call $module.compile (i32.const 65536) (local.get $len) (i32.const 64)))
            (if (local.get $code) (then
                (i32.store (i32.const 0) (i32.const 4096))
                (i32.store (i32.const 4) (call $buffer.len))
                (call $buffer.take (i32.const 4096) (call $buffer.len))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
            (local.get $code))
        (func $compile (result i32) (call $compile_of (i32.const {})))
        (func $child (drop (call $compile)))
        {rest})"#,
        imports::declarations(),
        pages + module.len().div_ceil(1 << 16) + 1,
        BUDGET.as_millis(),
        module.len(),
    );
    wat::parse_str(&text).unwrap()
}

/// A program that has `module` compiled, and ends.
fn compiles(module: &[u8]) -> Vec<u8> {
    asking(module, 0, r#"(func (export "_start") (drop (call $compile)))"#)
}

/// Runs other programs until `program` has ended, at least once.
fn beside_others(host: &Host, program: Program<'_>) -> String {
    let well = br#"(module (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
        (func (export "_start") (call $sleep (i64.const 1000000))))"#;
    let well = host.load(well).unwrap();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| program.run().normal().stdout);
        while !asking.is_finished() {
            host.loaded(&well).run().normal();
        }
        asking.join().unwrap()
    })
}

fn wait(system: &RunningSystem) -> ExitReason {
    system.wait_timeout(PATIENCE).expect("it hangs")
}

/// Waits until `is_so`.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not so");
        std::thread::yield_now();
    }
}

#[test]
fn a_compile_bomb_is_refused_for_its_shape() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), CompileLimits::default());
    let bomb = wat::parse_str(format!("(module {})", loops(3000, 1000))).unwrap();
    let said = beside_others(&host, host.program(&compiles(&bomb)));
    assert!(said.contains("the function 0 would take too long to compile"), "{said}");
    // Those whom nobody limits get the same answer.
    assert!(host.load(&bomb).is_err());
}

#[test]
fn a_module_that_takes_too_long_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let limits = CompileLimits {
        time: Duration::from_millis(300),
        ..CompileLimits::default()
    };
    let host = host(folder.path(), limits);
    let said = beside_others(&host, host.program(&compiles(&slow())));
    assert!(said.contains("longer than the 0.3 seconds of CPU time"), "{said}");
    // The same host compiles what is good.
    let said = host.program(&compiles(&small(1))).run().normal().stdout;
    assert_eq!(said, "");
}

#[test]
#[cfg(target_os = "linux")]
fn a_module_that_takes_too_much_memory_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let limits = |memory| CompileLimits { memory, ..patient() };
    let large = wat::parse_str(format!("(module {})", loops(100, 1000))).unwrap();
    let program = compiles(&large);
    let host = host(folder.path(), limits(64 << 20));
    let said = beside_others(&host, host.program(&program));
    assert!(said.contains("bytes of memory that are allowed"), "{said}");
    let host = self::host(folder.path(), limits(4 << 30));
    assert_eq!(host.program(&program).run().normal().stdout, "");
}

#[test]
#[cfg(target_os = "linux")]
fn the_memory_of_a_helper_is_charged() {
    let folder = tempfile::tempdir().unwrap();
    let large = wat::parse_str(format!("(module {})", loops(100, 1000))).unwrap();
    let program = compiles(&large);
    let host = host(folder.path(), patient());
    let said = beside_others(&host, host.program(&program).caps(memory(32 << 20)));
    assert!(
        said.contains("could not be compiled: its budget allows 33554432 bytes of memory"),
        "{said}"
    );
    assert_eq!(host.program(&program).caps(memory(4 << 30)).run().normal().stdout, "");
}

fn memory(bytes: u64) -> Caps {
    Caps {
        memory: Some(bytes),
        ..Caps::default()
    }
}

#[test]
fn code_is_paid_for() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), patient());
    let run = |rest: &str| {
        let program = host.program(&asking(&small(1), 0, rest)).caps(memory(32 << 20));
        let (output, said) = Output::captured();
        let system = program.quiet().stdout(output).try_start().unwrap();
        assert_eq!(wait(&system), ExitReason::Normal);
        (String::from_utf8(said.take()).unwrap(), system.usage().unwrap().memory)
    };
    let (said, left) = run(r#"(func (export "_start") (loop $again (br_if $again (i32.eqz (call $compile)))))"#);
    assert!(said.contains("its budget allows 33554432 bytes of memory"), "{said}");
    assert_eq!(left, 0, "not all is given back");
    // As many as are let go again.
    let (said, _) = run(r#"(func (export "_start") (local $n i32)
            (loop $again
                (drop (call $compile))
                (drop (call $module.drop (i64.load (i32.const 64)) (i64.load (i32.const 72))))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $n) (i32.const 2000)))))"#);
    assert_eq!(said, "");
}

#[test]
fn twenty_children_that_compile_are_charged_as_they_go() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), patient());
    let text = r#"(func (export "_start") (local $n i32)
        ;; The configuration is at 1024.
        (i64.store (i32.const 168) (i64.const 1024))
        (i32.store (i32.const 176) (i32.const LEN))
        (loop $more
            (if (call $process.spawn (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 128)
                    (i32.add (i32.const 8192) (i32.mul (local.get $n) (i32.const 24))))
                (then unreachable))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 20))))
        (loop $more
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (if (i32.ne (i32.const 9) (call $process.join
                    (i64.load (i32.add (i32.const 8192) (i32.mul (local.get $n) (i32.const 24))))
                    (i64.load (i32.add (i32.const 8200) (i32.mul (local.get $n) (i32.const 24))))
                    (i64.const -1)))
                (then unreachable))
            (br_if $more (local.get $n))))"#;
    let config = format!("inherit\0tree-cpu-ms={}\0", BUDGET.as_millis());
    let text = text.replace("LEN", &config.len().to_string());
    assert_eq!(lunatic_sys::codes::exit::OUT_OF_BUDGET, 9);
    let program = host.program(&asking(&slow(), 0, &text)).quiet();
    let system = program.caps(Caps::default()).try_start().unwrap();
    assert_eq!(wait(&system), ExitReason::Normal, "a child has not used up its budget");
    let used = system.usage().unwrap().cpu;
    assert!(used >= 20 * BUDGET, "they were charged {used:?}");
    // Each was ended when it had used up what it had. Between two looks at a helper a loaded machine may let pass more than
    // the ten milliseconds that are meant, but not as much as this.
    assert!(used < 60 * BUDGET, "they used {used:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn the_helper_of_a_process_that_is_killed_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    // By this name its helpers are told from those of other tests.
    let name = folder.path().join("helper");
    std::os::unix::fs::symlink(programs::path("lunatic"), &name).unwrap();
    let helpers = || helpers_called(&name);
    let host = host_with(CompileHelper::at(&name), folder.path(), patient());
    let module = host.load(&compiles(&slow())).unwrap();
    for _ in 0..3 {
        let system = host.loaded(&module).quiet().try_start().unwrap();
        wait_until("there is a helper", || helpers().len() == 1);
        // What it compiles takes minutes.
        assert!(system.kill(system.main().unwrap()));
        assert_eq!(wait(&system), ExitReason::Killed);
        wait_until("the helper is gone", || helpers().is_empty());
    }
    // Two at once, and those that wait for their turn begin nothing after they were killed.
    let systems: Vec<_> = (0..10)
        .map(|_| host.loaded(&module).quiet().try_start().unwrap())
        .collect();
    wait_until("there is a helper", || !helpers().is_empty());
    drop(systems);
    wait_until("the helpers are gone", || helpers().is_empty());
    assert_eq!(host.program(&compiles(&small(2))).run().normal().stdout, "");
    assert_eq!(helpers(), [] as [PathBuf; 0]);
}

/// A bug of the compiler gives a file none of the user's rights: which, `lunatic_confine` has tests of.
#[test]
#[cfg(target_os = "linux")]
fn a_helper_is_confined() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("helper");
    std::os::unix::fs::symlink(programs::path("lunatic"), &name).unwrap();
    let host = host_with(CompileHelper::at(&name), folder.path(), patient());
    let module = host.load(&compiles(&slow())).unwrap();
    let system = host.loaded(&module).quiet().try_start().unwrap();
    let is_confined = || {
        helpers_called(&name).iter().any(|helper| {
            let status = std::fs::read_to_string(helper.join("status")).unwrap_or_default();
            status.contains("NoNewPrivs:\t1\n") && status.contains("Seccomp:\t2\n")
        })
    };
    let has_seccomp = programs::lunatic(["doctor"]).run().code(0).stdout;
    let has_seccomp = has_seccomp
        .lines()
        .any(|line| line.starts_with("seccomp") && line.ends_with("active"));
    if has_seccomp {
        wait_until("the helper is confined", is_confined);
    }
    assert!(system.kill(system.main().unwrap()));
    assert_eq!(wait(&system), ExitReason::Killed);
}

/// The folders in `/proc` of all processes that were started by this name and have not been waited for.
#[cfg(target_os = "linux")]
fn helpers_called(name: &Path) -> Vec<PathBuf> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let is_called = |process: &PathBuf| {
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        line.starts_with(name.as_os_str().as_encoded_bytes())
    };
    processes.filter(is_called).collect()
}

#[test]
fn what_a_helper_makes_runs_in_every_layout() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), CompileLimits::default());
    // More than there are memories of the fast layout.
    const CHILDREN: usize = 1200;
    let text = format!(
        r#"(func (export "_start") (local $n i32)
        (if (call $compile) (then unreachable))
        (loop $more
            (if (call $module.spawn_export (i64.load (i32.const 64)) (i64.load (i32.const 72))
                    (i32.const 2048) (i32.const 3) (i32.const 128) (i32.const 256))
                (then unreachable))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const {CHILDREN}))))
        (call $process.sleep_ns (i64.const {})))"#,
        NEVER.as_nanos()
    );
    let system = host.program(&asking(&small(3), 0, &text)).try_start().unwrap();
    wait_until("all sleep", || {
        let sleeps = |wait: Option<(WaitFor, _)>| wait.is_some_and(|(wait, _)| wait == WaitFor::Sleep);
        let processes = system.processes();
        processes.iter().filter(|process| sleeps(process.snapshot.wait)).count() == CHILDREN + 1
    });
}

#[test]
fn what_guests_put_into_the_cache_is_limited() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), CompileLimits::default());
    let kept = || {
        let files = std::fs::read_dir(folder.path().join("guests")).unwrap();
        files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .collect::<Vec<_>>()
    };
    assert_eq!(kept(), [] as [u64; 0]);
    assert_eq!(host.program(&compiles(&small(4))).run().normal().stdout, "");
    assert_eq!(kept().len(), 1);
    // Six modules of 16 MiB, each with another first byte of data.
    let data = format!(
        "(module (memory 257) (data (i32.const 0) \"{}\"))",
        "\\00".repeat(16 << 20)
    );
    let large = wat::parse_str(data).unwrap();
    let head = large.len() - (16 << 20);
    let text = format!(
        r#"(func (export "_start") (local $n i32)
        (loop $more
            (i32.store (i32.const {}) (local.get $n))
            (if (call $compile_of (i32.const {})) (then (return)))
            (if (call $module.drop (i64.load (i32.const 64)) (i64.load (i32.const 72))) (then unreachable))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 6)))))"#,
        (1 << 16) + head,
        large.len(),
    );
    let program = host.program(&asking(&large[..head], 258, &text));
    assert_eq!(program.clone().run().normal().stdout, "");
    let (count, bytes) = (kept().len(), kept().iter().sum::<u64>());
    assert!(
        count > 2 && bytes <= 65 << 20,
        "one system has put {count} entries into the cache, of {bytes} bytes"
    );
    // Whatever systems there are, all of them together have a part of the cache.
    for _ in 0..5 {
        program.clone().run().normal();
    }
    let bytes = kept().iter().sum::<u64>();
    assert!(bytes <= 256 << 20, "guests have put {bytes} bytes into the cache");
}

#[test]
fn a_file_that_is_too_large_is_not_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), CompileLimits::default());
    const MAX: usize = 64 << 20;
    for (len, expected) in [
        (MAX, "this is not a WebAssembly module"),
        (MAX + 1, "more than the 67108864"),
    ] {
        let text = format!(r#"(func (export "_start") (drop (call $compile_of (i32.const {len}))))"#);
        let said = host.program(&asking(b"", 1025, &text)).run().normal().stdout;
        assert!(said.contains(expected), "{said}");
    }
}

/// The helper claims that what it has made has 4 GiB, and sends a byte of it.
#[test]
#[cfg(unix)]
fn an_answer_that_is_too_long_is_not_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("helper");
    std::fs::write(
        &program,
        "#!/bin/sh\ncat > /dev/null\nprintf '\\001\\0\\0\\0\\0\\001\\0\\0\\0x'\n",
    )
    .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let host = host_with(CompileHelper::at(program), folder.path(), CompileLimits::default());
    let said = host.program(&compiles(&small(5))).run().normal().stdout;
    assert!(
        said.contains("the compiled module is larger than 268435456 bytes"),
        "{said}"
    );
}

#[test]
fn a_helper_that_is_none_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for (program, expected) in [
        (folder.path().join("missing"), "could not be started"),
        ("/bin/true".into(), "did not answer"),
        ("/bin/echo".into(), "did not answer"),
    ] {
        let host = host_with(CompileHelper::at(program), folder.path(), CompileLimits::default());
        let said = host.program(&compiles(&small(5))).run().normal().stdout;
        assert!(said.contains(expected), "{said}");
    }
}
