//! What a node does with the frames and records of others.

use std::time::Duration;

use lunatic_kernel::delivery::Signal;
use lunatic_kernel::exit::{ExitReason, Loss};

use super::{Event, Known, Node, Refusal};
use crate::frame::{Body, Frame, Hello, Route};
use crate::identity::NodeId;
use crate::line::Heard;
use crate::outbox::MODULES;
use crate::record::{Read, Record};
use crate::traffic::Pressure;
use crate::trust::PeerRights;

impl Node {
    pub(super) fn on_frame(&mut self, now: Duration, bytes: &[u8]) {
        let Some(frame) = Frame::read(bytes).filter(|frame| frame.route.to == self.id) else {
            return;
        };
        let route = frame.route;
        if let Body::Hello(hello) = &frame.body {
            return self.on_hello(now, route, hello, frame.statement);
        }
        let Some(known) = self.lines.get_mut(&route.from) else {
            return;
        };
        if !known.line.is_of_epoch(route) {
            return;
        }
        known.history.received += bytes.len() as u64;
        if known.line.on_frame(now) == Heard::Up {
            self.introduce(route.from);
        }
        if let Err(loss) = self.on_body(now, route.from, frame.body) {
            self.lose(now, route.from, loss);
        }
    }

    fn on_body(&mut self, now: Duration, node: NodeId, body: Body<'_>) -> Result<(), Loss> {
        let known = self.lines.get_mut(&node);
        let Some(traffic) = known.and_then(|known| known.line.traffic.as_mut()) else {
            return Ok(());
        };
        match body {
            Body::Data { seq, state, pieces } => {
                let mut records = Vec::new();
                let taken = traffic.on_data(now, seq, state, pieces, |record| records.push(record));
                for record in records {
                    self.on_record(now, node, record)?;
                }
                taken
            }
            Body::Beat { seq, state, asks } => traffic.on_beat(now, seq, state, asks),
            Body::Bye => Err(Loss::Closed),
            Body::Hello(_) => Ok(()),
        }
    }

    fn on_hello(&mut self, now: Duration, route: Route, hello: &Hello, statement: &[u8]) {
        if self.barred.get(&route.from).is_some_and(|until| now < *until) {
            return;
        }
        // Before it is judged, because a proof takes long to check.
        let is_news = |known: &Known| known.line.is_news(route, hello);
        if !self.lines.get(&route.from).is_none_or(is_news) {
            return;
        }
        if let Err(why) = self.judge(now, route, hello, statement) {
            let identity = hello.identity.clone();
            let known = self.lines.get_mut(&route.from);
            // Reported once for each reason, not for each hello; and only for nodes that the transport has reported.
            let reason = 1 << why as u8;
            if let Some(known) = known.filter(|known| known.refused & reason == 0) {
                known.refused |= reason;
                self.events.push_back(Event::Refused { identity, why });
            }
            return;
        }
        self.session += 1;
        let session = self.session;
        let Some(known) = self.lines.get_mut(&route.from) else {
            return;
        };
        let heard = known.line.on_hello(now, route, hello, session);
        match heard {
            Heard::Nothing => {}
            Heard::Up => self.introduce(route.from),
            Heard::Lost(loss) => self.lost(now, route.from, loss),
        }
    }

    /// Whether a node that greets is accepted. If so, makes the line to it.
    fn judge(&mut self, now: Duration, route: Route, hello: &Hello, statement: &[u8]) -> Result<(), Refusal> {
        if hello.cluster != self.settings.cluster || hello.identity.id(&hello.cluster) != route.from {
            return Err(Refusal::Cluster);
        }
        let version = hello.version(self.settings.versions).ok_or(Refusal::Version)?;
        if self.is_outdated(&hello.identity) {
            return Err(Refusal::Outdated);
        }
        let rights = self.trust.judge(&hello.identity, statement, &hello.proof);
        let rights = rights.ok_or(Refusal::Untrusted)?;
        let key = self.trust.key(&hello.identity, &hello.proof);
        let has_key = |known: &Known| known.key.is_some() && known.key == key;
        let is_other = |known: &&Known| known.line.identity.name != hello.identity.name;
        if self.lines.values().filter(is_other).any(has_key) {
            return Err(Refusal::Key);
        }
        let same_name = self.lines.iter().filter(|(_, known)| {
            let other = &known.line.identity;
            other.name == hello.identity.name && other.incarnation != hello.identity.incarnation
        });
        let others: Vec<_> = same_name
            .map(|(node, known)| (*node, known.line.identity.incarnation))
            .collect();
        // The peer has proven that it is the same node, so its earlier starts are over.
        let mut history = None;
        for (node, incarnation) in others {
            if incarnation < hello.identity.incarnation {
                self.lose(now, node, Loss::Replaced);
                // Only one that has proven it can have been the same node.
                let is_proven = self.lines.get(&node).is_some_and(|known| known.is_proven);
                match self.lines.remove(&node) {
                    Some(earlier) if is_proven && history.is_none() => history = Some(earlier.history),
                    Some(earlier) => self.past = self.past.with(earlier.history),
                    None => {}
                }
            }
        }
        if !self.lines.contains_key(&route.from) {
            self.make_room();
        }
        let known = self.line(now, route.from, &hello.identity).ok_or(Refusal::Full)?;
        (known.line.rights, known.refused) = (rights, 0);
        (known.is_proven, known.key, known.version) = (true, key, version);
        if let Some(history) = history {
            known.history = history.with(known.history);
        }
        Ok(())
    }

    fn on_record(&mut self, now: Duration, node: NodeId, bytes: Vec<u8>) -> Result<(), Loss> {
        let record = match Record::read(&bytes) {
            Read::Known(record) => record,
            Read::PassOver => return Ok(()),
            Read::Wrong => return Err(Loss::Violation),
        };
        let Some(known) = self.lines.get_mut(&node) else {
            return Ok(());
        };
        let rights = known.line.rights;
        if let Record::Keys(keys) = record {
            // The keys come once in each epoch, before everything else.
            if std::mem::replace(&mut known.is_up, true) {
                return Err(Loss::Violation);
            }
            known.up_since = now;
            let (identity, epoch) = (known.line.identity.clone(), known.line.session());
            let up = Event::Up {
                node,
                identity,
                epoch,
                version: known.version,
                keys,
            };
            self.events.push_back(up);
            return Ok(());
        }
        if !known.is_up {
            return Err(Loss::Violation);
        }
        if let Record::Attributes(attributes) = record {
            known.attributes = attributes;
            return Ok(());
        }
        match record {
            Record::Signal { from, to, signal } => match refused(rights, &signal) {
                None => self.events.push_back(Event::Record { node, bytes }),
                Some(None) => {}
                Some(Some(signal)) => {
                    let (from, to) = (to, from);
                    _ = self.send(node, &Record::Signal { from, to, signal });
                }
            },
            Record::Spawn { parent, request, .. } if !rights.spawn => {
                let (to, why) = (parent, "the node may not spawn processes here");
                _ = self.send(node, &Record::NotSpawned { to, request, why });
            }
            Record::Spawn { .. } | Record::Spawned { .. } | Record::NotSpawned { .. } => {
                self.events.push_back(Event::Record { node, bytes });
            }
            Record::Get { .. } | Record::Chunk { .. } | Record::Missing { .. } => {
                return self.on_module(now, node, rights.modules, &record);
            }
            names if rights.names => return self.on_names(node, &names),
            _ => {}
        }
        Ok(())
    }

    fn on_module(&mut self, now: Duration, node: NodeId, may_get: bool, record: &Record<'_>) -> Result<(), Loss> {
        match *record {
            Record::Get { hash, .. } if !may_get => _ = self.send(node, &Record::Missing { hash }),
            Record::Get { hash, offset } => {
                // A request is short and its answer is long: a peer must take answers before it requests much more.
                let traffic = self.lines.get(&node).and_then(|known| known.line.traffic.as_ref());
                if traffic.is_some_and(|traffic| traffic.has_too_much_of_modules()) {
                    return Err(Loss::Overflow);
                }
                let answer = self.store.serve(hash, offset);
                let pair = (MODULES, hash[0].into());
                self.push(node, pair, answer, Pressure::Passes)
                    .map_err(|_| Loss::Closed)?;
            }
            Record::Chunk {
                hash,
                offset,
                total,
                bytes,
            } => {
                let progress = self.store.on_chunk(now, node, hash, (offset, total), bytes);
                self.go_on_fetching(now, hash, progress);
            }
            Record::Missing { hash } => {
                let progress = self.store.on_missing(now, node, hash);
                self.go_on_fetching(now, hash, progress);
            }
            _ => {}
        }
        Ok(())
    }

    fn on_names(&mut self, node: NodeId, record: &Record<'_>) -> Result<(), Loss> {
        match *record {
            Record::Named {
                name,
                process,
                priority,
            } => {
                let conflict = self.names.named(node, name, process, priority);
                let conflict = conflict.map_err(|()| Loss::Violation)?;
                self.events.extend(conflict.map(Event::Conflict));
            }
            Record::Unnamed { name } => self.names.unnamed(node, name),
            Record::Joined { group, process } => {
                self.names.joined(node, group, process).map_err(|()| Loss::Violation)?;
            }
            Record::Left { group, process } => self.names.left(node, group, process),
            _ => {}
        }
        Ok(())
    }
}

/// `Some` if a peer with these rights may not send a signal, with the answer that it gets, if any.
fn refused(rights: PeerRights, signal: &Signal<'_>) -> Option<Option<Signal<'static>>> {
    let reason = ExitReason::NoProcess;
    match *signal {
        Signal::Link if !rights.link => Some(Some(Signal::Exit { reason, sent: false })),
        Signal::Monitor { reference } if !rights.link => Some(Some(Signal::Down { reference, reason })),
        Signal::Exit { sent: true, .. } if !rights.exit => Some(None),
        _ => None,
    }
}
