//! Does the host keep anything of processes that are gone? Whoever runs these works checks the host's memory at each
//! *mark*, a line of JSON on standard output. With a third argument `wait`, the work goes on only after a line on
//! standard input.

use std::time::{Duration, Instant};

use lunatic::{Channel, ExitReason, Mailbox, Process, sleep};

use super::{spawn, spawn_into, timed};

/// How many processes are spawned before their messages are received.
const TOGETHER: u64 = 1000;
/// How long the host has for cleaning up before the last mark.
const REST: Duration = Duration::from_secs(1);

pub(crate) struct Marks {
    /// Whether to wait for a line after each mark.
    pub(crate) wait: bool,
}

impl Marks {
    fn mark(&self, name: &str, processes: u64) {
        println!(r#"{{"mark":"{name}","processes":{processes}}}"#);
        if self.wait {
            let read = std::io::stdin().read_line(&mut String::new());
            read.expect("standard input can be read");
        }
    }
}

/// Spawns processes for some seconds. Returns how many, and the time. Makes a mark each minute, or each fifth of the
/// time.
pub(crate) fn churn(seconds: u64, marks: &Marks) -> (u64, Duration) {
    let all = Duration::from_secs(seconds);
    let each = (all / 5).min(Duration::from_secs(60));
    let (mut spawned, mut time, mut marked) = (0, Duration::ZERO, Duration::ZERO);
    // One channel for all, because a channel and its buffer live until this process exits.
    let squares = Channel::new(0);
    marks.mark("start", 0);
    while time < all {
        time += spawn_into(squares, TOGETHER);
        spawned += TOGETHER;
        if time >= marked + each && time < all {
            marked += each;
            marks.mark(&format!("{} s", marked.as_secs_f64()), spawned);
        }
    }
    sleep(REST);
    marks.mark("end", spawned);
    (spawned, time)
}

/// Runs `n` processes one soon after the other, then `n` that are all alive at the same time.
pub(crate) fn gone(n: u64, marks: &Marks) -> Duration {
    marks.mark("start", 0);
    let short = spawn(n);
    sleep(REST);
    marks.mark("came and went", n);
    let hellos = Channel::<()>::new(0);
    let mut all = Vec::with_capacity(n as usize);
    let long = timed(|| {
        all.extend((0..n).map(|_| {
            Process::spawn(move || {
                hellos.send(());
                Mailbox::<()>::new().receive();
            })
            .unwrap()
        }));
        (0..n).for_each(|_| hellos.receive());
    });
    marks.mark("all alive", 2 * n);
    let end = Instant::now();
    all.iter().for_each(|process| process.kill());
    // The host remembers the last 65,536 reasons.
    let is_gone = |process: &Process| matches!(process.join(), ExitReason::Killed | ExitReason::Forgotten);
    assert!(all.iter().all(is_gone));
    let end = end.elapsed();
    drop(all);
    sleep(REST);
    marks.mark("end", 2 * n);
    short + long + end
}
