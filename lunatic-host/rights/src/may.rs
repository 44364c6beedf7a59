//! Rights that a process either has or does not have.

use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// A set of rights that are granted by a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct May(u16);

/// All of them.
pub const MAY_ALL: May = May(511);

impl May {
    /// Spawn processes.
    pub const SPAWN: Self = Self(1);
    /// Spawn processes with rights other than its own.
    pub const CONFIGURE: Self = Self(2);
    /// Register names and join groups.
    pub const NAMES: Self = Self(4);
    /// Compile modules.
    pub const COMPILE: Self = Self(8);
    /// Inspect processes with its rights or fewer.
    pub const INSPECT: Self = Self(16);
    /// Count metrics.
    pub const METRICS: Self = Self(32);
    /// Open spans, and set the trace that it works for.
    pub const TRACE: Self = Self(64);
    /// Upgrade processes with its rights or fewer to another version of their code.
    pub const UPGRADE: Self = Self(128);
    /// Use the other nodes of the cluster: see and monitor them, spawn processes there, and register global names.
    pub const NODES: Self = Self(256);

    /// Returns whether all of `other` is in this set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for May {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for May {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for May {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for May {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0 & MAY_ALL.0)
    }
}
