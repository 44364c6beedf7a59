//! The errands of processes of this node at channels of other nodes, and what was answered last to each.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::address::{Id, Peer};
use crate::budget::Receipt;
use crate::errand::Answer;

/// What an errand costs its process while it is out.
pub(crate) const ERRAND_SIZE: usize = 256;

/// The last answer to an errand, with a message that its process has paid for.
#[derive(Debug)]
pub enum Told {
    /// A message.
    Message(Vec<u8>),
    /// Anything else.
    Other(Answer<'static>),
}

/// An errand that is out.
struct Out {
    channel: Id,
    told: Option<Told>,
    paid: Receipt,
}

/// All errands of this node.
#[derive(Default)]
pub(crate) struct Outstanding(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// By process and number.
    out: BTreeMap<(Id, u64), Out>,
    next: u64,
}

impl Outstanding {
    /// Adds an errand of a process, and returns its number.
    pub(crate) fn add(&self, process: Id, channel: Id, paid: Receipt) -> u64 {
        let table = &mut *self.0.lock();
        table.next += 1;
        let out = Out {
            channel,
            told: None,
            paid,
        };
        table.out.insert((process, table.next), out);
        table.next
    }

    pub(crate) fn remove(&self, process: Id, number: u64) {
        let removed = self.0.lock().out.remove(&(process, number));
        drop(removed);
    }

    /// Takes what the channel has answered last.
    pub(crate) fn take(&self, process: Id, number: u64) -> Option<Told> {
        let mut table = self.0.lock();
        let out = table.out.get_mut(&(process, number))?;
        let told = out.told.take();
        if let Some(Told::Message(body)) = &told {
            // From here on, whoever takes it pays.
            out.paid.shrink(body.len());
        }
        told
    }

    /// Whether the process waits for answers of this channel under this number.
    pub(crate) fn is_out(&self, process: Id, number: u64, channel: Id) -> bool {
        let table = self.0.lock();
        table
            .out
            .get(&(process, number))
            .is_some_and(|out| out.channel == channel)
    }

    /// Notes an answer. False if the errand is not out, or if its process cannot pay for the message.
    pub(crate) fn tell(&self, process: Id, number: u64, told: Told) -> Result<bool, crate::budget::Exhausted> {
        let mut table = self.0.lock();
        let Some(out) = table.out.get_mut(&(process, number)) else {
            return Ok(false);
        };
        if let Told::Message(body) = &told {
            out.paid.grow(body.len())?;
        }
        out.told = Some(told);
        Ok(true)
    }

    /// Notes for all errands to a node that their channels are closed, and returns their processes.
    pub(crate) fn lose_peer(&self, peer: Peer) -> Vec<Id> {
        let mut table = self.0.lock();
        let lost = table.out.iter_mut().filter(|(_, out)| out.channel.peer() == peer);
        let lost = lost.map(|((process, _), out)| {
            // A message that has come is still good.
            if !matches!(out.told, Some(Told::Message(_))) {
                out.told = Some(Told::Other(Answer::Closed));
            }
            *process
        });
        lost.collect()
    }

    /// How many are out.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().out.len()
    }
}
