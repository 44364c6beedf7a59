//! How a program reacts to signals. On the first Ctrl-C (SIGINT) or SIGTERM it shuts its system down in order; on the
//! second it ends immediately. On SIGHUP it [reloads](crate::reload) if it is a service or writes its log to a file;
//! other programs end, as when their terminal is closed.

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

/// Shells add this to the number of the signal that ended a program, to form its exit code.
const BY_SIGNAL: i32 = 128;

/// The signals that ask this program to stop, received from now on.
pub(crate) struct Listener {
    signals: Signals,
    stop: Stop,
    reload: Option<Reload>,
}

/// What SIGHUP does, unless it ends the program.
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

/// The folder that is read again on SIGHUP.
pub(crate) fn folder(reload: Option<&Reload>) -> Option<&Path> {
    reload.and_then(Reload::folder)
}

impl Listener {
    /// Must be called before there is a system, so that a program that is asked early also shuts down in order. From
    /// the second signal on, each ends this program immediately.
    ///
    /// # Errors
    ///
    /// If the operating system has no room for another handler.
    pub(crate) fn new(reload: Option<Reload>) -> io::Result<Self> {
        let was_asked = Arc::new(AtomicBool::new(false));
        for signal in STOPPING {
            // The order matters: the first signal must find that no other came before.
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

    /// Shuts `system` down in order on the first signal. Kills what has not ended after `timeout`, and reports it.
    ///
    /// # Errors
    ///
    /// If the operating system has no room for another thread.
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
    /// The exit code of a program that ended for this reason. If a signal has asked it to stop, this is what shells
    /// report for a program that the signal has ended; but 0 if its main process noticed the request and returned.
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
