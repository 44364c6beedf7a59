//! A periodic task: it runs each hour in a process of its own, never twice at the same time, and a failure stops nothing.
//!
//! Run it with `cargo lunatic run --example periodic_task`.

use std::time::{Duration, Instant};

use lunatic::actor::{Actor, ActorRef, Info, Next};
use lunatic::process::Monitor;
use lunatic::{ExitReason, Process, sleep, this_process, time, timer};
use serde::{Deserialize, Serialize};

/// The task of this demonstration: its second run fails, and its third takes 90 minutes.
fn clean_up(run: u32) {
    match run {
        2 => panic!("the disk is full"),
        3 => sleep(Duration::from_secs(90 * 60)),
        _ => {}
    }
}

// ANCHOR: schedule
const INTERVAL: Duration = Duration::from_secs(60 * 60);

#[derive(Serialize, Deserialize)]
struct Tick;

struct Schedule {
    start: Instant,
    runs: u32,
    running: Option<Monitor>,
}

impl Actor for Schedule {
    type Args = ();
    type Call = ();
    type Cast = Tick;

    fn init((): ()) -> Result<Self, ExitReason> {
        // The timer ends with this process, so a restart by a supervisor leaves no second one behind.
        timer::send_interval(ActorRef::<Self>::of(this_process()).casts(), Tick, INTERVAL);
        Ok(Schedule {
            start: Instant::now(),
            runs: 0,
            running: None,
        })
    }

    fn handle_cast(&mut self, Tick: Tick) -> Next {
        if self.running.is_some() {
            self.log("is still running");
            return Next::Continue;
        }
        self.runs += 1;
        let run = self.runs;
        match Process::spawn_monitor(move || clean_up(run)) {
            Ok((_, monitor)) => self.running = Some(monitor),
            Err(error) => self.log(&format!("could not start: {error}")),
        }
        Next::Continue
    }

    fn handle_info(&mut self, info: Info) -> Next {
        if let Info::Down { monitor, reason } = info
            && self.running == Some(monitor)
        {
            self.running = None;
            self.log(&reason.to_string());
        }
        Next::Continue
    }
}

impl Schedule {
    fn log(&self, what: &str) {
        let minutes = self.start.elapsed().as_secs() / 60;
        println!("{minutes} min: run {} {what}", self.runs);
    }
}
// ANCHOR_END: schedule

fn main() {
    // The clock of this demonstration stands still but when all processes wait: five and a half hours pass at once.
    time::pause();
    let schedule = Schedule::start(()).unwrap();
    time::advance(Duration::from_secs(330 * 60));
    schedule.stop();
}
