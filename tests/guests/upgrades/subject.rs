//! Anything at any time.

use std::time::Duration;

use lunatic::actor::{Actor, ActorRef, Next};
use lunatic::code::{Saved, StateError, Version};
use lunatic::mailbox::{Mail, ReplyTo};
use lunatic::process::Monitor;
use lunatic::{ExitReason, Mailbox, sleep, timer};
use serde::{Deserialize, Serialize};

use crate::{is_done, is_end, say_ready};

/// What an actor of the next version does with the state of this one.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Fate {
    Takes,
    Traps,
    Refuses,
    Returns,
    Loops,
}

/// Counts what comes in its order, and what timers send.
#[derive(Serialize, Deserialize)]
struct Subject {
    next: u32,
    timed: u32,
    fate: Fate,
    changes: u32,
    ballast: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
enum Told {
    Number(u32),
    Timed,
    Fate(Fate),
}

/// How a subject is: its numbers, what timers sent, and how often it has changed.
type Answer = (u32, u32, u32);

impl Actor for Subject {
    type Args = ();
    type Call = ReplyTo<Answer>;
    type Cast = Told;

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self {
            next: 0,
            timed: 0,
            fate: Fate::Takes,
            changes: 0,
            ballast: Vec::new(),
        })
    }

    fn save(&self) -> Option<Result<Saved, StateError>> {
        Some(Saved::of(self))
    }

    fn code_change(old: Saved, _: Version) -> Result<Self, StateError> {
        let mut state: Self = old.read()?;
        match state.fate {
            Fate::Takes => {}
            Fate::Traps => std::process::abort(),
            Fate::Refuses => return Err("not this one".into()),
            Fate::Returns => std::process::exit(0),
            Fate::Loops => loop {
                std::hint::black_box(());
            },
        }
        state.changes += 1;
        Ok(state)
    }

    fn handle_call(&mut self, reply: ReplyTo<Answer>) -> Next {
        reply.send((self.next, self.timed, self.changes));
        Next::Continue
    }

    fn handle_cast(&mut self, told: Told) -> Next {
        match told {
            Told::Number(number) => {
                assert_eq!(number, self.next);
                self.next += 1;
                self.ballast.push(number);
                self.ballast.truncate(1000);
            }
            Told::Timed => self.timed += 1,
            Told::Fate(fate) => self.fate = fate,
        }
        Next::Continue
    }
}

/// What is expected of a subject: it is as if there were one version.
struct Expected {
    actor: ActorRef<Subject>,
    monitor: Monitor,
    next: u32,
    timed: u32,
}

impl Expected {
    fn begin() -> Self {
        let actor = Subject::start(()).unwrap();
        Self {
            actor,
            monitor: actor.process().monitor(),
            next: 0,
            timed: 0,
        }
    }

    /// It has terminated: one notification arrives, with this reason. True if the test said meanwhile that it is done.
    fn ended(&mut self, reason: &ExitReason) -> bool {
        let mut is_over = false;
        let told = loop {
            match Mailbox::<()>::new().receive_mail() {
                Mail::Down { monitor, reason } => break (monitor, reason),
                Mail::Exit { reason, .. } if is_end(&reason) => is_over = true,
                _ => unreachable!("nobody sends anything else"),
            }
        };
        assert_eq!(told, (self.monitor, reason.clone()));
        assert!(self.actor.call(|reply| reply).is_err());
        *self = Self::begin();
        is_over
    }

    fn check(&self) -> u32 {
        loop {
            let (next, timed, changes) = self.actor.call(|reply| reply).unwrap();
            assert_eq!(next, self.next);
            assert!(timed <= self.timed);
            if timed == self.timed {
                return changes;
            }
            sleep(Duration::from_micros(100));
        }
    }
}

/// Does this and that with some actors, as the number after the name of the scenario says, until the test is done with upgrading them to
/// and fro.
pub(crate) fn model() {
    let seed = std::env::args().nth(2).unwrap();
    let mut seed = seed.parse::<u64>().unwrap() | 1;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut subjects: Vec<Expected> = (0..8).map(|_| Expected::begin()).collect();
    say_ready();
    let (mut changes, mut is_over) = (0, false);
    // All other mail is taken where it is expected.
    while !is_over && !is_done(Duration::ZERO) {
        let subject = &mut subjects[random(8) as usize];
        let (actor, process) = (subject.actor, subject.actor.process());
        match random(40) {
            0..20 => {
                for _ in 0..=random(20) {
                    actor.cast(Told::Number(subject.next));
                    subject.next += 1;
                }
            }
            20..26 => changes += subject.check(),
            26..30 => {
                let fates = [
                    Fate::Takes,
                    Fate::Takes,
                    Fate::Traps,
                    Fate::Refuses,
                    Fate::Returns,
                    Fate::Loops,
                ];
                // The last one takes its time.
                let last = if random(8) == 0 { 6 } else { 5 };
                actor.cast(Told::Fate(fates[random(last) as usize]));
            }
            30..35 => {
                timer::send_after(actor.casts(), Told::Timed, Duration::from_micros(random(2000)));
                subject.timed += 1;
            }
            35 => {
                process.kill();
                is_over = subject.ended(&ExitReason::Killed);
            }
            36 => {
                let reason = ExitReason::Error("told to".into());
                process.exit(&reason);
                is_over = subject.ended(&reason);
            }
            37 => {
                actor.stop();
                is_over = subject.ended(&ExitReason::Normal);
            }
            38 => sleep(Duration::from_micros(random(3000))),
            _ => lunatic::yield_now(),
        }
    }
    for subject in &subjects {
        changes += subject.check();
    }
    println!("{changes}");
}
