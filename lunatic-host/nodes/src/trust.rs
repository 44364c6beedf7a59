//! Whether a peer is the node that it claims to be, and what it may do here.

use crate::identity::Identity;

/// The maximum length of a proof, in bytes: enough for a chain of certificates and a signature.
pub const PROOF_LEN_MAX: usize = 8 << 10;

/// What a peer may do to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerRights {
    /// Spawn processes.
    pub spawn: bool,
    /// Link to processes and monitor them.
    pub link: bool,
    /// Send exit signals, including kills.
    pub exit: bool,
    /// Have global names, and members of global groups.
    pub names: bool,
    /// Fetch modules.
    pub modules: bool,
}

impl PeerRights {
    /// All rights.
    pub const ALL: Self = Self {
        spawn: true,
        link: true,
        exit: true,
        names: true,
        modules: true,
    };
    /// No rights: only messages.
    pub const MESSAGES: Self = Self {
        spawn: false,
        link: false,
        exit: false,
        names: false,
        modules: false,
    };
}

/// How nodes prove their identity.
///
/// A statement is the part of a [hello](crate::frame::Hello) before the proof: both nodes, both sessions, the cluster.
/// A session number is used once, so a recorded proof is worthless in another epoch.
pub trait Trust: Send + Sync {
    /// Proves to a peer that this node makes the statement. At most [`PROOF_LEN_MAX`] bytes.
    fn prove(&self, statement: &[u8]) -> Vec<u8>;

    /// What a peer may do here; `None` if the proof does not fit the statement, or if the peer is not welcome.
    fn judge(&self, peer: &Identity, statement: &[u8], proof: &[u8]) -> Option<PeerRights>;

    /// The key with which a peer has proved its identity, as a hash; `None` if the nodes have no keys of their own. Two
    /// nodes with different names never have the same key. Called after [`judge`](Self::judge) has accepted the proof.
    fn key(&self, _peer: &Identity, _proof: &[u8]) -> Option<[u8; 32]> {
        None
    }
}

/// Trusts everybody who can reach this node: for a single machine, on loopback.
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

/// Trusts everybody who knows the secret of the cluster. It keeps strangers out, but members can pretend to be one
/// another, and it does not protect what follows the hello: that is the transport's task.
pub struct SharedSecret {
    key: [u8; 32],
    rights: PeerRights,
}

impl SharedSecret {
    /// Gives these rights to all who know the secret, which must have at least 16 random bytes.
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
        // The comparison of hashes takes constant time.
        (blake3::keyed_hash(&self.key, statement) == proof).then_some(self.rights)
    }
}
