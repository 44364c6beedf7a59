//! Signals against a model: random steps over many processes. Each signal that arrives is compared with the prediction
//! of a simple model of the semantics. Run with `cargo lunatic test`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lunatic::mailbox::{Mail, ReplyTo};
use lunatic::process::{Monitor, TimedOut, exit, trap_exit};
use lunatic::{Address, ExitReason, Mailbox, Process};
use serde::{Deserialize, Serialize};

/// A command to a process. Each is answered when it is done, so the steps have an order.
#[derive(Serialize, Deserialize)]
enum Order {
    Spawn {
        link: bool,
        reply: ReplyTo<Process>,
    },
    Link(Process, ReplyTo<()>),
    Unlink(Process, ReplyTo<()>),
    Monitor(Process, ReplyTo<()>),
    DemonitorAll(Process, ReplyTo<()>),
    Exit(Process, ExitReason, ReplyTo<()>),
    TrapExits(bool, ReplyTo<()>),
    End(ExitReason),
    /// All notifications since the process was last asked.
    Signals(ReplyTo<Vec<Signal>>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Signal {
    Exit(u64, String),
    Down(u64, String),
}

fn obey() {
    let orders = Mailbox::<Order>::new();
    let mut monitors: Vec<Monitor> = Vec::new();
    loop {
        match orders.receive() {
            Order::Spawn { link, reply } => {
                let child = if link {
                    Process::spawn_link(obey)
                } else {
                    Process::spawn(obey)
                };
                reply.send(child.unwrap());
            }
            Order::Link(other, reply) => {
                other.link();
                reply.send(());
            }
            Order::Unlink(other, reply) => {
                other.unlink();
                reply.send(());
            }
            Order::Monitor(other, reply) => {
                monitors.push(other.monitor());
                reply.send(());
            }
            Order::DemonitorAll(other, reply) => {
                for monitor in monitors.extract_if(.., |monitor| monitor.process() == other) {
                    monitor.demonitor();
                }
                reply.send(());
            }
            Order::Exit(other, reason, reply) => {
                other.exit(&reason);
                reply.send(());
            }
            Order::TrapExits(on, reply) => {
                trap_exit(on);
                reply.send(());
            }
            Order::End(reason) => exit(reason),
            Order::Signals(reply) => {
                let mut signals = Vec::new();
                while let Some(mail) = Mailbox::<()>::topic("none").receive_mail_timeout(Duration::ZERO) {
                    signals.push(match mail {
                        Mail::Exit { from, reason } => Signal::Exit(from.id(), reason.to_string()),
                        Mail::Down { monitor, reason } => Signal::Down(monitor.process().id(), reason.to_string()),
                        other => panic!("{other:?}"),
                    });
                }
                reply.send(signals);
            }
        }
    }
}

/// The semantics, in one thread.
#[derive(Default)]
struct Model {
    alive: BTreeMap<u64, One>,
    ended: BTreeMap<u64, ExitReason>,
}

#[derive(Default)]
struct One {
    links: BTreeSet<u64>,
    /// The processes that it monitors, once for each monitor.
    monitors: Vec<u64>,
    traps: bool,
    signals: Vec<Signal>,
}

impl Model {
    fn one(&mut self, id: u64) -> &mut One {
        self.alive.get_mut(&id).expect("the test orders only what lives")
    }

    fn spawn(&mut self, parent: Option<u64>, child: u64) {
        self.alive.insert(child, One::default());
        if let Some(parent) = parent {
            self.link(parent, child);
        }
    }

    fn link(&mut self, from: u64, to: u64) {
        if from == to {
            return;
        }
        if self.alive.contains_key(&to) {
            self.one(from).links.insert(to);
            self.one(to).links.insert(from);
        } else {
            self.signal(to, from, &ExitReason::NoProcess);
        }
    }

    fn unlink(&mut self, from: u64, to: u64) {
        self.one(from).links.remove(&to);
        if let Some(other) = self.alive.get_mut(&to) {
            other.links.remove(&from);
        }
    }

    fn monitor(&mut self, from: u64, to: u64) {
        match self.ended.get(&to).cloned() {
            Some(reason) => self.one(from).signals.push(Signal::Down(to, reason.to_string())),
            None => self.one(from).monitors.push(to),
        }
    }

    /// Removes monitors, and their notifications.
    fn demonitor(&mut self, from: u64, to: u64) {
        let one = self.one(from);
        one.monitors.retain(|other| *other != to);
        one.signals
            .retain(|signal| !matches!(signal, Signal::Down(id, _) if *id == to));
    }

    /// An exit signal other than `Killed`, or one from a link.
    fn signal(&mut self, from: u64, to: u64, reason: &ExitReason) {
        let Some(one) = self.alive.get_mut(&to) else { return };
        if one.traps {
            one.signals.push(Signal::Exit(from, reason.to_string()));
        } else if !reason.is_normal() || from == to {
            self.end(to, reason.clone());
        }
    }

    fn end(&mut self, id: u64, reason: ExitReason) {
        let Some(one) = self.alive.remove(&id) else { return };
        self.ended.insert(id, reason.clone());
        for other in self.alive.values_mut() {
            let told = other.monitors.iter().filter(|watched| **watched == id).count();
            other.monitors.retain(|watched| *watched != id);
            other
                .signals
                .extend((0..told).map(|_| Signal::Down(id, reason.to_string())));
        }
        for linked in one.links {
            if let Some(other) = self.alive.get_mut(&linked) {
                other.links.remove(&id);
            }
            self.signal(id, linked, &reason);
        }
    }
}

/// xorshift64*: the same steps for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }
}

struct Run {
    dice: Dice,
    model: Model,
    /// All processes that were ever spawned, by id.
    processes: BTreeMap<u64, Process>,
    seed: u64,
}

impl Run {
    fn any(&mut self) -> Process {
        let place = self.dice.roll(self.processes.len());
        *self.processes.values().nth(place).unwrap()
    }

    fn alive(&mut self) -> Option<Process> {
        let count = self.model.alive.len();
        (count > 0).then(|| {
            let place = self.dice.roll(count);
            self.processes[self.model.alive.keys().nth(place).unwrap()]
        })
    }

    fn reason(&mut self) -> ExitReason {
        match self.dice.roll(5) {
            0 | 1 => ExitReason::Normal,
            2 => ExitReason::Shutdown,
            3 => ExitReason::Exit(3),
            _ => ExitReason::Killed,
        }
    }

    fn step(&mut self, step: usize) {
        let Some(actor) = self.alive().filter(|_| self.processes.len() > 3) else {
            let child = Process::spawn(obey).unwrap();
            self.processes.insert(child.id(), child);
            self.model.spawn(None, child.id());
            return;
        };
        let (to, id) = (Address::<Order>::of(actor), actor.id());
        let other = self.any();
        match self.dice.roll(20) {
            0..=5 => {
                let link = self.dice.roll(2) == 0;
                let child: Process = to.call(|reply| Order::Spawn { link, reply }).unwrap();
                self.processes.insert(child.id(), child);
                self.model.spawn(link.then_some(id), child.id());
            }
            6..=8 => {
                // The link may make the process that links exit.
                let _ = to.call(|reply| Order::Link(other, reply));
                self.model.link(id, other.id());
            }
            9..=10 => {
                to.call(|reply| Order::Unlink(other, reply)).unwrap();
                self.model.unlink(id, other.id());
            }
            11..=13 => {
                to.call(|reply| Order::Monitor(other, reply)).unwrap();
                self.model.monitor(id, other.id());
            }
            14 => {
                to.call(|reply| Order::DemonitorAll(other, reply)).unwrap();
                self.model.demonitor(id, other.id());
            }
            15..=16 => {
                let on = self.dice.roll(3) > 0;
                to.call(|reply| Order::TrapExits(on, reply)).unwrap();
                self.model.one(id).traps = on;
            }
            17..=18 => {
                let reason = self.reason();
                let _ = to.call(|reply| Order::Exit(other, reason.clone(), reply));
                match reason {
                    ExitReason::Killed => self.model.end(other.id(), ExitReason::Killed),
                    reason => self.model.signal(id, other.id(), &reason),
                }
            }
            _ => {
                let reason = self.reason();
                to.send(Order::End(reason.clone()));
                self.model.end(id, reason);
            }
        }
        // All exits that the step has caused must have arrived before the next step.
        for (ended, reason) in &self.model.ended {
            let process = self.processes[ended];
            if process.is_alive() || step.is_multiple_of(64) {
                assert_eq!(
                    &process.join(),
                    reason,
                    "seed {}, step {step}, process {ended}",
                    self.seed
                );
            }
        }
    }

    /// Compares the notifications of all processes.
    fn compare(&mut self) {
        for (id, one) in &mut self.model.alive {
            let to = Address::<Order>::of(self.processes[id]);
            let mut signals = to.call(Order::Signals).unwrap();
            let mut expected = std::mem::take(&mut one.signals);
            // Exits that are caused by one step arrive in any order.
            signals.sort_unstable();
            expected.sort_unstable();
            assert!(
                signals == expected,
                "seed {}, process {id} got {signals:?}, and should have got {expected:?}",
                self.seed
            );
        }
    }
}

#[lunatic::test]
fn every_signal_is_what_the_model_says() {
    for seed in 1..=20_u64 {
        let mut run = Run {
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            model: Model::default(),
            processes: BTreeMap::new(),
            seed,
        };
        for step in 0..1500 {
            run.step(step);
            if step % 50 == 49 {
                run.compare();
            }
        }
        assert!(
            run.processes.len() > 200,
            "seed {seed}: {} processes",
            run.processes.len()
        );
        let alive: Vec<Process> = run.model.alive.keys().map(|id| run.processes[id]).collect();
        for process in &alive {
            assert_eq!(
                process.join_timeout(Duration::ZERO),
                Err(TimedOut),
                "seed {seed}, process {process}"
            );
        }
        alive.iter().for_each(Process::kill);
    }
}
