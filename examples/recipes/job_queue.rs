//! A job queue: each attempt is a process of its own, a failed job is tried again later, and at most two run together.
//!
//! Run it with `cargo lunatic run --example job_queue`.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use lunatic::actor::{Actor, ActorRef, Info, Next};
use lunatic::mailbox::ReplyTo;
use lunatic::{ExitReason, Process, Task, this_process, time, timer};
use serde::{Deserialize, Serialize};

/// A job of this demonstration: its first attempts fail.
#[derive(Clone, Serialize, Deserialize)]
struct Job {
    name: String,
    failures: u32,
}

/// Does the work, in a process of its own.
fn work(job: &Job, attempt: u32) -> String {
    assert!(attempt > job.failures, "the line is dead");
    format!("{} is done", job.name)
}

// ANCHOR: queue
/// The number of attempts that run at the same time.
const RUNNING_MAX: usize = 2;
/// A job that has failed so often is given up.
const ATTEMPTS_MAX: u32 = 4;
/// How long a job waits after its first failure. The wait doubles with each further failure.
const FIRST_DELAY: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
struct Attempt {
    job: Job,
    number: u32,
    /// Who waits for the job to be done or given up.
    reply: ReplyTo<Outcome>,
}

/// The result and the attempt that it came from, or the reason of the last failure.
type Outcome = Result<(String, u32), String>;

#[derive(Serialize, Deserialize)]
struct Run(Job, ReplyTo<Outcome>);

#[derive(Serialize, Deserialize)]
enum Cast {
    /// From the process of an attempt.
    Done(Process, String),
    /// From a timer.
    Retry(Attempt),
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Attempt>,
    running: HashMap<Process, Attempt>,
}

impl Actor for Queue {
    type Args = ();
    type Call = Run;
    type Cast = Cast;

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Queue::default())
    }

    fn handle_call(&mut self, Run(job, reply): Run) -> Next {
        self.waiting.push_back(Attempt { job, number: 1, reply });
        self.run_some();
        Next::Continue
    }

    fn handle_cast(&mut self, cast: Cast) -> Next {
        match cast {
            Cast::Done(process, result) => {
                if let Some(attempt) = self.running.remove(&process) {
                    attempt.reply.send(Ok((result, attempt.number)));
                }
            }
            Cast::Retry(attempt) => self.waiting.push_back(attempt),
        }
        self.run_some();
        Next::Continue
    }

    /// The process of an attempt has exited. If it was done, it has said so before.
    fn handle_info(&mut self, info: Info) -> Next {
        if let Info::Down { monitor, reason } = info
            && let Some(attempt) = self.running.remove(&monitor.process())
        {
            retry(attempt, &reason.to_string());
            self.run_some();
        }
        Next::Continue
    }
}

impl Queue {
    fn run_some(&mut self) {
        while self.running.len() < RUNNING_MAX
            && let Some(attempt) = self.waiting.pop_front()
        {
            let queue = here();
            let begin = move |(job, number): (Job, u32)| queue.cast(Cast::Done(this_process(), work(&job, number)));
            match Process::spawn_with((attempt.job.clone(), attempt.number), begin) {
                Ok(process) => {
                    let _ = process.monitor();
                    self.running.insert(process, attempt);
                }
                Err(error) => retry(attempt, &error.to_string()),
            }
        }
    }
}

/// Tries the job again later, or gives it up.
fn retry(attempt: Attempt, why: &str) {
    if attempt.number == ATTEMPTS_MAX {
        attempt.reply.send(Err(why.to_owned()));
        return;
    }
    let delay = FIRST_DELAY * 2_u32.pow(attempt.number - 1);
    let number = attempt.number + 1;
    timer::send_after(here().casts(), Cast::Retry(Attempt { number, ..attempt }), delay);
}

fn here() -> ActorRef<Queue> {
    ActorRef::of(this_process())
}
// ANCHOR_END: queue

fn main() {
    // The clock of this demonstration stands still but when all processes wait, so that its output is always the same.
    time::pause();
    let start = Instant::now();
    let queue = Queue::start(()).unwrap();
    let submit = |(name, failures): (&'static str, u32)| {
        let job = move || Job {
            name: name.to_owned(),
            failures,
        };
        Task::spawn(move || queue.call(|reply| Run(job(), reply)).unwrap()).unwrap()
    };
    let jobs = [("letter", 0), ("parcel", 2), ("fax", 9), ("postcard", 1)].map(submit);
    for job in jobs {
        match job.join().unwrap() {
            Ok((result, attempt)) => println!("{result} in attempt {attempt}"),
            Err(why) => println!("given up after {:?}: the process {why}", start.elapsed()),
        }
    }
}
