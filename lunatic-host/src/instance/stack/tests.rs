use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::ptr::NonNull;
use std::task::{Context, Waker};

use wasmtime::{Engine, Linker, Module, Store};

use super::*;
use crate::instance::residency::Pages;
use crate::instance::tests::{in_own_process, kernel_maps, run_alone};

const SIZE: usize = 64 << 10;

/// The pages of a stack, to look at and to write to.
fn pages(stack: &Stack) -> Pages<'_> {
    let range = stack.range();
    // SAFETY: the stack is open above its guard, and no fiber runs on it.
    unsafe { Pages::from_raw(NonNull::new(range.start as *mut u8).unwrap(), range.len()) }
}

/// What is left on a stack that was full of data, when the next user gets it.
fn left_behind(warm_max: u32, zeroed: bool, guard: Guard) -> usize {
    let stacks = Stacks::with_guard(SIZE, warm_max, guard).unwrap();
    let stack = stacks.make(SIZE, false).unwrap();
    pages(&stack).bytes_mut().fill(7);
    let top = stack.top();
    drop(stack);
    let stack = stacks.make(SIZE, zeroed).unwrap();
    assert_eq!(stack.top(), top, "the same slot again");
    let pages = pages(&stack);
    let left = pages.bytes().iter().filter(|byte| **byte == 7).count();
    assert!(
        pages.bytes().iter().rev().take(left).all(|byte| *byte == 7),
        "what is left is at the top"
    );
    left
}

#[test]
fn only_the_top_of_a_warm_stack_is_kept() {
    for guard in [Guard::best(), Guard::Protect] {
        assert_eq!(left_behind(1, false, guard), KEPT);
        assert_eq!(left_behind(1, true, guard), 0);
        assert_eq!(left_behind(0, false, guard), 0);
        assert_eq!(left_behind(0, true, guard), 0);
    }
}

#[test]
fn a_stack_has_the_size_asked_for_above_its_guard() {
    let check = |size: usize, expected: usize| {
        let stacks = Stacks::new(size, 0).unwrap();
        let stack = stacks.make(size, false).unwrap();
        assert_eq!(stack.range().len(), expected);
        assert_eq!(stack.range().end, stack.top() as usize);
        assert_eq!(stack.guard_range().end as usize, stack.range().start);
        assert_eq!(stack.guard_range().start as usize + page_size(), stack.range().start);
        assert_eq!(stacks.stack_at(stack.top() as usize - 1), Some(stack.range()));
        assert_eq!(stacks.stack_at(stack.top() as usize), None);
        pages(&stack).bytes_mut().fill(1);
    };
    check(1, page_size());
    check(page_size(), page_size());
    check(SIZE, SIZE);
    check(SIZE + 1, SIZE + page_size());
}

#[test]
fn a_stack_larger_than_configured_is_refused() {
    let stacks = Stacks::new(SIZE, 0).unwrap();
    assert!(stacks.make(SIZE + 1, false).is_err());
    assert!(Stacks::new(usize::MAX, 0).is_err());
    assert!(Stacks::new(usize::MAX - page_size(), 0).is_err());
}

#[test]
fn ten_thousand_stacks_use_few_maps() {
    run_alone("instance::stack::tests::alone_ten_thousand_stacks");
}

#[test]
#[ignore = "runs in a process of its own: counts maps"]
fn alone_ten_thousand_stacks() {
    let count = |guard: Guard| {
        let stacks = Stacks::with_guard(SIZE, 0, guard).unwrap();
        let before = kernel_maps();
        let taken: Vec<Stack> = (0..10_000).map(|_| stacks.make(SIZE, false).unwrap()).collect();
        for stack in &taken {
            pages(stack).bytes_mut()[SIZE - 1] = 1;
        }
        kernel_maps() - before
    };
    if Guard::best() == Guard::Install {
        let maps = count(Guard::Install);
        assert!(maps < 20, "{maps} kernel maps");
    }
    // The fallback works as well, for as many stacks as there are maps for.
    assert!(count(Guard::Protect) > 19_000);
}

#[test]
fn writing_to_the_guard_ends_the_process() {
    for test in ["alone_install", "alone_protect"] {
        let output = in_own_process(&format!("instance::stack::tests::{test}"));
        let signal = output.status.signal();
        assert!(
            matches!(signal, Some(libc::SIGSEGV | libc::SIGBUS)),
            "{test}: {output:?}"
        );
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("above is fine"),
            "{test}: {output:?}"
        );
    }
}

#[test]
#[ignore = "runs in a process of its own: ends it"]
fn alone_install() {
    overflow(Guard::best());
}

#[test]
#[ignore = "runs in a process of its own: ends it"]
fn alone_protect() {
    overflow(Guard::Protect);
}

/// Writes from the top of a stack, that was used before, down into its guard.
fn overflow(guard: Guard) {
    let stacks = Stacks::with_guard(SIZE, 1, guard).unwrap();
    drop(stacks.make(SIZE, false).unwrap());
    let stack = stacks.make(SIZE, true).unwrap();
    pages(&stack).bytes_mut().fill(1);
    println!("above is fine");
    // SAFETY: not safe at all: the guard page is there to end the process here.
    unsafe { stack.guard_range().end.sub(1).write_volatile(1) };
}

/// An engine whose fibers run on `stacks`.
fn engine(stacks: &Arc<Stacks>) -> Engine {
    let mut config = Config::new();
    config.max_wasm_stack(SIZE / 2);
    stacks.configure(&mut config);
    Engine::new(&config).unwrap()
}

#[test]
fn a_guest_that_recurses_for_ever_traps_and_its_stack_is_used_again() {
    let stacks = Stacks::new(SIZE, 1).unwrap();
    let engine = engine(&stacks);
    let module = Module::new(&engine, "(module (func $f (export \"f\") (call $f) (call $f)))").unwrap();
    for _ in 0..3 {
        let mut store = Store::new(&engine, ());
        let linker = Linker::new(&engine);
        let trap = block_on(async {
            let instance = linker.instantiate_async(&mut store, &module).await?;
            instance
                .get_typed_func::<(), ()>(&mut store, "f")?
                .call_async(&mut store, ())
                .await
        });
        assert_eq!(
            trap.unwrap_err().downcast_ref::<wasmtime::Trap>(),
            Some(&wasmtime::Trap::StackOverflow)
        );
        assert_eq!(stacks.taken(), 1);
    }
    assert_eq!(stacks.taken(), 0);
}

#[test]
fn a_host_function_can_tell_its_stack() {
    let stacks = Stacks::new(SIZE, 1).unwrap();
    let engine = engine(&stacks);
    let module = Module::new(
        &engine,
        "(module (import \"\" \"h\" (func $h)) (func (export \"f\") (call $h)))",
    )
    .unwrap();
    let mut store = Store::new(&engine, None);
    let mut linker = Linker::new(&engine);
    let shared = stacks.clone();
    linker
        .func_wrap(
            "",
            "h",
            move |mut caller: wasmtime::Caller<'_, Option<Range<usize>>>| {
                let local = 0u8;
                *caller.data_mut() = shared.stack_at(&raw const local as usize);
            },
        )
        .unwrap();
    block_on(async {
        let instance = linker.instantiate_async(&mut store, &module).await?;
        instance
            .get_typed_func::<(), ()>(&mut store, "f")?
            .call_async(&mut store, ())
            .await
    })
    .unwrap();
    assert_eq!(store.data().as_ref().map(|range| range.len()), Some(SIZE));
}

/// Runs a future that waits for nothing to its end.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
