//! Runtimes and running systems, as the program sees them that they are embedded in.

mod common;

use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use common::{Functions, Log, guest, run, runtime, start, until, wait_until_idle};
use lunatic_host::budget::Caps;
use lunatic_host::extension::ProcessRef;
use lunatic_host::wasi::{Output, WasiConfig};
use lunatic_host::wasmtime::Caller;
use lunatic_host::{Ctx, Event, ExitReason, Id, Observer, Phase, RunningSystem, Runtime, SendRefusal, SystemConfig};

/// Receives two messages.
fn receives_two() -> String {
    guest("", r#"(func (export "_start") (call $receive) (call $receive))"#)
}

fn expects_messages() -> SystemConfig {
    SystemConfig {
        expects_messages: true,
        ..SystemConfig::default()
    }
}

#[test]
fn what_an_embedder_has_can_be_shared_by_threads() {
    fn check<T: Send + Sync>() {}
    check::<Runtime>();
    check::<RunningSystem>();
    check::<ProcessRef>();
    check::<SystemConfig>();
}

#[test]
fn native_threads_send_in_order() {
    let log = Log::default();
    let runtime = runtime(|builder| builder.extension(log.clone()));
    let system = start(&runtime, &receives_two(), expects_messages());
    let main = system.main().unwrap();
    wait_until_idle(&system);
    // All wait, and nobody calls it a deadlock.
    assert_eq!(system.wait_timeout(Duration::from_millis(50)), None);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            system.send(main, 5, b"one").unwrap();
            system.send(main, 6, b"two").unwrap();
        });
    });
    assert_eq!(system.wait(), ExitReason::Normal);
    assert_eq!(log.take(), ["one", "two"]);
    assert_eq!(system.main(), None);
    assert_eq!(system.send(main, 5, b"late"), Err(SendRefusal::Closed));
    assert_eq!(system.send(Id::NONE, 5, b"nobody"), Err(SendRefusal::Closed));
}

#[test]
fn nobody_sends_to_processes_of_other_systems() {
    let log = Log::default();
    let runtime = runtime(|builder| builder.extension(log.clone()));
    let [one, other] = [(); 2].map(|()| start(&runtime, &receives_two(), expects_messages()));
    let main = one.main().unwrap();
    assert_eq!(other.send(main, 5, b"hello"), Err(SendRefusal::Closed));
    assert!(other.process(main).is_none() && !other.kill(main));
    assert!(one.process(main).is_some() && one.kill(main));
}

#[test]
fn without_messages_from_outside_a_wait_is_a_deadlock() {
    let runtime = runtime(|builder| builder.extension(Log::default()));
    let system = start(&runtime, &receives_two(), SystemConfig::default());
    assert!(matches!(system.wait(), ExitReason::Deadlock(_)));
}

/// `desk.subscribe(ms, sends)`: a thread sends to the process after a while, or gives up.
fn desk() -> Functions {
    Functions(
        "desk",
        Box::new(|linker| {
            linker.func_wrap("desk", "subscribe", |caller: Caller<'_, Ctx>, ms: u64, sends: u32| {
                let (process, copy) = (caller.data().this(), caller.data().this().clone());
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(ms));
                    drop(copy);
                    if sends == 1 {
                        process.send(7, b"news").unwrap();
                    }
                });
            })?;
            Ok(())
        }),
    )
}

fn subscribes(sends: u32) -> String {
    guest(
        r#"(import "desk" "subscribe" (func $subscribe (param i64 i32)))"#,
        &format!(r#"(func (export "_start") (call $subscribe (i64.const 50) (i32.const {sends})) (call $receive))"#),
    )
}

#[test]
fn a_thread_that_has_a_process_may_still_send_to_it() {
    let log = Log::default();
    let runtime = runtime(|builder| builder.extension(log.clone()).extension(desk()));
    let system = start(&runtime, &subscribes(1), SystemConfig::default());
    assert_eq!(system.wait(), ExitReason::Normal);
    assert_eq!(log.take(), ["news"]);
}

#[test]
fn when_nobody_can_send_any_more_a_wait_is_a_deadlock() {
    let runtime = runtime(|builder| builder.extension(Log::default()).extension(desk()));
    let system = start(&runtime, &subscribes(0), SystemConfig::default());
    let reason = system.wait_timeout(Duration::from_secs(20));
    assert!(matches!(reason, Some(ExitReason::Deadlock(_))), "{reason:?}");
}

#[test]
fn a_process_is_known_when_its_runtime_has_gone() {
    let (tells, told) = std::sync::mpsc::channel();
    let functions = Functions(
        "desk",
        Box::new(move |linker| {
            let tells = tells.clone();
            linker.func_wrap("desk", "this", move |caller: Caller<'_, Ctx>| {
                tells.send(caller.data().this()).unwrap();
            })?;
            Ok(())
        }),
    );
    let runtime = runtime(|builder| builder.extension(Log::default()).extension(functions));
    let text = guest(
        r#"(import "desk" "this" (func $this))"#,
        r#"(func (export "_start") (call $this) (call $receive))"#,
    );
    let system = start(&runtime, &text, SystemConfig::default());
    let process = told.recv().unwrap();
    assert!(process.is_alive());
    assert_eq!(Some(process.id()), system.main());
    drop(runtime);
    assert!(!process.is_alive());
    assert_eq!(process.send(7, b"late"), Err(SendRefusal::Closed));
    assert_eq!(system.wait(), ExitReason::Killed);
}

#[test]
fn processes_are_listed_with_what_they_wait_for() {
    let log = Log::default();
    let runtime = runtime(|builder| builder.workers(1).extension(log.clone()));
    let text = guest(
        "",
        r#"
        (data (i32.const 0) "spawned")
        (func $child
            (drop (memory.grow (i32.const 2)))
            (call $sleep (i64.const 60000000000)))
        (func (export "_start")
            (drop (call $spawn_as (i32.const 1) (i32.const 0) (i32.const 0)))
            (drop (call $spawn_as (i32.const 1) (i32.const 0) (i32.const 0)))
            (call $say (i32.const 0) (i32.const 7))
            (call $receive))
        (table 2 funcref)
        (elem (i32.const 1) $child)"#,
    );
    let system = start(&runtime, &text, expects_messages());
    log.wait_for("spawned");
    wait_until_idle(&system);
    until("all processes are blocked", || {
        let processes = system.processes();
        processes.iter().all(|process| process.snapshot.phase == Phase::Blocked)
    });
    let (main, processes) = (system.main().unwrap(), system.processes());
    assert_eq!(processes.len(), 3);
    assert_eq!(
        processes
            .iter()
            .filter(|process| process.snapshot.parent == Some(main))
            .count(),
        2
    );
    for process in &processes {
        let entry = process.entry.as_ref().map(ToString::to_string);
        let expected = if process.snapshot.id == main {
            ("_start", 1)
        } else {
            ("child", 3)
        };
        assert_eq!((entry.as_deref(), process.memory >> 16), (Some(expected.0), expected.1));
        assert_eq!(process.code, processes[0].code);
    }
    let figures = runtime.figures();
    assert_eq!((figures.processes, figures.blocked), (3, 3));
    assert!(figures.instances >= 3 && figures.memory_bytes >= 3 << 12, "{figures:?}");

    let child = processes
        .iter()
        .find(|process| process.snapshot.parent == Some(main))
        .unwrap()
        .snapshot
        .id;
    assert!(system.kill(child));
    until("the child has ended", || system.process(child).is_none());
    assert_eq!(system.processes().len(), 2);
}

#[test]
fn an_observer_is_told_of_all_events_while_it_listens() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<Event>>);
    impl Observer for Heard {
        fn notice(&self, event: &Event) {
            self.0.lock().unwrap().push(event.clone());
        }
    }

    let runtime = runtime(|builder| builder.extension(Log::default()));
    let text = guest(
        "",
        r#"
        (func $child)
        (func (export "_start")
            (call $join (call $spawn_as (i32.const 1) (i32.const 0) (i32.const 0))))
        (table 2 funcref)
        (elem (i32.const 1) $child)"#,
    );
    let heard = Arc::new(Heard::default());
    let observer: Arc<dyn Observer> = heard.clone();
    runtime.observe(observer.clone());
    assert_eq!(run(&runtime, &text), ExitReason::Normal);
    runtime.observe_no_more(&observer);
    let events = std::mem::take(&mut *heard.0.lock().unwrap());
    let is_child = |parent: &Option<Id>| parent.is_some();
    let spawned = events.iter().find_map(|event| match event {
        Event::Spawned { id, parent } if is_child(parent) => Some(*id),
        _ => None,
    });
    let child = spawned.expect("the main process spawns one");
    let reason = ExitReason::Normal;
    assert!(events.contains(&Event::Runs { id: child }));
    assert!(events.contains(&Event::Ended { id: child, reason }));

    assert_eq!(run(&runtime, &text), ExitReason::Normal);
    assert_eq!(*heard.0.lock().unwrap(), []);
}

#[test]
fn queued_messages_are_counted_and_limited() {
    let log = Log::default();
    let runtime = runtime(|builder| builder.queued_max(64 << 10).extension(log.clone()));
    let text = guest(
        r#"(import "lunatic::mailbox" "close" (func $close (param i64)))"#,
        r#"(func (export "_start") (loop $spin (br $spin)))"#,
    );
    let system = start(&runtime, &text, expects_messages());
    let main = system.main().unwrap();
    assert_eq!(runtime.figures().queued_bytes, 0);
    system.send(main, 5, &[0; 40 << 10]).unwrap();
    assert_eq!(system.send(main, 5, &[0; 40 << 10]), Err(SendRefusal::Limit));
    assert!(runtime.figures().queued_bytes >= 40 << 10);
    system.stop();
    assert_eq!(system.wait(), ExitReason::Killed);
}

#[test]
fn a_system_can_be_stopped_and_what_it_used_is_known() {
    let runtime = runtime(|builder| builder.workers(1));
    let config = SystemConfig {
        caps: Some(Caps::default()),
        ..SystemConfig::default()
    };
    let text = r#"(module (func (export "_start") (loop $spin (br $spin))))"#;
    let system = start(&runtime, text, config);
    assert_eq!(system.wait_timeout(Duration::from_millis(30)), None);
    system.stop();
    assert_eq!(system.wait(), ExitReason::Killed);
    until("all processes have ended", || system.processes().is_empty());
    assert!(system.usage().unwrap().cpu > Duration::ZERO);
}

#[test]
fn many_systems_are_waited_for_without_a_thread_each() {
    let log = Log::default();
    let executor = tokio::runtime::Builder::new_current_thread().build().unwrap();
    executor.block_on(async {
        let runtime = runtime(|builder| builder.extension(log.clone()));
        // More than tokio has threads that may block.
        let systems: Vec<_> = (0..600)
            .map(|_| start(&runtime, &receives_two(), expects_messages()))
            .collect();
        // A future that is dropped loses nothing.
        drop(systems[0].ended());
        let sent = std::thread::scope(|scope| {
            let send = scope.spawn(|| {
                systems.iter().all(|system| {
                    let main = system.main().unwrap();
                    system.send(main, 5, b"one").is_ok() && system.send(main, 5, b"two").is_ok()
                })
            });
            send.join().unwrap()
        });
        assert!(sent);
        for system in &systems {
            assert_eq!(system.ended().await, ExitReason::Normal);
        }
        // A thread of an executor may not block; dropping a runtime on it does not.
        drop(runtime);
    });
    assert_eq!(log.take().len(), 1200);
}

#[test]
fn an_async_wait_is_woken_by_the_end() {
    let runtime = runtime(|builder| builder.extension(Log::default()));
    let system = start(&runtime, &receives_two(), expects_messages());
    let executor = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (waits_now, waits_then) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            executor.block_on(async {
                let mut ended = std::pin::pin!(system.ended());
                let first = std::future::poll_fn(|context| Poll::Ready(ended.as_mut().poll(context))).await;
                assert!(first.is_pending(), "nothing has ended it yet");
                waits_now.send(()).unwrap();
                ended.await
            })
        });
        waits_then.recv().unwrap();
        drop(runtime);
        assert_eq!(waits.join().unwrap(), ExitReason::Killed);
    });
}

#[test]
fn output_goes_to_any_writer() {
    let (sends, receives) = std::sync::mpsc::channel::<Vec<u8>>();

    struct Writer(std::sync::mpsc::Sender<Vec<u8>>);

    impl std::io::Write for Writer {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            // One that is gone closes the output, which ends the system.
            let sent = self.0.send(text.to_vec());
            sent.map_or(Err(std::io::ErrorKind::BrokenPipe.into()), |()| Ok(text.len()))
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let text = |end: &str| {
        format!(
            r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\10\00\00\00\06\00\00\00")
            (data (i32.const 16) "hello\n")
            (func (export "_start")
                (loop $again
                    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                    {end})))"#
        )
    };
    let runtime = runtime(|builder| builder);
    let stdout = Output::to_writer(Writer(sends));
    let config = SystemConfig {
        wasi: WasiConfig {
            stdout: stdout.clone(),
            ..WasiConfig::default()
        },
        ..SystemConfig::default()
    };
    let system = start(&runtime, &text(""), config.clone());
    assert_eq!(system.wait(), ExitReason::Normal);
    stdout.finish();
    assert_eq!(receives.try_iter().collect::<Vec<_>>().concat(), b"hello\n");

    let system = start(&runtime, &text("(br $again)"), config);
    assert_eq!(receives.recv().unwrap()[..6], *b"hello\n");
    drop(receives);
    assert_eq!(
        system.wait_timeout(Duration::from_secs(20)),
        Some(ExitReason::Exit(141))
    );
}
