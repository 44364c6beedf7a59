//! Extensions, from outside: what their functions may do, what they keep, and what of it is left when a process ends.

mod common;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use common::{Functions, Log, guest, run, runtime, start};
use lunatic_host::budget::Caps;
use lunatic_host::exit::Trap;
use lunatic_host::extension::Asked;
use lunatic_host::wasmtime::{Caller, Linker, Result};
use lunatic_host::{Ctx, ExitReason, Extension, Imports, Inherited, LoadError, Runtime, SystemConfig, guest_memory};

/// Long enough for anything that happens at all.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn two_extensions_with_one_function_are_told_apart_when_a_module_is_loaded() {
    let adds = |linker: &mut Linker<Ctx>| linker.func_wrap("desk", "add", |one: u32| one).map(drop);
    let runtime = runtime(|builder| {
        let builder = builder.extension(Functions("first", Box::new(adds)));
        builder.extension(Functions("second", Box::new(adds)))
    });
    let Err(error @ LoadError::Link(_)) = runtime.load(b"(module)") else {
        panic!("the module was loaded");
    };
    let text = error.to_string();
    for part in ["extension `second`", "desk::add", "defined twice"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_function_of_lunatic_cannot_be_replaced() {
    let adds = |linker: &mut Linker<Ctx>| linker.func_wrap("lunatic::process", "yield_now", || ()).map(drop);
    let runtime = runtime(|builder| builder.extension(Functions("thief", Box::new(adds))));
    assert!(matches!(runtime.load(b"(module)"), Err(LoadError::Link(text)) if text.contains("`thief`")));
}

#[test]
fn names_of_extensions_can_be_said_and_are_different() {
    let none = || Box::new(|_: &mut Linker<Ctx>| Ok(()));
    for name in ["", "a:b", "a=b", "a\0b"] {
        let built = Runtime::builder()
            .cache(None)
            .extension(Functions(name, none()))
            .build();
        assert!(built.is_err(), "{name:?}");
    }
    let builder = Runtime::builder().cache(None).extension(Functions("desk", none()));
    let error = builder.extension(Functions("desk", none())).build().err().unwrap();
    assert!(
        error.to_string().contains("two extensions are called `desk`"),
        "{error}"
    );
}

/// An interface that takes the place of Lunatic's for modules that import `old`.
struct Old;

impl Extension for Old {
    fn name(&self) -> &str {
        "old"
    }

    fn link(&self, linker: &mut Linker<Ctx>) -> Result<()> {
        linker.func_wrap("old", "id", || 7_u32)?;
        Ok(())
    }

    fn is_an_interface(&self) -> bool {
        true
    }

    fn replaces(&self, imports: &Imports) -> bool {
        imports.iter().any(|import| import.namespace == "old")
    }
}

#[test]
fn an_interface_takes_the_place_of_lunatics_for_its_modules_only() {
    let runtime = runtime(|builder| builder.extension(Old));
    let old = r#"(import "old" "id" (func $id (result i32)))"#;
    let new = r#"(import "lunatic::process" "yield_now" (func))"#;
    let module = |imports: &str, main: &str| format!(r#"(module {imports} (func (export "_start") {main}))"#);

    let ours = module(old, "(if (i32.ne (call $id) (i32.const 7)) (then unreachable))");
    assert_eq!(run(&runtime, &ours), ExitReason::Normal);
    assert_eq!(run(&runtime, &module(new, "")), ExitReason::Normal);
    let both = runtime.load(module(&format!("{old}{new}"), "").as_bytes());
    assert!(matches!(both, Err(LoadError::Import(text)) if text.contains("yield_now")));
}

/// How far a process may count: a right of the extension `desk`.
struct Max(u32);

/// `desk.max() -> u32`, and the right `desk:max=NUMBER`.
struct Desk(Log);

impl Extension for Desk {
    fn name(&self) -> &str {
        "desk"
    }

    fn link(&self, linker: &mut Linker<Ctx>) -> Result<()> {
        linker.func_wrap("desk", "max", |caller: Caller<'_, Ctx>| {
            caller.data().inherited().get::<Max>().map_or(0, |max| max.0)
        })?;
        self.0.link(linker)
    }

    fn narrow(&self, parent: &Inherited, asked: &Asked<'_>, child: &mut Inherited) -> std::result::Result<(), String> {
        let own = parent.get::<Max>().map_or(0, |max| max.0);
        let mut max = if asked.inherits() { own } else { 0 };
        for (key, value) in asked.entries() {
            if *key != "max" {
                return Err(format!("`desk` has no right `{key}`: it has `max`"));
            }
            let wanted: u32 = value.parse().map_err(|_| format!("`{value}` is no number"))?;
            max = wanted.min(own);
        }
        child.set(Arc::new(Max(max)));
        Ok(())
    }
}

#[test]
fn a_child_never_has_more_than_its_parent() {
    let log = Log::default();
    let runtime = runtime(|builder| builder.extension(Desk(log.clone())));
    let mut config = SystemConfig::default();
    config.inherited.set(Arc::new(Max(10)));
    let text = guest(
        r#"(import "desk" "max" (func $max (result i32)))"#,
        r#"
        (data (i32.const 0) "desk:max=5\00allow=all\00")
        (data (i32.const 100) "desk:max=99\00")
        (data (i32.const 200) "inherit\00")
        (data (i32.const 300) "clock=5\00")
        (data (i32.const 400) "desk:min=1\00")
        (func $child
            (call $number (call $max))
            (call $join (call $spawn_as (i32.const 2) (i32.const 100) (i32.const 12))))
        (func $grandchild (call $number (call $max)))
        (func (export "_start")
            (call $number (call $max))
            (call $join (call $spawn_as (i32.const 1) (i32.const 0) (i32.const 21)))
            (call $join (call $spawn_as (i32.const 2) (i32.const 100) (i32.const 12)))
            (call $join (call $spawn_as (i32.const 2) (i32.const 200) (i32.const 8)))
            (call $join (call $spawn_as (i32.const 2) (i32.const 300) (i32.const 8)))
            (call $join (call $spawn_as (i32.const 2) (i32.const 0) (i32.const 0)))
            (call $number (call $spawn_as (i32.const 2) (i32.const 400) (i32.const 11)))
            (call $say_buffer))
        (table 4 funcref)
        (elem (i32.const 1) $child $grandchild)"#,
    );
    assert_eq!(start(&runtime, &text, config).wait(), ExitReason::Normal);
    let denied = lunatic_sys::codes::DENIED.to_string();
    let refused = "`desk` has no right `min`: it has `max`";
    // The main process; its child, and that one's, who asks for more; who asks for more; who inherits; who asks for nothing;
    // who was spawned without a configuration; and what is said to one who asks for what there is not.
    let expected = ["10", "5", "5", "10", "10", "0", "10", &denied, refused];
    assert_eq!(log.take(), expected);
}

#[test]
fn a_right_of_an_extension_without_rights_is_refused() {
    let log = Log::default();
    let runtime = runtime(|builder| builder.extension(log.clone()));
    let text = guest(
        "",
        r#"
        (data (i32.const 0) "log:level=5\00")
        (data (i32.const 100) "other:level=5\00")
        (func $child)
        (func (export "_start")
            (call $number (call $spawn_as (i32.const 1) (i32.const 0) (i32.const 12)))
            (call $say_buffer)
            (call $number (call $spawn_as (i32.const 1) (i32.const 100) (i32.const 14)))
            (call $say_buffer))
        (table 2 funcref)
        (elem (i32.const 1) $child)"#,
    );
    assert_eq!(run(&runtime, &text), ExitReason::Normal);
    let heard = log.take();
    assert_eq!(heard[0], lunatic_sys::codes::DENIED.to_string());
    assert_eq!(heard[1], "the extension `log` has no right `level`");
    assert_eq!(heard[2], lunatic_sys::codes::BAD_CONFIG.to_string());
    assert!(heard[3].contains("no extension `other`"), "{}", heard[3]);
}

/// Says that it was dropped.
struct Kept(Log);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.push("state dropped");
    }
}

/// `desk.keep()` keeps a value with the process.
fn keeping(log: &Log) -> Functions {
    let log = log.clone();
    Functions(
        "desk",
        Box::new(move |linker| {
            let log = log.clone();
            linker.func_wrap("desk", "keep", move |mut caller: Caller<'_, Ctx>| {
                caller.data_mut().state(|| Kept(log.clone()));
            })?;
            linker.func_wrap("desk", "panic", || {
                if true {
                    panic!("a bug of the desk");
                }
            })?;
            linker.func_wrap_async("desk", "wait", |caller: Caller<'_, Ctx>, ()| {
                Box::new(async move {
                    caller.data().within(None, pending::<()>()).await;
                })
            })?;
            Ok(())
        }),
    )
}

const KEEPING: &str = r#"
    (import "desk" "keep" (func $keep))
    (import "desk" "panic" (func $panic))
    (import "desk" "wait" (func $wait))"#;

/// Whatever ends a process: its state goes, then the extension is told, then those who wait for its end.
#[test]
fn state_is_dropped_before_joiners_hear_of_the_end() {
    for (end, kill) in [
        ("", false),
        ("unreachable", false),
        ("(call $panic)", false),
        ("(call $exit (i32.const 3))", false),
        ("(call $wait)", true),
        ("(loop $spin (br $spin))", true),
    ] {
        let log = Log::telling_of_ends();
        let runtime = runtime(|builder| builder.extension(log.clone()).extension(keeping(&log)));
        let kill = if kill {
            "(call $sleep (i64.const 20000000)) (call $kill)"
        } else {
            ""
        };
        let text = guest(
            &format!(r#"{KEEPING} (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#),
            &format!(
                r#"
                (data (i32.const 0) "joined")
                (func $child (call $keep) {end})
                (func (export "_start")
                    (local $spawned i32)
                    (local.set $spawned (call $spawn_as (i32.const 1) (i32.const 0) (i32.const 0)))
                    {kill}
                    (call $join (local.get $spawned))
                    (call $say (i32.const 0) (i32.const 6)))
                (table 2 funcref)
                (elem (i32.const 1) $child)"#
            ),
        );
        assert_eq!(run(&runtime, &text), ExitReason::Normal, "{end}");
        drop(runtime);
        assert_eq!(log.take(), ["state dropped", "ended", "joined", "ended"], "{end}");
    }
}

#[test]
fn a_panic_in_a_host_function_ends_only_its_process() {
    let log = Log::default();
    let runtime = runtime(|builder| builder.workers(1).extension(log.clone()).extension(keeping(&log)));
    let text = guest(
        KEEPING,
        r#"
        (data (i32.const 0) "still here")
        (func $child (call $panic))
        (func (export "_start")
            (call $join (call $spawn_as (i32.const 1) (i32.const 0) (i32.const 0)))
            (call $say (i32.const 0) (i32.const 10)))
        (table 2 funcref)
        (elem (i32.const 1) $child)"#,
    );
    assert_eq!(run(&runtime, &text), ExitReason::Normal);
    assert_eq!(log.take(), ["still here"]);

    let text = guest(KEEPING, r#"(func (export "_start") (call $panic))"#);
    let reason = run(&runtime, &text);
    assert!(
        matches!(&reason, ExitReason::HostBug(text) if text.contains("a bug of the desk")),
        "{reason}"
    );
    // The worker it ran on goes on.
    assert_eq!(
        run(&runtime, &guest("", r#"(func (export "_start"))"#)),
        ExitReason::Normal
    );
}

#[test]
fn a_function_that_waits_is_cleaned_up_when_its_process_is_killed() {
    let log = Log::default();
    let holds = log.clone();
    let functions = Functions(
        "desk",
        Box::new(move |linker| {
            let log = holds.clone();
            linker.func_wrap_async("desk", "wait", move |caller: Caller<'_, Ctx>, ()| {
                let held = Kept(log.clone());
                Box::new(async move {
                    held.0.push("waits");
                    caller.data().within(None, pending::<()>()).await;
                    held.0.push("goes on");
                })
            })?;
            Ok(())
        }),
    );
    let runtime = runtime(|builder| builder.extension(functions));
    let text = r#"(module (import "desk" "wait" (func $wait)) (func (export "_start") (call $wait)))"#;
    let system = start(&runtime, text, SystemConfig::default());
    log.wait_for("waits");
    let main = system.main().unwrap();
    assert_eq!(
        system.wait_timeout(Duration::from_millis(50)),
        None,
        "that it waits is no deadlock"
    );
    assert!(system.kill(main));
    assert_eq!(system.wait(), ExitReason::Killed);
    assert_eq!(log.take(), ["waits", "state dropped"]);
    assert!(!system.kill(main));
}

#[test]
fn a_wait_ends_with_an_answer_or_with_its_timeout() {
    let log = Log::default();
    let functions = Functions(
        "desk",
        Box::new(|linker| {
            linker.func_wrap_async(
                "desk",
                "ask",
                |caller: Caller<'_, Ctx>, (after, timeout): (u64, u64)| {
                    Box::new(async move {
                        let (answers, answer) = tokio::sync::oneshot::channel();
                        std::thread::spawn(move || {
                            std::thread::sleep(Duration::from_millis(after));
                            let _ = answers.send(42);
                        });
                        let timeout = (timeout > 0).then_some(Duration::from_millis(timeout));
                        let answer = caller.data().within(timeout, answer).await;
                        answer.map_or(-1, |answer| answer.unwrap_or(-2))
                    })
                },
            )?;
            Ok(())
        }),
    );
    let runtime = runtime(|builder| builder.workers(1).extension(log.clone()).extension(functions));
    let text = guest(
        r#"(import "desk" "ask" (func $ask (param i64 i64) (result i32)))"#,
        r#"(func (export "_start")
            (call $number (call $ask (i64.const 10) (i64.const 0)))
            (call $number (call $ask (i64.const 10) (i64.const 60000)))
            (call $number (call $ask (i64.const 2000) (i64.const 10)))
            ;; No worker was held up, and the timer of the wait before is gone.
            (call $number (call $ask (i64.const 50) (i64.const 60000))))"#,
    );
    assert_eq!(run(&runtime, &text), ExitReason::Normal);
    assert_eq!(log.take(), ["42", "42", "-1", "42"]);
}

/// `desk.block()` blocks a thread until `desk.release()`; `desk.begun()` waits until it does.
fn blocking() -> Functions {
    let (begins, begun) = tokio::sync::watch::channel(false);
    let (releases, released) = std::sync::mpsc::channel();
    let released = Arc::new(std::sync::Mutex::new(released));
    Functions(
        "desk",
        Box::new(move |linker| {
            let (begins, released) = (begins.clone(), released.clone());
            linker.func_wrap_async("desk", "block", move |caller: Caller<'_, Ctx>, ()| {
                let (begins, released) = (begins.clone(), released.clone());
                Box::new(async move {
                    let block = move || {
                        begins.send_replace(true);
                        released.lock().unwrap().recv_timeout(SOON).is_ok()
                    };
                    u32::from(caller.data().spawn_blocking(block).await.unwrap_or(false))
                })
            })?;
            let begun = begun.clone();
            linker.func_wrap_async("desk", "begun", move |caller: Caller<'_, Ctx>, ()| {
                let mut begun = begun.clone();
                Box::new(async move {
                    let begun = begun.wait_for(|begun| *begun);
                    let _ = caller.data().within(Some(SOON), async { begun.await.is_ok() }).await;
                })
            })?;
            let releases = releases.clone();
            linker.func_wrap("desk", "release", move || releases.send(()).unwrap())?;
            Ok(())
        }),
    )
}

#[test]
fn a_function_that_blocks_a_thread_stops_no_other_process() {
    let log = Log::default();
    let runtime = runtime(|builder| builder.workers(1).extension(log.clone()).extension(blocking()));
    let text = guest(
        r#"(import "desk" "block" (func $block (result i32)))
           (import "desk" "begun" (func $begun))
           (import "desk" "release" (func $release))"#,
        r#"
        (func $child (call $number (call $block)))
        (func (export "_start")
            (local $child i32)
            (local.set $child (call $spawn_as (i32.const 1) (i32.const 0) (i32.const 0)))
            (call $begun)
            (call $release)
            (call $join (local.get $child)))
        (table 2 funcref)
        (elem (i32.const 1) $child)"#,
    );
    assert_eq!(run(&runtime, &text), ExitReason::Normal);
    assert_eq!(log.take(), ["1"]);
}

/// `desk.work(ms, fails) -> i32` takes its time on a thread that may block.
fn working(log: &Log) -> Functions {
    let log = log.clone();
    Functions(
        "desk",
        Box::new(move |linker| {
            let log = log.clone();
            linker.func_wrap_async(
                "desk",
                "work",
                move |caller: Caller<'_, Ctx>, (ms, fails): (u64, u32)| {
                    let log = log.clone();
                    Box::new(async move {
                        let work = move || {
                            log.push("works");
                            std::thread::sleep(Duration::from_millis(ms));
                            assert!(fails == 0, "as it was told");
                        };
                        i32::from(caller.data().spawn_blocking(work).await.is_some())
                    })
                },
            )?;
            Ok(())
        }),
    )
}

#[test]
fn what_blocks_a_thread_is_charged_to_the_budget() {
    let log = Log::default();
    let runtime = runtime(|builder| builder.extension(log.clone()).extension(working(&log)));
    let text = |fails: u32| {
        guest(
            r#"(import "desk" "work" (func $work (param i64 i32) (result i32)))"#,
            &format!(r#"(func (export "_start") (call $number (call $work (i64.const 60) (i32.const {fails}))))"#),
        )
    };
    let measured = SystemConfig {
        caps: Some(Caps::default()),
        ..SystemConfig::default()
    };
    for (fails, answer) in [(0, "1"), (1, "0")] {
        let system = start(&runtime, &text(fails), measured.clone());
        assert_eq!(system.wait(), ExitReason::Normal);
        assert_eq!(log.take(), ["works", answer]);
        let usage = system.usage().unwrap();
        assert!(usage.cpu >= Duration::from_millis(60), "{usage:?}");
        assert_eq!(usage.processes, 0);
    }
    // Who has used up what it was given does not go on.
    let capped = SystemConfig {
        caps: Some(Caps {
            cpu: Some(Duration::from_millis(30)),
            ..Caps::default()
        }),
        ..SystemConfig::default()
    };
    assert_eq!(start(&runtime, &text(0), capped).wait(), ExitReason::OutOfBudget);
    assert_eq!(log.take(), ["works"]);
    // Nor is it free to be killed meanwhile.
    let system = start(&runtime, &text(0), measured);
    log.wait_for("works");
    system.stop();
    while system.usage().unwrap().cpu < Duration::from_millis(60) {
        std::thread::yield_now();
    }
}

#[test]
fn what_a_guest_passes_is_checked() {
    let log = Log::default();
    let runtime = runtime(|builder| builder.extension(log.clone()));
    for (start, len, part) in [
        (65_530, 10, "out of bounds pointer"),
        (u32::MAX, u32::MAX, "out of bounds pointer"),
        (0, 2, "not UTF-8"),
    ] {
        let text = guest(
            "",
            &format!(
                r#"(data (i32.const 0) "\ff\ff")
                   (func (export "_start") (call $say (i32.const {start}) (i32.const {len})))"#
            ),
        );
        let reason = run(&runtime, &text);
        assert!(
            matches!(&reason, ExitReason::Trap(Trap { text, .. }) if text.contains(part)),
            "{reason}"
        );
    }
    assert_eq!(log.take(), [""; 0]);
}

#[test]
fn as_much_is_written_as_fits() {
    let log = Log::default();
    let functions = Functions(
        "desk",
        Box::new(|linker| {
            linker.func_wrap("desk", "name", |mut caller: Caller<'_, Ctx>, to: u32, capacity: u32| {
                guest_memory::write_up_to(&mut caller, to, capacity, b"a long name")
            })?;
            Ok(())
        }),
    );
    let runtime = runtime(|builder| builder.extension(log.clone()).extension(functions));
    let text = guest(
        r#"(import "desk" "name" (func $name (param i32 i32) (result i32)))"#,
        r#"
        (data (i32.const 0) "............")
        (func (export "_start")
            (call $number (call $name (i32.const 0) (i32.const 6)))
            (call $say (i32.const 0) (i32.const 12))
            (call $number (call $name (i32.const 0) (i32.const 12)))
            (call $say (i32.const 0) (i32.const 12)))"#,
    );
    assert_eq!(run(&runtime, &text), ExitReason::Normal);
    assert_eq!(log.take(), ["11", "a long......", "11", "a long name."]);
}
