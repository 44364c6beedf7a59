//! 1,000 processes: a third panics, a third traps, and the rest is not affected.
//!
//! Run it with `cargo lunatic run --example isolation`. It exits with code 0 only if every process exited as intended
//! and the message of each one that finished has arrived.

use std::collections::HashSet;
use std::hint::black_box;

use lunatic::{Channel, ExitReason, Process};

const PROCESSES: u32 = 1_000;

/// How a process is meant to exit.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Panics,
    ReachesUnreachable,
    ReadsOutOfBounds,
    Finishes,
}

impl Fate {
    fn of(i: u32) -> Self {
        match i % 3 {
            0 => Self::Panics,
            1 if i.is_multiple_of(2) => Self::ReachesUnreachable,
            1 => Self::ReadsOutOfBounds,
            _ => Self::Finishes,
        }
    }

    fn is_met(self, reason: &ExitReason) -> bool {
        match self {
            Self::Panics => matches!(reason, ExitReason::Panic(message) if message.contains("meant to panic")),
            Self::ReachesUnreachable | Self::ReadsOutOfBounds => matches!(reason, ExitReason::Trap { .. }),
            Self::Finishes => reason.is_normal(),
        }
    }
}

#[lunatic::main]
fn main() -> Result<(), String> {
    let channel = Channel::<u32>::new(0);

    let processes: Vec<Process> = (0..PROCESSES)
        .map(|i| Process::spawn(move || live(i, channel)).map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;

    let mut unmet = 0;
    for (i, process) in (0..).zip(&processes) {
        let reason = process.join();
        if !Fate::of(i).is_met(&reason) {
            eprintln!("process {process} was to end otherwise: it {reason}");
            unmet += 1;
        }
    }

    let mut heard = HashSet::new();
    while let Ok(i) = channel.try_receive() {
        if Fate::of(i) != Fate::Finishes || !heard.insert(i) {
            return Err(format!("did not expect to hear from number {i}"));
        }
    }

    let count = |fates: &[Fate]| (0..PROCESSES).filter(|&i| fates.contains(&Fate::of(i))).count();
    let finish = count(&[Fate::Finishes]);
    println!("{} panicked", count(&[Fate::Panics]));
    println!("{} trapped", count(&[Fate::ReachesUnreachable, Fate::ReadsOutOfBounds]));
    println!("{} of {finish} finished and were heard", heard.len());

    if unmet > 0 || heard.len() != finish {
        return Err(format!("{unmet} processes did not end as they were meant to"));
    }
    Ok(())
}

/// The work of process number `i`.
fn live(i: u32, channel: Channel<u32>) {
    match Fate::of(i) {
        Fate::Panics => panic!("number {i} was meant to panic"),
        Fate::ReachesUnreachable => unreachable_instruction(),
        Fate::ReadsOutOfBounds => read_out_of_bounds(),
        Fate::Finishes => channel.send(i),
    }
}

/// Executes the wasm instruction `unreachable`, without the panic that Rust's `unreachable!` begins with.
fn unreachable_instruction() {
    std::process::abort()
}

/// Reads beyond the end of the memory, which safe Rust prevents.
fn read_out_of_bounds() {
    // The last bytes of the largest memory that a wasm32 process can have; no process gets that much.
    let pointer = (u32::MAX - 15) as usize as *const u64;
    // SAFETY: this is not sound, because the pointer belongs to no object. On WebAssembly the read traps and terminates
    // the process, which this example shows; `black_box` and the volatile read keep the compiler from exploiting it.
    let value = unsafe { black_box(pointer).read_volatile() };
    println!("read {value}, which should not be possible");
}
