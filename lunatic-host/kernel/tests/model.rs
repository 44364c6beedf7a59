//! Random scripts of spawns, links, monitors, exits, traps and messages, played on the kernel and on a model of what OTP
//! says of them ("Processes", in the Erlang reference manual), with the differences that `docs/semantics.md` names.
//!
//! Nothing happens between two steps of a script but what it says: processes that were told to end do so when it says
//! `Run`. In which order they do is the simulation's choice, and the model follows it; what becomes of the others is its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_kernel::channel::SendRefusal;
use lunatic_kernel::events::{Event, Observer};
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::relations::mailbox::{Kind, Mail};
use lunatic_kernel::simulation::Simulation;
use lunatic_kernel::{Fate, Process};
use lunatic_sys::codes::TAG_SIGNAL;
use parking_lot::Mutex;

use crate::closures::{Closures, Me, Outcome, SETTINGS, seed};

const SEEDS: u64 = 2_000;
const STEPS: usize = 250;
/// Processes that one script makes at most.
const PROCESSES_MAX: usize = 60;
/// So many live at once, or more are made; and signals go to one of twice as many that were made last.
const ALIVE: usize = 5;

/// A tag of mail, as the model knows it: references are numbered by the order in which they were made.
type Tag = u64;

/// One entry of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Letter {
    kind: Kind,
    tag: Tag,
    body: Vec<u8>,
    /// Entries of one number came of one end: their order among each other is open.
    group: usize,
}

/// What the model knows of a living process.
#[derive(Debug, Default)]
struct Model {
    links: BTreeSet<Id>,
    /// By reference: who is monitored, and under which tag.
    monitors: BTreeMap<u64, (Id, Tag)>,
    watchers: BTreeMap<u64, Id>,
    /// References under which mail is taken.
    open: BTreeSet<u64>,
    traps: bool,
    mail: Vec<Letter>,
    /// What it was told to end with, first.
    doom: Option<ExitReason>,
    /// What it ends itself with, if nobody is faster.
    own_end: Option<ExitReason>,
}

/// What the model knows.
#[derive(Default)]
struct World {
    alive: BTreeMap<Id, Model>,
    ended: HashMap<Id, ExitReason>,
    groups: usize,
}

impl World {
    fn at(&mut self, id: Id) -> &mut Model {
        self.alive.get_mut(&id).expect("it is alive")
    }

    /// A process that has not been told to end.
    fn hears(&mut self, id: Id) -> Option<&mut Model> {
        self.alive.get_mut(&id).filter(|model| model.doom.is_none())
    }

    fn put(&mut self, to: Id, kind: Kind, tag: Tag, body: Vec<u8>) {
        let group = self.groups;
        let Some(model) = self.hears(to) else { return };
        let is_reference = tag & lunatic_sys::codes::REFERENCE_BIT != 0;
        if !is_reference || model.open.contains(&tag) {
            model.mail.push(Letter { kind, tag, body, group });
        }
    }

    /// An exit signal reaches a process.
    fn exit(&mut self, to: Id, from: Id, reason: &ExitReason) {
        let Some(model) = self.hears(to) else { return };
        if model.traps {
            self.put(to, Kind::Exit(from), TAG_SIGNAL, reason.to_bytes().1);
        } else if *reason != ExitReason::Normal {
            model.doom = Some(reason.clone());
        }
    }

    /// A signal that comes back to its sender: it ends at once, or gets mail.
    fn exit_self(&mut self, id: Id, from: Id, reason: &ExitReason) -> Fate {
        if !self.at(id).traps {
            return Fate::Ends(reason.clone());
        }
        self.exit(id, from, reason);
        Fate::Lives
    }

    fn link(&mut self, one: Id, other: Id) -> Fate {
        if one == other || self.at(one).links.contains(&other) {
            return Fate::Lives;
        }
        if self.hears(other).is_none() {
            return self.exit_self(one, other, &ExitReason::NoProcess);
        }
        self.at(one).links.insert(other);
        self.at(other).links.insert(one);
        Fate::Lives
    }

    fn unlink(&mut self, one: Id, other: Id) {
        self.at(one).links.remove(&other);
        if let Some(model) = self.alive.get_mut(&other) {
            model.links.remove(&one);
        }
    }

    fn send_exit(&mut self, from: Id, to: Id, reason: &ExitReason) -> Fate {
        match (from == to, reason) {
            (true, ExitReason::Killed) => return Fate::Ends(ExitReason::Killed),
            (true, reason) => return self.exit_self(from, from, reason),
            (false, ExitReason::Killed) => {
                if let Some(model) = self.hears(to) {
                    model.doom = Some(ExitReason::Killed);
                }
            }
            (false, reason) => self.exit(to, from, reason),
        }
        Fate::Lives
    }

    fn monitor(&mut self, one: Id, other: Id, tag: Tag, reference: u64) {
        if one == other {
            return;
        }
        let tag = if tag == 0 { reference } else { tag };
        if tag == reference {
            self.at(one).open.insert(reference);
        }
        match self.ended.get(&other).cloned() {
            Some(reason) => self.put(one, Kind::Down(other, reference), tag, reason.to_bytes().1),
            None => {
                self.at(one).monitors.insert(reference, (other, tag));
                self.at(other).watchers.insert(reference, one);
            }
        }
    }

    fn demonitor(&mut self, one: Id, reference: u64, flush: bool) -> bool {
        let model = self.at(one);
        let monitor = model.monitors.remove(&reference);
        if flush || monitor.is_some() {
            let is_told = |letter: &Letter| matches!(letter.kind, Kind::Down(_, other) if other == reference);
            model.mail.retain(|letter| !is_told(letter) && letter.tag != reference);
            model.open.remove(&reference);
        }
        if let Some((watched, _)) = monitor
            && let Some(watched) = self.alive.get_mut(&watched)
        {
            watched.watchers.remove(&reference);
        }
        monitor.is_some()
    }

    /// What a receive by these tags may find: entries that came of one end, the oldest of them all.
    fn first(&mut self, one: Id, tags: &[Tag]) -> Vec<Letter> {
        let fits = |letter: &&Letter| tags.is_empty() || tags.contains(&letter.tag);
        let mail = &self.at(one).mail;
        let group = mail.iter().find(fits).map(|letter| letter.group);
        let in_group = mail.iter().filter(fits).filter(|letter| Some(letter.group) == group);
        in_group.cloned().collect()
    }

    fn take(&mut self, one: Id, letter: &Letter) {
        let model = self.at(one);
        let place = model.mail.iter().position(|other| other == letter);
        model.mail.remove(place.expect("it lies there"));
        if let Kind::Down(_, reference) = letter.kind
            && model.open.remove(&reference)
        {
            model.mail.retain(|letter| letter.tag != reference);
        }
    }

    /// A process has ended: the links and monitors of the others.
    fn end(&mut self, id: Id, reason: &ExitReason) {
        let model = self.alive.remove(&id).expect("it ends once");
        let expected = model.doom.or(model.own_end).expect("it was told to end");
        assert_eq!(expected, *reason, "{id} ends with the first reason that it was given");
        self.ended.insert(id, reason.clone());
        self.groups += 1;
        for linked in model.links {
            if let Some(other) = self.alive.get_mut(&linked) {
                other.links.remove(&id);
                self.exit(linked, id, reason);
            }
        }
        for (reference, watcher) in model.watchers {
            let Some(other) = self.alive.get_mut(&watcher) else {
                continue;
            };
            let (_, tag) = other.monitors.remove(&reference).expect("both sides know of a monitor");
            self.put(watcher, Kind::Down(id, reference), tag, reason.to_bytes().1);
        }
        for (reference, (watched, _)) in model.monitors {
            if let Some(other) = self.alive.get_mut(&watched) {
                other.watchers.remove(&reference);
            }
        }
        self.groups += 1;
    }
}

/// Writes down who ends, and how.
#[derive(Default)]
struct Ends(Mutex<Vec<(Id, ExitReason)>>);

impl Observer for Ends {
    fn notice(&self, event: &Event) {
        if let Event::Ended { id, reason } = event {
            self.0.lock().push((*id, reason.clone()));
        }
    }
}

type String = Arc<Mutex<Option<ExitReason>>>;

/// A process that does what the script does in its name, and ends when that pulls its string.
async fn puppet(me: Me, string: String) -> Outcome {
    loop {
        if let Some(reason) = string.lock().take() {
            return Err(reason);
        }
        me.wait_outside().await;
    }
}

/// A script on its way: the kernel, and the model beside it.
struct Stage {
    simulation: Simulation<Closures>,
    ends: Arc<Ends>,
    main: Id,
    world: World,
    strings: HashMap<Id, (Arc<Process<Closures>>, String)>,
    /// All processes of the script, in the order in which they were made.
    made: Vec<Id>,
    references: Vec<(Id, u64)>,
    /// Entries that were taken out of mailboxes.
    received: usize,
    random: u64,
}

impl Stage {
    fn new(seed_number: u64) -> Self {
        let mut simulation = Simulation::new(SETTINGS, seed_number, Closures);
        let ends = Arc::new(Ends::default());
        simulation.kernel().observe(ends.clone());
        let main = seed(|me| puppet(me, String::default()));
        let system = simulation.kernel().start_system((), |()| main).unwrap();
        simulation.run(10);
        let mut stage = Self {
            main: system.main().unwrap(),
            simulation,
            ends,
            world: World::default(),
            strings: HashMap::new(),
            made: Vec::new(),
            references: Vec::new(),
            received: 0,
            random: seed_number << 20 | 1,
        };
        (0..3).for_each(|_| stage.spawn());
        stage
    }

    fn draw(&mut self, below: usize) -> usize {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % below
    }

    fn spawn(&mut self) {
        if self.made.len() == PROCESSES_MAX {
            return;
        }
        let kernel = self.simulation.kernel().clone();
        let parent = kernel.find(self.main).unwrap();
        let string = String::default();
        let pulled = string.clone();
        let id = kernel.spawn(&parent, seed(|me| puppet(me, pulled))).unwrap();
        self.strings.insert(id, (kernel.find(id).unwrap(), string));
        self.made.push(id);
        let traps = self.draw(3) > 0;
        self.strings[&id].0.trap_exits(traps);
        let model = Model {
            traps,
            ..Model::default()
        };
        self.world.alive.insert(id, model);
    }

    /// All that were told to end do so.
    fn run(&mut self) {
        self.simulation.run(10_000);
        let ends = std::mem::take(&mut *self.ends.0.lock());
        for (id, reason) in ends {
            self.world.end(id, &reason);
            self.strings.remove(&id);
        }
        let late = self
            .world
            .alive
            .iter()
            .find(|(_, model)| model.doom.is_some() || model.own_end.is_some());
        assert!(late.is_none(), "{late:?} does not end");
        self.compare();
    }

    /// What the kernel shows of each process is what the model says.
    fn compare(&self) {
        let kernel = self.simulation.kernel();
        for (id, model) in &self.world.alive {
            let shown = kernel.snapshot(*id).expect("it is alive");
            assert_eq!(shown.links, Vec::from_iter(model.links.iter().copied()), "{id}'s links");
            let sorted = |ids: &mut dyn Iterator<Item = Id>| {
                let mut ids = Vec::from_iter(ids);
                ids.sort_unstable();
                ids
            };
            let watched = sorted(&mut model.monitors.values().map(|(watched, _)| *watched));
            assert_eq!(sorted(&mut shown.monitors.into_iter()), watched, "whom {id} monitors");
            let watchers = sorted(&mut model.watchers.values().copied());
            assert_eq!(
                sorted(&mut shown.monitored_by.into_iter()),
                watchers,
                "who monitors {id}"
            );
            assert_eq!(
                (shown.mailbox_len, shown.traps_exits),
                (model.mail.len(), model.traps),
                "{id}"
            );
        }
        for (id, reason) in &self.world.ended {
            assert!(kernel.find(*id).is_none());
            assert_eq!(kernel.exit_reason(*id), *reason);
        }
    }

    /// What both say becomes of a process that has sent a signal to itself.
    fn follow(&mut self, id: Id, fate: Fate, expected: Fate) {
        assert_eq!(fate, expected, "{id}");
        if let Fate::Ends(reason) = fate {
            self.end_itself(id, reason);
        }
    }

    fn end_itself(&mut self, id: Id, reason: ExitReason) {
        self.world.at(id).own_end = Some(reason.clone());
        let (process, string) = &self.strings[&id];
        *string.lock() = Some(reason);
        self.simulation.kernel().wake(process);
    }

    fn receive(&mut self, id: Id, tags: &[Tag]) -> bool {
        let process = self.strings[&id].0.clone();
        let mail = self.simulation.kernel().take_mail(&process, tags, false);
        let expected = self.world.first(id, tags);
        let Some(Mail { kind, tag, body }) = mail else {
            assert!(
                expected.is_empty(),
                "{id} finds nothing by {tags:?}, but for {expected:?}"
            );
            return false;
        };
        let is_it = |letter: &&Letter| (&letter.kind, letter.tag, &letter.body[..]) == (&kind, tag, &body[..]);
        let letter = expected.iter().find(is_it).cloned();
        let letter = letter.unwrap_or_else(|| panic!("{id} finds {kind:?} by {tags:?} in place of {expected:?}"));
        self.world.take(id, &letter);
        self.received += 1;
        true
    }

    fn step(&mut self, number: usize) {
        let able = self
            .world
            .alive
            .iter()
            .filter(|(_, model)| model.doom.is_none() && model.own_end.is_none());
        let able: Vec<Id> = able.map(|(id, _)| *id).collect();
        if able.is_empty() {
            return self.run_and_spawn();
        }
        let id = able[self.draw(able.len())];
        let back = self.draw(self.made.len().min(2 * ALIVE));
        let other = self.made[self.made.len() - 1 - back];
        let reasons = [
            ExitReason::Normal,
            ExitReason::Shutdown,
            ExitReason::Killed,
            ExitReason::Error(format!("step {number}")),
        ];
        let reason = reasons[self.draw(4)].clone();
        let kernel = self.simulation.kernel().clone();
        let process = self.strings[&id].0.clone();
        match self.draw(20) {
            0 => self.run_and_spawn(),
            16 => self.spawn(),
            1..=3 => {
                let expected = self.world.link(id, other);
                self.follow(id, kernel.link(&process, other), expected);
            }
            4 => {
                self.world.unlink(id, other);
                kernel.unlink(&process, other);
            }
            5..=6 => {
                let tag = [0, 5][self.draw(2)];
                let reference = kernel.monitor(&process, other, tag);
                self.world.monitor(id, other, tag, reference);
                self.references.push((id, reference));
            }
            7 => self.demonitor(id, &process),
            8..=9 => {
                let expected = self.world.send_exit(id, other, &reason);
                self.follow(id, kernel.send_exit(&process, other, &reason), expected);
            }
            10 => self.end_itself(id, reason),
            11 => {
                let on = self.draw(3) > 0;
                assert_eq!(process.trap_exits(on), self.world.at(id).traps);
                self.world.at(id).traps = on;
            }
            12..=13 => self.send(id, other, number),
            17..=19 => {
                let tags = [&[][..], &[5], &[7], &[TAG_SIGNAL], &[5, TAG_SIGNAL]][self.draw(5)];
                self.receive(id, tags);
            }
            // A reference of its own, open or not.
            _ => self.receive_by_reference(id),
        }
    }

    fn receive_by_reference(&mut self, id: Id) {
        if let Some(reference) = self.own_reference(id) {
            self.receive(id, &[reference]);
        }
    }

    fn own_reference(&mut self, id: Id) -> Option<u64> {
        let own = self.references.iter().filter(|(of, _)| *of == id);
        let own: Vec<u64> = own.map(|(_, reference)| *reference).collect();
        (!own.is_empty()).then(|| own[self.draw(own.len())])
    }

    fn run_and_spawn(&mut self) {
        self.run();
        while self.world.alive.len() < ALIVE && self.made.len() < PROCESSES_MAX {
            self.spawn();
        }
    }

    fn demonitor(&mut self, id: Id, process: &Process<Closures>) {
        let Some(reference) = self.own_reference(id) else {
            return;
        };
        let flush = self.draw(2) == 0;
        let expected = self.world.demonitor(id, reference, flush);
        assert_eq!(self.simulation.kernel().demonitor(process, reference, flush), expected);
    }

    /// A message, or, now and then, something under a reference of the receiver's, open or not.
    fn send(&mut self, id: Id, other: Id, number: usize) {
        let tag = match self.draw(3) {
            0 => self.own_reference(other).unwrap_or(7),
            _ => 7,
        };
        let body = vec![number as u8; number];
        let sent = self.simulation.kernel().send_mail(id, other, tag, &body);
        let Some(model) = self.world.alive.get_mut(&other) else {
            assert_eq!(sent, Err(SendRefusal::Closed));
            return;
        };
        assert_eq!(sent, Ok(()));
        self.world.groups += 1;
        if tag == 7 || model.open.contains(&tag) {
            let (kind, group) = (Kind::Message(id), self.world.groups);
            model.mail.push(Letter { kind, tag, body, group });
        }
        self.world.groups += 1;
    }

    /// All mail is taken, and nothing is left.
    fn finish(mut self) -> (usize, usize) {
        self.run();
        let alive: Vec<Id> = self.world.alive.keys().copied().collect();
        for id in &alive {
            while self.receive(*id, &[]) {}
        }
        self.compare();
        for id in alive {
            self.end_itself(id, ExitReason::Normal);
        }
        self.run();
        assert_eq!(self.simulation.kernel().kept().usage().memory, 0);
        (self.received, self.world.ended.len())
    }
}

#[test]
fn random_scripts_do_what_the_model_says() {
    let (mut received, mut ended) = (0, 0);
    for number in 0..SEEDS {
        let played = std::panic::catch_unwind(|| {
            let mut stage = Stage::new(number);
            (0..STEPS).for_each(|step| stage.step(step));
            stage.finish()
        });
        let (mail, ends) = played.unwrap_or_else(|_| panic!("seed {number}"));
        (received, ended) = (received + mail, ended + ends);
    }
    // Or the scripts would say nothing.
    assert!(
        received > 10 * SEEDS as usize && ended > 10 * SEEDS as usize,
        "{received} {ended}"
    );
}
