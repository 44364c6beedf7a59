//! Timers that send mail: whose they are, and what they hold.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use crate::budget::{Payer, Receipt, Resource};
use crate::channel::SendRefusal;
use crate::clock::TimedMail;
use crate::host::Host;
use crate::kernel::Kernel;
use crate::process::Process;
use crate::system::System;

/// The farthest time that a timer is set to: 136 years from now, if what was asked for cannot be told.
const FAR: Duration = Duration::from_secs(1 << 32);

impl<H: Host> Kernel<H> {
    /// Sends `mail` after `delay` by the clock of `system`, under a number that nobody can guess. The receiver
    /// pays for what it holds meanwhile.
    ///
    /// # Errors
    ///
    /// [`SendRefusal::Limit`] if the receiver has not so much memory left, [`SendRefusal::Closed`] if the receiver has ended.
    pub fn set_timer(&self, system: &System<H>, delay: Duration, mut mail: TimedMail) -> Result<u64, SendRefusal> {
        let size = mail.size();
        let timer = self.random();
        let owner = self.find(mail.to).ok_or(SendRefusal::Closed)?;
        let mut paid = Receipt::new(owner.purse().to_account(), Resource::Timers);
        paid.grow(size).map_err(|_| SendRefusal::Limit)?;
        mail.paid = Some(Arc::new(paid));
        // The receiver knows its timers, so that they go when it ends.
        let owned = owner.relate(|relations| {
            let has_room = owner.has_room(relations);
            if has_room {
                relations.own_timer(timer);
            }
            has_room
        });
        self.wake_doomed(&owner);
        match owned {
            Ok(true) => {}
            Ok(false) => return Err(SendRefusal::Limit),
            Err(_) => return Err(SendRefusal::Closed),
        }
        // A time that is too far away to be told never comes; the farthest that can be told is as good.
        let now = system.time.now();
        let due = now.checked_add(delay).unwrap_or(now + FAR);
        system.time.clock(&self.clock).set_mail(due, timer, mail);
        Ok(timer)
    }

    /// Takes a timer away; false if it sends nothing any more.
    pub fn cancel_timer(&self, system: &System<H>, timer: u64) -> bool {
        let Some(mail) = self.take_timer(system, timer) else {
            return false;
        };
        if let Some(process) = self.find(mail.to) {
            let _ = process.relate(|relations| relations.timers.remove(&timer));
        }
        true
    }

    /// Takes a timer off whichever clock it is on.
    pub(crate) fn take_timer(&self, system: &System<H>, timer: u64) -> Option<Box<TimedMail>> {
        let own = system.time.paused().map(|_| system.time.clock(&self.clock));
        self.clock
            .cancel_mail(timer)
            .or_else(|| own.and_then(|clock| clock.cancel_mail(timer)))
    }

    /// Gives a parcel to the intake of a process. If that has none, the parcel is dropped.
    pub(crate) fn hand_in(&self, to: &Arc<Process<H>>, parcel: Box<dyn Any + Send>) {
        let accepted = to.relate(|relations| relations.any_intake().is_some_and(|intake| intake.accept(parcel)));
        if accepted == Ok(true) {
            self.scheduler.wake(to);
        }
    }
}
