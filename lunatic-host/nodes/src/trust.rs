//! Whether a peer is who it says, and what it may do here.

use crate::identity::Identity;

/// The longest proof, in bytes: enough for a chain of certificates and a signature.
pub const PROOF_LEN_MAX: usize = 8 << 10;

/// What a peer may do to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerRights {
    /// Spawn processes.
    pub spawn: bool,
    /// Link to processes and monitor them.
    pub link: bool,
    /// Send exit signals, kills among them.
    pub exit: bool,
    /// Have global names, and members of global groups.
    pub names: bool,
    /// Fetch modules.
    pub modules: bool,
}

impl PeerRights {
    /// Everything.
    pub const ALL: Self = Self {
        spawn: true,
        link: true,
        exit: true,
        names: true,
        modules: true,
    };
    /// Nothing but messages.
    pub const MESSAGES: Self = Self {
        spawn: false,
        link: false,
        exit: false,
        names: false,
        modules: false,
    };
}

/// How nodes prove who they are.
///
/// A statement is the beginning of a [hello](crate::frame::Hello): both nodes, both sessions, the cluster. A session number is used
/// once, so a proof that was seen elsewhere proves nothing here.
pub trait Trust: Send + Sync {
    /// What proves to a peer that this node makes the statement: at most [`PROOF_LEN_MAX`] bytes.
    fn prove(&self, statement: &[u8]) -> Vec<u8>;

    /// What a peer may do here; `None` if the proof does not fit the statement, or the peer is not welcome.
    fn judge(&self, peer: &Identity, statement: &[u8], proof: &[u8]) -> Option<PeerRights>;
}

/// Everybody who reaches this node is trusted: for one machine, on loopback.
#[derive(Debug, Clone, Copy)]
pub struct Everybody;

impl Trust for Everybody {
    fn prove(&self, _: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    fn judge(&self, _: &Identity, _: &[u8], _: &[u8]) -> Option<PeerRights> {
        Some(PeerRights::ALL)
    }
}

/// Whoever knows the secret of the cluster is trusted. It keeps others out and tells nobody who is who among those within, and it
/// protects nothing that follows the hello: that is up to the transport.
pub struct SharedSecret {
    key: [u8; 32],
    rights: PeerRights,
}

impl SharedSecret {
    /// With a secret of at least 16 random bytes, all that know it have these rights.
    pub fn new(secret: &[u8], rights: PeerRights) -> Self {
        let key = blake3::derive_key("lunatic nodes 2026: proof of the secret of a cluster", secret);
        Self { key, rights }
    }
}

impl Trust for SharedSecret {
    fn prove(&self, statement: &[u8]) -> Vec<u8> {
        blake3::keyed_hash(&self.key, statement).as_bytes().to_vec()
    }

    fn judge(&self, _: &Identity, statement: &[u8], proof: &[u8]) -> Option<PeerRights> {
        let proof: [u8; 32] = proof.try_into().ok()?;
        // Hashes are compared in constant time.
        (blake3::keyed_hash(&self.key, statement) == proof).then_some(self.rights)
    }
}
