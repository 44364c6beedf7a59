//! Twice as many endless loops as cores, and a process that still ticks every 10 ms.
//!
//! Run it with `cargo lunatic run --example fairness -- [CORES] [TICKS]`. Without `CORES` it asks the system, which
//! WebAssembly programs usually cannot do, and otherwise assumes 4.

use std::hint::black_box;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use lunatic::{Channel, Process, sleep};

/// The time between two ticks.
const INTERVAL: Duration = Duration::from_millis(10);
/// The number of ticks, unless an argument sets it.
const TICKS: usize = 200;
/// The number of cores, unless an argument or the system tells it.
const CORES: usize = 4;

#[lunatic::main]
fn main() -> Result<(), String> {
    let mut args = std::env::args().skip(1);
    let cores = number(args.next())?
        .or_else(|| available_parallelism().ok().map(usize::from))
        .unwrap_or(CORES);
    let ticks = number(args.next())?.unwrap_or(TICKS);

    let burners: Vec<Process> = (0..2 * cores)
        .map(|_| Process::spawn(burn).map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;
    println!("{} processes burn what they get", burners.len());

    let late = Channel::<Duration>::new(0);
    Process::spawn(move || tick(ticks, late)).map_err(|error| error.to_string())?;
    let mut late: Vec<Duration> = (0..ticks).map(|_| late.receive()).collect();
    late.sort_unstable();

    if !burners.iter().all(Process::is_alive) {
        return Err("a process that never returns has ended".to_owned());
    }
    let at = |percent: usize| {
        late.get((late.len() * percent).div_ceil(100).saturating_sub(1))
            .copied()
    };
    for (name, late) in [
        ("half of them", at(50)),
        ("99 in 100", at(99)),
        ("all of them", at(100)),
    ] {
        println!("{ticks} ticks: {name} at most {:?} late", late.unwrap_or_default());
    }
    Ok(())
}

/// An endless loop that never yields.
fn burn() {
    let mut number = 0_u64;
    loop {
        number = black_box(number)
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
    }
}

/// Sleeps repeatedly, and reports how late it woke each time.
fn tick(ticks: usize, late: Channel<Duration>) {
    for _ in 0..ticks {
        let start = Instant::now();
        sleep(INTERVAL);
        late.send(start.elapsed().saturating_sub(INTERVAL));
    }
}

/// The number in an argument; `None` without an argument.
fn number(arg: Option<String>) -> Result<Option<usize>, String> {
    match arg.as_deref().map(str::parse::<usize>) {
        None => Ok(None),
        Some(Ok(number)) if number > 0 => Ok(Some(number)),
        Some(_) => Err("usage: fairness [CORES] [TICKS], both numbers above 0".to_owned()),
    }
}
