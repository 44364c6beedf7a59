use std::os::unix::process::ExitStatusExt;
use std::pin::{Pin, pin};
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use wasmtime::{Caller, Engine, Linker, Module, Store};

use super::*;
use crate::linear::{DenseMemories, MemoryBudget};
use crate::residency::{Method, Pages};
use crate::testing::{in_own_process, kernel_maps, run_alone};

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
    run_alone("stack::tests::alone_ten_thousand_stacks");
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
        let output = in_own_process(&format!("stack::tests::{test}"));
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

/// Writes from the top of a stack, that was used before and trimmed, down into its guard.
fn overflow(guard: Guard) {
    let stacks = Stacks::with_guard(SIZE, 1, guard).unwrap();
    drop(stacks.make(SIZE, false).unwrap());
    stacks.trim();
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

/// A future that is ready when it is asked the second time.
struct Once(bool);

impl Future for Once {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// Writes to its memory, recurses, waits at the bottom, and adds up what memory and stack hold.
const WAITING_GUEST: &str = r#"(module
    (import "" "wait" (func $wait))
    (memory (export "memory") 4)
    (data (i32.const 70000) "\05")
    (func $f (export "f") (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then
                (i32.store (i32.mul (local.get 0) (i32.const 4096)) (local.get 0))
                (call $f (i32.sub (local.get 0) (i32.const 1)))
                (i32.add (local.get 0))
                (i32.add (i32.load (i32.mul (local.get 0) (i32.const 4096)))))
            (else (call $wait) (i32.load8_u (i32.const 70000))))))"#;

/// Where a guest that waits has its stack and its memory, as addresses.
type Places = Arc<Mutex<Option<[Range<usize>; 2]>>>;

/// Gives [`WAITING_GUEST`] its import: waits once, and notes where the guest is.
fn waiting_linker(engine: &Engine, stacks: &Arc<Stacks>, places: &Places) -> Linker<()> {
    let mut linker = Linker::new(engine);
    let (stacks, places) = (stacks.clone(), places.clone());
    linker
        .func_wrap_async("", "wait", move |mut caller: Caller<'_, ()>, ()| {
            let local = 0u8;
            let memory = caller
                .get_export("memory")
                .and_then(|export| export.into_memory())
                .unwrap();
            let (base, len) = (memory.data_ptr(&caller) as usize, memory.data_size(&caller));
            let stack = stacks.stack_at(&raw const local as usize).unwrap();
            *places.lock() = Some([stack, base..base + len]);
            Box::new(Once(false))
        })
        .unwrap();
    linker
}

#[test]
fn a_waiting_guest_goes_on_after_its_pages_were_given_back() {
    let stacks = Stacks::new(SIZE, 1).unwrap();
    let memories = DenseMemories::new(MemoryBudget::new(usize::MAX)).unwrap();
    let mut config = Config::new();
    config.max_wasm_stack(SIZE / 2);
    stacks.configure(&mut config);
    memories.configure(&mut config);
    let engine = Engine::new(&config).unwrap();
    let module = Module::new(&engine, WAITING_GUEST).unwrap();
    let places = Places::default();
    let linker = waiting_linker(&engine, &stacks, &places);
    let mut store = Store::new(&engine, ());
    let mut call = pin!(async {
        let instance = linker.instantiate_async(&mut store, &module).await?;
        let f = instance.get_typed_func::<i32, i32>(&mut store, "f")?;
        f.call_async(&mut store, 40).await
    });
    let mut context = Context::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut context).is_pending());

    let places = places.lock().take().unwrap();
    let image = [vec![0; 70000 % page_size()], vec![5]].concat();
    let image_of = |page| (page as usize == 70000 / page_size()).then_some(&image[..]);
    // SAFETY: the fiber that runs on this stack, and uses this memory, waits.
    let [mut stack, mut memory] =
        places.map(|range| unsafe { Pages::from_raw(NonNull::new(range.start as *mut u8).unwrap(), range.len()) });
    let (frames, data) = (stack.diff(|_| None), memory.diff(image_of));
    // 40 numbers, at the beginning of a page each.
    assert!(data.len() <= 40 * (16 + 3), "{} bytes", data.len());
    // 40 frames of the guest, and those of the host function.
    assert!(frames.len() < 8192, "{} bytes", frames.len());
    stack.release();
    memory.release();
    assert!(Method::best() == Method::All || stack.resident().count() + memory.resident().count() == 0);
    stack.restore(&frames, |_| None);
    memory.restore(&data, image_of);

    let sum = 2 * (1..=40).sum::<i32>() + 5;
    assert!(matches!(call.as_mut().poll(&mut context), Poll::Ready(Ok(result)) if result == sum));
}

/// Runs a future that waits for nothing to its end.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
