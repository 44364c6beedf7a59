//! The benchmark works of Lunatic, written against the public SDK. They do exactly what the programs of its peers under
//! `benches/` do.
//!
//! `cargo lunatic run --release --example bench -- WORK N` prints one JSON line with `system`, `work`, `n` and
//! `ns_per_op`, or `p50_us`, `p99_us` and `max_us`.
//!
//! | work | one operation |
//! |---|---|
//! | `spawn` | spawn a process, which sends one message and exits; the parent receives the message |
//! | `spawn-parallel` | the same, by PARENTS processes (third argument, 2 without it) that spawn and receive N / PARENTS each |
//! | `pingpong` | one round trip between two processes |
//! | `ring` | one hop of a token around 1,000 processes |
//! | `fanin` | one message; N / 1,000 senders of 1,000 messages each, one receiver |
//! | `idle` | one process that sends a message, then waits; afterwards 10,000 of them, picked at random, get a request, and all must be alive |
//! | `churn` | the same as `spawn`, as many as fit into N seconds; marks for measuring the host's memory |
//! | `gone` | N processes that exit immediately, then N that are alive at the same time and are killed; marks, too |
//! | `call` | one call of an actor and its answer |
//! | `kill` | the whole of killing a busy process with N messages in its mailbox, and of joining it |
//! | `timers` | one timer, set and cancelled, with N of them at the same time |
//! | `supervise` | one child of a dynamic supervisor, of which a tenth are killed and restarted |
//! | `fair` | N endless loops per core (`CORES`, third argument, 2 without it): how late a process wakes that sleeps 10 ms |
//! | `send` | one message; a process sends N to another one, which receives them meanwhile |
//! | `skynet` | one leaf of a tree of processes with ten children each, of N leaves, whose numbers are added up |
//! | `fork-join` | one message; a parent deals N out to 60 workers |
//! | `big` | one ping and its answer; N among 120 processes that ping each other at random |
//! | `bank` | one transfer between two of 1,000 accounts, which receive nothing else until it is confirmed |
//! | `philosophers` | one meal of 20 philosophers, whom a waiter serves when both forks are free |
//! | `sieve` | one number up to N, which a row of processes, one for each prime, sifts |
//! | `selective` | one round trip while N messages of another type wait in the mailbox; 1,000 of them |
//! | `broadcast` | one line received by one of N clients of a chat room; 20 lines of 64 bytes |
//! | `node-call` | one round trip with a process of another node |
//! | `node-send` | one message of 100 bytes to a process of another node; N from one process |
//! | `node-pairs` | the same with 100 pairs of processes |
//! | `node-spawn` | spawn a process on another node, which sends a message; its module is there |
//! | `node-frozen` | one of N round trips with a node while another stands still, to which much is sent |
//! | `node-join` | wait until each of N nodes is connected to all others |
//! | `node-events` | nothing to measure: what a process is told of another node; a line for each event |
//! | `fib` | the whole computation of the N-th Fibonacci number |
//! | `memory` | the whole of sorting N numbers, counting them in a map and multiplying two matrices |

mod churn;
mod compute;
mod failure;
mod mailboxes;
mod node_events;
mod nodes;
mod savina;
mod skynet;

use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::time::{Duration, Instant};

use lunatic::mailbox::ReplyTo;
use lunatic::{Address, Channel, Mailbox, Process, sleep};

use self::churn::Marks;

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
    let marks = Marks {
        wait: args.get(2).is_some_and(|arg| arg == "wait"),
    };
    let fields = match work.as_str() {
        "spawn" => per_op(n, spawn(n)),
        "spawn-parallel" => per_op(n, spawn_parallel(n, number(2).unwrap_or(2))),
        "churn" => {
            let (spawned, time) = churn::churn(n, &marks);
            format!(r#""spawned":{spawned},{}"#, per_op(spawned, time))
        }
        "gone" => per_op(2 * n, churn::gone(n, &marks)),
        "pingpong" => per_op(n, pingpong(n)),
        "ring" => per_op(n, ring(n)),
        "fanin" => per_op(n, fanin(n)),
        "idle" => per_op(n, idle(n)),
        "call" => per_op(n, failure::call(n)),
        "kill" => per_op(1, failure::kill(n)),
        "timers" => per_op(n, failure::timers(n)),
        "supervise" => per_op(n, failure::supervise(n)),
        "fair" => fair(n * number(2).unwrap_or(2)),
        "send" => per_op(n, mailboxes::send(n)),
        "skynet" => per_op(n, skynet::skynet(n)),
        "fork-join" => per_op(n, savina::fork_join(n)),
        "big" => per_op(n, savina::big(n)),
        "bank" => per_op(n, savina::bank(n)),
        "philosophers" => per_op(n, savina::philosophers(n)),
        "sieve" => per_op(n, savina::sieve(n)),
        "selective" => per_op(mailboxes::ANSWERS, mailboxes::selective(n)),
        "broadcast" => per_op(n * mailboxes::LINES, mailboxes::broadcast(n)),
        "node-call" => per_op(n, nodes::call(n)),
        "node-send" => per_op(n, nodes::send(n, 1)),
        "node-pairs" => per_op(n, nodes::pairs(n)),
        "node-spawn" => per_op(n, nodes::spawn(n)),
        "node-frozen" => nodes::frozen(n),
        "node-join" => per_op(1, timed(|| nodes::join(n))),
        "node-events" => per_op(1, timed(node_events::run)),
        "fib" => per_op(1, timed(|| black_box(compute::fib(black_box(n))))),
        "memory" => per_op(1, timed(|| black_box(compute::memory(n)))),
        _ => usage(),
    };
    println!(r#"{{"system":"lunatic","work":"{work}","n":{n},{fields}}}"#);
}

fn usage() -> ! {
    eprintln!(
        "usage: bench spawn|spawn-parallel|pingpong|ring|fanin|idle|churn|gone|call|kill|timers|supervise|fair|send|skynet|\
         fork-join|big|bank|philosophers|sieve|selective|broadcast|node-call|node-send|node-pairs|node-spawn|node-frozen|node-join|\
         node-events|fib|memory N [CORES|PARENTS|wait], numbers above 0"
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
    spawn_into(Channel::new(0), n)
}

fn spawn_into(squares: Channel<(u64, u64)>, n: u64) -> Duration {
    timed(|| {
        for i in 0..n {
            Process::spawn(move || squares.send((i, i * i))).unwrap();
        }
        let sum: u64 = (0..n).map(|_| squares.receive().1).sum();
        assert_eq!(sum, (0..n).map(|i| i * i).sum());
    })
}

/// How much spawning gains from more cores: with one parent, the work of that parent is the bound.
fn spawn_parallel(n: u64, parents: u64) -> Duration {
    let (go, done) = (Channel::<()>::new(0), Channel::<Duration>::new(0));
    for parent in 0..parents {
        let share = n / parents + u64::from(parent < n % parents);
        Process::spawn(move || {
            go.receive();
            done.send(spawn(share));
        })
        .unwrap();
    }
    timed(|| {
        (0..parents).for_each(|_| go.send(()));
        (0..parents).for_each(|_| _ = done.receive());
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
    type Question = (u64, ReplyTo<u64>);
    let hellos = Channel::<()>::new(0);
    let mut all = Vec::with_capacity(n as usize);
    let time = timed(|| {
        all.extend((0..n).map(|_| {
            Process::spawn(move || {
                let questions = Mailbox::<Question>::new();
                hellos.send(());
                loop {
                    let (number, reply) = questions.receive();
                    reply.send(number + 1);
                }
            })
            .unwrap()
        }));
        (0..n).for_each(|_| hellos.receive());
    });
    let random = RandomState::new();
    for k in 0..ASKED.min(n) {
        let picked = all[(random.hash_one(k) % n) as usize];
        let answer = Address::<Question>::of(picked).call(|reply| (k, reply)).unwrap();
        assert_eq!(answer, k + 1, "process {picked} answers what it was asked plus one");
    }
    let alive = all.iter().filter(|process| process.is_alive()).count() as u64;
    assert_eq!(alive, n, "a waiting process has ended");
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
