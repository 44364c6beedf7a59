//! A function that spawns for its callers says what they may capture.

use lunatic::process::Capture;
use lunatic::{Process, SpawnError};

fn run_later<F: FnOnce() + Capture>(work: F) -> Result<Process, SpawnError> {
    Process::spawn(work)
}

fn main() {
    let _ = run_later::<fn()>;
    let _ = |number: u32| run_later(move || println!("{number}"));
}
