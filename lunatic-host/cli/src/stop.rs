//! What a program does that gets a signal: Ctrl-C (SIGINT) and SIGTERM end its system in order, a second of them ends all
//! at once. SIGHUP has it [reload](crate::reload), if it is a service or writes its log to a file; others it ends, as closing the
//! terminal of a program does.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use lunatic_host::log::Level;
use lunatic_host::{ExitReason, RunningSystem};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::HostArgs;
use crate::manager::Manager;
use crate::reload::Reload;
use crate::voice::Voice;

/// The signals that ask a program to end.
const STOPPING: [i32; 2] = [SIGINT, SIGTERM];

/// What shells add to the number of a signal that ended a program, to make an exit code of it.
const BY_SIGNAL: i32 = 128;

/// The signals that ask this program to stop, heard from now on.
pub(crate) struct Listener {
    signals: Signals,
    stop: Stop,
    reload: Option<Reload>,
}

/// What SIGHUP does to a program, if not what it does to any.
pub(crate) fn reload(voice: &Voice, manager: &Manager, host: &HostArgs) -> Option<Reload> {
    let is_a_service = manager.is_there() || voice.log.file().is_some();
    is_a_service.then(|| Reload {
        voice: voice.clone(),
        manager: manager.clone(),
        configuration: host.configuration.clone(),
    })
}

/// The signal that has asked the program to stop.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicI32>);

/// The folder that is read from again.
pub(crate) fn folder(reload: Option<&Reload>) -> Option<&Path> {
    reload.and_then(Reload::folder)
}

impl Listener {
    /// To be called before there is a system: one that is asked at once is to stop in order, too. From the second signal on,
    /// each ends this program at once.
    ///
    /// # Errors
    ///
    /// If the system has no room for another handler.
    pub(crate) fn new(reload: Option<Reload>) -> io::Result<Self> {
        let was_asked = Arc::new(AtomicBool::new(false));
        for signal in STOPPING {
            // In this order: the first signal finds that nobody has asked.
            flag::register_conditional_shutdown(signal, BY_SIGNAL + signal, was_asked.clone())?;
            flag::register(signal, was_asked.clone())?;
        }
        let signals = Signals::new(STOPPING)?;
        if reload.is_some() {
            signals.add_signal(SIGHUP)?;
        }
        let stop = Stop::default();
        Ok(Self { signals, stop, reload })
    }

    /// Has the first of the signals stop `system` in order. What has not ended after `timeout` is killed, which is said.
    ///
    /// # Errors
    ///
    /// If the system has no room for another thread.
    pub(crate) fn watch(
        mut self,
        system: Arc<RunningSystem>,
        timeout: Duration,
        voice: Voice,
        manager: Manager,
    ) -> io::Result<Stop> {
        let stop = self.stop.clone();
        let watch = move || {
            let stopping = self.signals.forever().find(|signal| {
                if *signal == SIGHUP
                    && let Some(reload) = &self.reload
                {
                    reload.run();
                }
                *signal != SIGHUP
            });
            let Some(signal) = stopping else { return };
            self.stop.0.store(signal, Ordering::Release);
            manager.stops();
            system.shut_down();
            if system.wait_timeout(timeout).is_none() {
                let left = match system.processes().len() {
                    1 => "1 process".to_owned(),
                    left => format!("{left} processes"),
                };
                let text = format!("note: {left} did not end within {timeout:?}, and will be killed");
                voice.say(Level::Warn, &text);
                system.stop();
            }
        };
        thread::Builder::new().name("lunatic signals".into()).spawn(watch)?;
        Ok(stop)
    }
}

impl Stop {
    /// The exit code of a program that ended for this reason: if a signal has asked it to, what shells say of one that the
    /// signal has ended; but 0 if its main process took note of that and returned.
    pub(crate) fn exit_code(&self, reason: &ExitReason) -> i32 {
        match (self.0.load(Ordering::Acquire), reason) {
            (signal, ExitReason::Shutdown) if signal != 0 => BY_SIGNAL + signal,
            _ => reason.exit_code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_tell_who_ended_by_a_signal() {
        let stop = Stop::default();
        assert_eq!(stop.exit_code(&ExitReason::Shutdown), 0);
        stop.0.store(SIGTERM, Ordering::Release);
        assert_eq!(stop.exit_code(&ExitReason::Shutdown), 143);
        assert_eq!(stop.exit_code(&ExitReason::Normal), 0);
        assert_eq!(stop.exit_code(&ExitReason::Killed), 137);
        assert_eq!(stop.exit_code(&ExitReason::Exit(3)), 3);
    }
}
