//! Connections that are kept for later.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{ClientLimits, Target};
use crate::conn::Shared;
use crate::transport::is_timeout;

/// After so long the server may have closed a connection, which is looked at before a request that cannot be repeated.
const FRESH: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct Pool {
    idle: HashMap<Target, Vec<(Shared, Instant)>>,
}

impl Pool {
    /// The connection that was used last, if one is left.
    pub(super) fn take(&mut self, target: &Target, limits: &ClientLimits, repeatable: bool) -> Option<Shared> {
        let idle = self.idle.get_mut(target)?;
        while let Some((conn, since)) = idle.pop() {
            let age = since.elapsed();
            let usable = age < limits.idle_timeout && (repeatable || age < FRESH || is_open(&conn));
            if usable {
                return Some(conn);
            }
        }
        None
    }

    pub(super) fn put(&mut self, target: Target, conn: Shared, limits: &ClientLimits) {
        self.idle.retain(|_, idle| {
            idle.retain(|(_, since)| since.elapsed() < limits.idle_timeout);
            !idle.is_empty()
        });
        let idle = self.idle.entry(target).or_default();
        if idle.len() < limits.idle_connections {
            idle.push((conn, Instant::now()));
        }
    }
}

/// Nothing is to come on an idle connection, not even its end.
fn is_open(conn: &Shared) -> bool {
    let filled = conn.borrow_mut().fill(Duration::from_millis(1));
    filled.is_err_and(|error| is_timeout(&error))
}
