//! The works that Lunatic is measured by, through the public SDK: what the programs of its peers under `benches/` do, no
//! more and no less.
//!
//! `cargo lunatic run --release --example bench -- WORK N` prints one JSON line with `system`, `work`, `n` and
//! `ns_per_op`, or `p50_us`, `p99_us` and `max_us`.
//!
//! | work | one operation |
//! |---|---|
//! | `spawn` | spawn a process, it sends one message, ends, the parent receives it |
//! | `pingpong` | one round trip between two processes |
//! | `ring` | one hop of a token around 1,000 processes |
//! | `fanin` | one message; N / 1,000 senders of 1,000 messages each, one receiver |
//! | `idle` | one process that says hello, then waits; afterwards 10,000 of them are asked something |
//! | `call` | one call of an actor and its answer |
//! | `kill` | the whole of killing a busy process with N messages in its mailbox, and hearing of it |
//! | `timers` | one timer, set and cancelled, with N of them at once |
//! | `supervise` | one child of a dynamic supervisor, of which a tenth are killed and restarted |
//! | `fair` | N endless loops a core (`CORES`, a third argument, 2 without it): how late does a process wake that sleeps 10 ms |
//! | `fib` | the whole computation of the N-th Fibonacci number |
//! | `memory` | the whole of sorting N numbers, counting them in a map and multiplying two matrices |

mod compute;
mod failure;

use std::hint::black_box;
use std::time::{Duration, Instant};

use lunatic::{Channel, Process, sleep};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| {
        args.get(at)
            .and_then(|text| text.parse::<u64>().ok())
            .filter(|number| *number > 0)
    };
    let (Some(work), Some(n)) = (args.first(), number(1)) else {
        usage()
    };
    let fields = match work.as_str() {
        "spawn" => per_op(n, spawn(n)),
        "pingpong" => per_op(n, pingpong(n)),
        "ring" => per_op(n, ring(n)),
        "fanin" => per_op(n, fanin(n)),
        "idle" => per_op(n, idle(n)),
        "call" => per_op(n, failure::call(n)),
        "kill" => per_op(1, failure::kill(n)),
        "timers" => per_op(n, failure::timers(n)),
        "supervise" => per_op(n, failure::supervise(n)),
        "fair" => fair(n * number(2).unwrap_or(2)),
        "fib" => per_op(1, timed(|| black_box(compute::fib(black_box(n))))),
        "memory" => per_op(1, timed(|| black_box(compute::memory(n)))),
        _ => usage(),
    };
    println!(r#"{{"system":"lunatic","work":"{work}","n":{n},{fields}}}"#);
}

fn usage() -> ! {
    eprintln!(
        "usage: bench spawn|pingpong|ring|fanin|idle|call|kill|timers|supervise|fair|fib|memory N [CORES], numbers above 0"
    );
    std::process::exit(2)
}

fn timed<R>(work: impl FnOnce() -> R) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn per_op(n: u64, time: Duration) -> String {
    format!(r#""ns_per_op":{:.1}"#, time.as_nanos() as f64 / n as f64)
}

fn spawn(n: u64) -> Duration {
    let squares = Channel::new(0);
    timed(|| {
        for i in 0..n {
            Process::spawn(move || squares.send((i, i * i))).unwrap();
        }
        let sum: u64 = (0..n).map(|_| squares.receive().1).sum();
        assert_eq!(sum, (0..n).map(|i| i * i).sum());
    })
}

fn pingpong(n: u64) -> Duration {
    let (there, back) = (Channel::new(0), Channel::new(0));
    Process::spawn(move || {
        for _ in 0..n {
            let x: u64 = there.receive();
            back.send(x + 1);
        }
    })
    .unwrap();
    timed(|| {
        let last = (0..n).fold(0, |x, _| {
            there.send(x);
            back.receive()
        });
        assert_eq!(last, n);
    })
}

fn ring(n: u64) -> Duration {
    let first = Channel::<i64>::new(0);
    let last = (0..1000).fold(first, |from, _| {
        let to = Channel::new(0);
        Process::spawn(move || {
            loop {
                to.send(from.receive() - 1);
            }
        })
        .unwrap();
        to
    });
    timed(|| {
        first.send(n as i64);
        loop {
            match last.receive() {
                x if x <= 0 => break,
                x => first.send(x - 1),
            }
        }
    })
}

fn fanin(n: u64) -> Duration {
    const EACH: u64 = 1000;
    let sink = Channel::new(0);
    timed(|| {
        for _ in 0..n / EACH {
            Process::spawn(move || (0..EACH).for_each(|k| sink.send(k))).unwrap();
        }
        for _ in 0..n / EACH * EACH {
            sink.receive();
        }
    })
}

fn idle(n: u64) -> Duration {
    const ASKED: u64 = 10_000;
    let hellos = Channel::<(Process, Channel<u64>)>::new(0);
    let answers = Channel::<u64>::new(0);
    let mut all = Vec::with_capacity(n as usize);
    let time = timed(|| {
        for _ in 0..n {
            Process::spawn(move || {
                let inbox = Channel::new(0);
                hellos.send((lunatic::this_process(), inbox));
                loop {
                    answers.send(inbox.receive() + 1);
                }
            })
            .unwrap();
        }
        all.extend((0..n).map(|_| hellos.receive()));
    });
    // Those that are asked are picked by a fixed rule that jumps about.
    let asked = ASKED.min(n);
    for k in 0..asked {
        all[(k.wrapping_mul(0x9E37_79B9_7F4A_7C15) % n) as usize].1.send(k);
    }
    let sum: u64 = (0..asked).map(|_| answers.receive()).sum();
    assert_eq!(sum, (1..=asked).sum(), "each answered with what it was asked plus one");
    assert!(
        all.iter().all(|(process, _)| process.is_alive()),
        "a waiting process has ended"
    );
    time
}

fn fair(burners: u64) -> String {
    const NAP: Duration = Duration::from_millis(10);
    for _ in 0..burners {
        Process::spawn(|| {
            let mut x = 0_u64;
            loop {
                x = black_box(x + 1);
            }
        })
        .unwrap();
    }
    let mut late: Vec<f64> = (0..200)
        .map(|_| {
            let asleep = timed(|| sleep(NAP));
            asleep.saturating_sub(NAP).as_nanos() as f64 / 1000.0
        })
        .collect();
    late.sort_by(f64::total_cmp);
    format!(
        r#""p50_us":{:.1},"p99_us":{:.1},"max_us":{:.1}"#,
        late[99], late[197], late[199]
    )
}
