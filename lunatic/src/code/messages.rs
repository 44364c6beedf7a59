//! What the messages of an actor look like in a version of the program.

use serde::{Deserialize, Serialize};

use super::shape::Shape;
use crate::actor::Actor;

/// The longest description that travels, in bytes.
const LEN_MAX: usize = 256 << 10;

/// The shapes of the messages that an actor handles.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Messages {
    call: Shape,
    cast: Shape,
}

impl Messages {
    /// Those of this version. They are unknown if messages are not written as bincode: formats with names notice themselves what
    /// does not fit.
    pub(crate) fn of<A: Actor>() -> Self {
        if !cfg!(feature = "bincode") {
            return Self {
                call: Shape::default(),
                cast: Shape::default(),
            };
        }
        Self {
            call: Shape::of::<A::Call>(),
            cast: Shape::of::<A::Cast>(),
        }
    }

    /// Why messages of `self`, the former version, could be misread by `new`; `None` if they could not.
    pub(crate) fn conflict(&self, new: &Self) -> Option<String> {
        let call = self.call.conflict(&new.call).map(|why| ("calls", why));
        let (what, why) = call.or_else(|| self.cast.conflict(&new.cast).map(|why| ("casts", why)))?;
        Some(format!(
            "its {what} could be misread, because a message has no names: {why}; leave what exists as it is, and add variants at \
             the end"
        ))
    }

    /// `None` if they are too long to travel: then they are not compared.
    pub(super) fn to_bytes(&self) -> Option<Vec<u8>> {
        let bytes = rmp_serde::to_vec(self).ok()?;
        (bytes.len() <= LEN_MAX).then_some(bytes)
    }

    /// `None` if another version of this crate has written them differently.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(bytes).ok()
    }
}
