//! Guests that make the host keep as much for them as they can, one way each: under a budget of a few megabytes, what the host
//! keeps stays within it, and all of it is given back.
//!
//! A test program of its own: what is resident is measured for the whole program, and no other test may run beside it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lunatic_host::ExitReason;
use lunatic_host::budget::Caps;
#[cfg(feature = "compat")]
use lunatic_tests::attackers::hoards;
use lunatic_tests::attackers::hoards::{HOARDS, module};
use lunatic_tests::components::guest;
use lunatic_tests::host::{Host, PATIENCE, Program};
use lunatic_tests::resident::resident;

/// What the budget of an attacker allows, its memory and all that is kept for it together. With the smaller one, most of
/// them run until it is used up; with the larger one, what is kept several times does not hide in the slack.
const BUDGETS: [usize; 2] = [8 << 20, 64 << 20];
/// What one call may add before its process ends for it.
const ONE_STEP: usize = 64 << 10;
/// What the whole program may grow by beside the budget: the memory of ends, allocator, stacks, compiled code.
const RESIDENT_SLACK: usize = 64 << 20;

/// The most that was kept beside memories, and that the program grew by, while `run` ran.
fn watch<T>(host: &Host, run: impl FnOnce() -> T) -> (usize, usize, T) {
    let (before, over) = (resident(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let (mut kept, mut grown) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                kept = kept.max(host.figures().kept_bytes);
                grown = grown.max(resident().saturating_sub(before));
                // Waits for no effect: this is the pace of the measurement.
                std::thread::sleep(Duration::from_millis(1));
            }
            (kept, grown)
        });
        let result = run();
        over.store(true, Ordering::Relaxed);
        let (kept, grown) = watching.join().unwrap();
        (kept, grown, result)
    })
}

/// Scenarios of components with a folder that contains a file `given` of 64 KiB.
const OF_COMPONENTS: [&str; 2] = ["floods_streams", "drops_streams"];

/// Runs a hoard, and judges what the host kept meanwhile and afterwards.
fn check(host: &Host, what: &str, program: Program<'_>, budget: usize) {
    let caps = Caps {
        processes: Some(200),
        memory: Some(budget as u64),
        cpu: Some(Duration::from_millis(500)),
        ..Caps::default()
    };
    let attacker = || program.quiet().caps(caps).run().reason;
    let (kept, grown, reason) = watch(host, attacker);
    let is_refused = match &reason {
        ExitReason::OutOfBudget | ExitReason::OutOfMemory(_) => true,
        // What an older interface has no code for is a trap.
        ExitReason::Trap(trap) => ["memory", "at most", "already"]
            .iter()
            .any(|part| trap.text.contains(part)),
        _ => false,
    };
    assert!(is_refused, "{what}: it {reason}");
    assert!(kept <= budget + ONE_STEP, "{what}: {kept} bytes are kept");
    assert!(
        grown <= budget + RESIDENT_SLACK,
        "{what}: {grown} bytes more are resident"
    );
    // The children of a system that has ended may still be about to.
    let start = Instant::now();
    let mut left = host.figures().kept_bytes;
    while left > 0 && start.elapsed() < PATIENCE {
        std::thread::yield_now();
        left = host.figures().kept_bytes;
    }
    assert_eq!(left, 0, "{what}: not all is given back");
    println!("{what}: at most {kept} bytes kept, {grown} more resident; it {reason}");
}

#[test]
fn what_is_kept_for_a_process_stays_within_its_budget_and_is_given_back() {
    let host = Host::with(|builder| builder.workers(2));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("given"), vec![1; 64 << 10]).unwrap();
    for budget in BUDGETS {
        for hoard in HOARDS {
            check(&host, hoard.what, host.program(&module(hoard)), budget);
        }
        for name in OF_COMPONENTS {
            let program = host.program(&guest()).args([name]);
            check(&host, name, program.dir(folder.path(), "/data", true), budget);
        }
        #[cfg(feature = "compat")]
        for hoard in hoards::COMPAT_HOARDS {
            check(&host, hoard.what, host.program(&hoards::compat_module(hoard)), budget);
        }
    }
}
