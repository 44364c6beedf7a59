//! What peers may do that have proved their names on their connections.

use std::io;
use std::path::Path;
use std::sync::Arc;

use lunatic_nodes::identity::Identity;
use lunatic_nodes::trust::{PeerRights, Trust};
use parking_lot::{Mutex, RwLock};

use crate::files::Watched;
use crate::policy::Policy;

/// The policy of a node, whose file is read again when it changes.
pub struct Policies {
    now: RwLock<Arc<Policy>>,
    watched: Option<Mutex<Watched>>,
}

impl Policies {
    /// Reads the policy in a file; without one, it is [open](Policy::open).
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is invalid.
    pub fn read(path: Option<&Path>) -> io::Result<Self> {
        let watched = path.map(|path| {
            let mut watched = Watched::new(path);
            watched.has_changed();
            Mutex::new(watched)
        });
        let now = path.map_or_else(|| Ok(Policy::open()), Policy::read)?;
        Ok(Self {
            now: RwLock::new(Arc::new(now)),
            watched,
        })
    }

    /// The policy that is in force.
    #[must_use]
    pub fn current(&self) -> Arc<Policy> {
        self.now.read().clone()
    }

    /// Reads the file again if it has changed. `None` if it has not.
    pub(crate) fn refresh(&self) -> Option<io::Result<()>> {
        let mut watched = self.watched.as_ref()?.lock();
        if !watched.has_changed() {
            return None;
        }
        let read = Policy::read(watched.path());
        Some(read.map(|policy| *self.now.write() = Arc::new(policy)))
    }
}

/// Trusts all nodes that get through to this one, and gives them the rights of the policy. Only for a fabric whose
/// [guard](lunatic_nodes::tcp::guard::Guard) has proved the names: there, a hello with another name than the proven one
/// ends the connection.
pub struct Policed(pub Arc<Policies>);

impl Trust for Policed {
    fn prove(&self, _: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    fn judge(&self, peer: &Identity, _: &[u8], _: &[u8]) -> Option<PeerRights> {
        Some(self.0.current().rights(&peer.name))
    }
}
