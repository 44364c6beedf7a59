//! Channels of other nodes, as processes of this node use them.
//!
//! A process sends an [`Errand`] to the channel and waits for the answer, so a send or receive takes as long as the way there
//! and back. What another node cannot answer any more is answered as if the channel had closed.
//!
//! A receive whose time has passed is withdrawn, and the process waits for the answer to that: it is either a message
//! that was on its way, or that there is none. So no message is lost because its receiver gave up. A send that has been
//! offered is waited for, too. If a process is killed meanwhile, what is on its way to it is lost, as if it had been
//! received before the end.

use std::sync::Arc;

use crate::address::{Id, Peer};
use crate::budget::{Payer, Receipt, Resource};
use crate::channel::SendRefusal;
use crate::connections::until_room;
use crate::errand::{Answer, Errand};
use crate::host::Host;
use crate::kernel::Kernel;
use crate::outstanding::ERRAND_SIZE;
pub use crate::outstanding::Told;
use crate::process::Process;
use crate::remote::Signal;
use crate::wait::{Wait, block};

/// Why a channel of another node did not do what a process wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The channel was full or empty, until the time passed if there was any. Also if there was no room on the way.
    TimedOut,
    /// The channel is closed, or its node is not connected.
    Closed,
    /// There is no memory for the message or for the errand, or too many wait there.
    Limit,
}

impl From<SendRefusal> for Refused {
    fn from(refusal: SendRefusal) -> Self {
        match refusal {
            SendRefusal::Full => Self::TimedOut,
            SendRefusal::Closed => Self::Closed,
            SendRefusal::Limit => Self::Limit,
        }
    }
}

/// An errand that is out. It is withdrawn when this is dropped, unless it is over.
pub struct Going<'a, H: Host> {
    kernel: &'a Kernel<H>,
    process: Id,
    channel: Id,
    number: u64,
    is_over: bool,
}

impl<'a, H: Host> Going<'a, H> {
    /// Sends an errand of a process to a channel of another node.
    ///
    /// # Errors
    ///
    /// [`SendRefusal`] says why it was not sent: [`Full`](SendRefusal::Full) if too much waits to be sent to the node.
    pub fn begin(
        kernel: &'a Kernel<H>,
        process: &Arc<Process<H>>,
        channel: Id,
        errand: Errand<'_>,
    ) -> Result<Self, SendRefusal> {
        let mut paid = Receipt::new(process.purse().to_account(), Resource::Messages);
        paid.grow(ERRAND_SIZE).map_err(|_| SendRefusal::Limit)?;
        let number = kernel.outstanding.add(process.id, channel, paid);
        let mut going = Self {
            kernel,
            process: process.id,
            channel,
            number,
            is_over: false,
        };
        let sent = going.send(errand);
        // It was not sent, so there is nothing to withdraw.
        going.is_over = sent.is_err();
        sent.map(|()| going)
    }

    /// Sends the errand, or sends it again.
    ///
    /// # Errors
    ///
    /// As for [`begin`](Self::begin).
    pub fn send(&self, errand: Errand<'_>) -> Result<(), SendRefusal> {
        // Looked up after the errand is in the table: a loss of the node after this finds it there.
        let remote = self
            .kernel
            .peers
            .remote(self.channel.peer())
            .ok_or(SendRefusal::Closed)?;
        let number = self.number;
        remote.send(self.process, self.channel, Signal::Errand { number, errand })
    }

    /// Takes the last answer. A message ends the errand, and so does whatever says that there is none.
    pub fn told(&mut self) -> Option<Told> {
        let told = self.kernel.outstanding.take(self.process, self.number)?;
        let goes_on = matches!(told, Told::Other(Answer::Full | Answer::Room | Answer::NotReady));
        self.is_over |= !goes_on;
        Some(told)
    }

    /// Asks the other node to give the errand up. What it answers comes as other answers do.
    pub fn withdraw(&self) {
        // Never refused for lack of room. If the node is gone, that is answer enough.
        _ = self.send(Errand::Withdraw);
    }
}

impl<H: Host> Drop for Going<'_, H> {
    fn drop(&mut self) {
        self.kernel.outstanding.remove(self.process, self.number);
        if !self.is_over {
            self.withdraw();
        }
    }
}

impl<H: Host> Kernel<H> {
    /// Takes the answer of a channel of another node.
    pub(crate) fn take_answer(&self, channel: Id, process: Arc<Process<H>>, number: u64, answer: Answer<'_>) {
        if !self.outstanding.is_out(process.id, number, channel) {
            // It was given up, so a message is lost with it.
            return;
        }
        let told = match answer {
            Answer::Message(body) => Told::Message(body.to_vec()),
            other => Told::Other(other.without_message()),
        };
        match self.outstanding.tell(process.id, number, told) {
            Ok(true) => self.scheduler.wake_owned(process),
            Ok(false) => {}
            Err(exhausted) => {
                self.out_of_memory(&process, exhausted);
                self.wake_doomed(&process);
            }
        }
    }

    /// Tells all processes that use channels of a lost node that these are closed.
    pub(crate) fn lose_channels_of(&self, peer: Peer) {
        for process in self.outstanding.lose_peer(peer) {
            if let Some(process) = self.find(process) {
                self.scheduler.wake_owned(process);
            }
        }
    }

    /// Returns how many errands of processes of this node are out.
    pub fn errands_out(&self) -> usize {
        self.outstanding.count()
    }
}

/// Receives from a channel of another node. If it does not wait for a message (`waits`), it still waits for the answer;
/// then `wait` should have no timeout.
///
/// # Errors
///
/// [`Refused`] says why there is no message.
pub async fn receive<H: Host>(wait: &Wait<'_, H>, channel: Id, waits: bool) -> Result<Vec<u8>, Refused> {
    let mut going = loop {
        match Going::begin(&wait.kernel, &wait.process, channel, Errand::Receive { waits }) {
            Ok(going) => break going,
            Err(SendRefusal::Full) if waits => {
                if !until_room(wait, channel.peer()).await {
                    return Err(Refused::TimedOut);
                }
            }
            Err(refusal) => return Err(refusal.into()),
        }
    };
    let mut is_withdrawn = false;
    loop {
        match going.told() {
            Some(Told::Message(message)) => return Ok(message),
            Some(Told::Other(Answer::Limit)) => return Err(Refused::Limit),
            Some(Told::Other(Answer::Empty | Answer::Withdrawn)) => return Err(Refused::TimedOut),
            Some(Told::Other(_)) => return Err(Refused::Closed),
            None => {}
        }
        if wait.is_late() && !is_withdrawn {
            is_withdrawn = true;
            going.withdraw();
        }
        block(wait).await;
    }
}

/// Asks the node of a process whether the process is alive. `wait` should have no timeout. If the node is not connected, or is
/// lost before it answers, the process is not alive as far as anybody here can tell.
pub async fn is_alive<H: Host>(wait: &Wait<'_, H>, process: Id) -> bool {
    let mut going = loop {
        match Going::begin(&wait.kernel, &wait.process, process, Errand::Alive) {
            Ok(going) => break going,
            Err(SendRefusal::Full) => _ = until_room(wait, process.peer()).await,
            Err(SendRefusal::Closed) => return false,
            // It cannot be asked.
            Err(SendRefusal::Limit) => return wait.kernel.may_be_alive(process),
        }
    };
    loop {
        if let Some(told) = going.told() {
            return matches!(told, Told::Other(Answer::Ready));
        }
        block(wait).await;
    }
}

/// What has become of a message that was offered to a channel of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It is in the channel.
    Accepted,
    /// There may be room now: offer it again.
    Again,
    /// It was not accepted.
    Refused(Refused),
}

/// A message that is being sent to a channel of another node. The caller keeps the message, and offers it as often as
/// needed.
pub struct Sending<'a, H: Host> {
    wait: &'a Wait<'a, H>,
    channel: Id,
    waits: bool,
    going: Option<Going<'a, H>>,
    refused: Option<SendRefusal>,
}

impl<'a, H: Host> Sending<'a, H> {
    /// Prepares to send. If the message does not wait for room (`waits`), it still waits for the answer; then `wait` should
    /// have no timeout.
    pub fn new(wait: &'a Wait<'a, H>, channel: Id, waits: bool) -> Self {
        Self {
            wait,
            channel,
            waits,
            going: None,
            refused: None,
        }
    }

    /// Offers the message.
    pub fn offer(&mut self, body: &[u8]) {
        let errand = Errand::Send {
            body,
            waits: self.waits,
        };
        let sent = match &self.going {
            Some(going) => going.send(errand),
            None => Going::begin(&self.wait.kernel, &self.wait.process, self.channel, errand)
                .map(|going| self.going = Some(going)),
        };
        self.refused = sent.err();
    }

    /// Waits for what becomes of the message that was offered.
    pub async fn outcome(&mut self) -> Offered {
        match self.refused.take() {
            Some(SendRefusal::Full) if self.waits => {
                return match until_room(self.wait, self.channel.peer()).await {
                    true => Offered::Again,
                    false => Offered::Refused(Refused::TimedOut),
                };
            }
            Some(refusal) => return Offered::Refused(refusal.into()),
            None => {}
        }
        let Some(going) = &mut self.going else {
            return Offered::Again;
        };
        // Whether the message waits for room there: it was answered, so it is known to be in no channel.
        let mut is_kept_out = false;
        loop {
            match going.told() {
                Some(Told::Other(Answer::Accepted)) => return Offered::Accepted,
                Some(Told::Other(Answer::Room)) => return Offered::Again,
                Some(Told::Other(Answer::Full)) if self.waits => is_kept_out = true,
                Some(Told::Other(Answer::Full)) => {
                    // It does not wait there.
                    going.is_over = true;
                    return Offered::Refused(Refused::TimedOut);
                }
                Some(Told::Other(Answer::Limit)) => return Offered::Refused(Refused::Limit),
                Some(_) => return Offered::Refused(Refused::Closed),
                None => {}
            }
            if is_kept_out && self.wait.is_late() {
                return Offered::Refused(Refused::TimedOut);
            }
            block(self.wait).await;
        }
    }
}

/// Errands that say when there is something in channels of other nodes, each with the place of its channel among what is
/// waited for.
pub struct Watches<'a, H: Host> {
    wait: &'a Wait<'a, H>,
    waits: bool,
    watches: Vec<Watch<'a, H>>,
}

struct Watch<'a, H: Host> {
    place: usize,
    going: Option<Going<'a, H>>,
    /// Whether the channel is ready, once that was said.
    is_ready: Option<bool>,
}

impl<'a, H: Host> Watches<'a, H> {
    /// Watches none yet. Without `waits`, only their present state is of interest.
    pub fn new(wait: &'a Wait<'a, H>, waits: bool) -> Self {
        Self {
            wait,
            waits,
            watches: Vec::new(),
        }
    }

    /// Watches a channel of another node; waits while too much waits to be sent there. One that cannot be watched counts as
    /// ready: a receive says why. Returns false if the time has passed first.
    pub async fn add(&mut self, place: usize, channel: Id) -> bool {
        let (going, is_ready) = loop {
            match Going::begin(&self.wait.kernel, &self.wait.process, channel, Errand::Watch) {
                Ok(going) => break (Some(going), None),
                Err(SendRefusal::Full) if self.waits => {
                    if !until_room(self.wait, channel.peer()).await {
                        return false;
                    }
                }
                Err(refusal) => break (None, Some(refusal != SendRefusal::Full)),
            }
        };
        self.watches.push(Watch { place, going, is_ready });
        true
    }

    /// Returns the first place that is ready; and whether it is known of all whether they are.
    pub fn look(&mut self) -> (Option<usize>, bool) {
        for watch in &mut self.watches {
            if let Some(told) = watch.going.as_mut().and_then(Going::told) {
                watch.is_ready = Some(!matches!(told, Told::Other(Answer::NotReady)));
            }
        }
        let ready = self.watches.iter().filter(|watch| watch.is_ready == Some(true));
        let is_known = self.watches.iter().all(|watch| watch.is_ready.is_some());
        (ready.map(|watch| watch.place).min(), is_known)
    }
}
