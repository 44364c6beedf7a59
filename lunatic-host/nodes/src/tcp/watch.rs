//! The thread that looks after the connections of a guarded fabric: it closes those whose peers are no longer admitted,
//! and has those replaced whose proof is old.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);

/// The work of the thread.
pub(super) fn run(shared: &Arc<Shared>) {
    let Some(guard) = &shared.settings.guard else { return };
    while !shared.wait_for_end(EVERY) {
        let is_renewed = guard.refresh();
        let admits = |peer: &_| guard.admits(peer, Duration::ZERO);
        shared.accepted.lock().close_unless(admits);
        for line in shared.lines() {
            line.check(&**guard, is_renewed);
        }
    }
}
