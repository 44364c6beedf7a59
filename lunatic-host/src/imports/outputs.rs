//! Captured output of children, for the process that spawned them.

use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Payer, Receipt, Resource};

use crate::instance::Ctx;
use crate::wasi::Wasi;
use crate::wasi::context::CAPTURED_MAX;
use crate::wasi::stdio::UNSEEN_HELD_MAX;

/// The most children of a process whose output is captured.
const CHILDREN_MAX: usize = 1024;
/// What each of its two outputs costs the process, for as long as the child or a descendant can write to it.
const COST: usize = CAPTURED_MAX + UNSEEN_HELD_MAX;

/// The children whose captured output a process can take.
#[derive(Default)]
pub(super) struct Outputs(Vec<Child>);

struct Child {
    id: Id,
    wasi: Arc<Wasi>,
}

impl Outputs {
    pub(super) fn of(ctx: &mut Ctx) -> &mut Self {
        ctx.state(Self::default)
    }

    /// Charges the process for the output of one more child. The error says why this is not possible.
    ///
    /// The outputs keep the charge, because they can outlive the process, and the child: its descendants write to them.
    pub(super) fn charge(ctx: &mut Ctx, child: &Wasi) -> Result<(), String> {
        if Self::of(ctx).0.len() >= CHILDREN_MAX {
            return Err(format!(
                "the process has not taken the captured output of {CHILDREN_MAX} children: take it"
            ));
        }
        for capture in (0..2).filter_map(|stream| child.captured(stream)) {
            let mut paid = Receipt::new(ctx.process().purse().to_account(), Resource::Buffers);
            paid.grow(COST).map_err(|exhausted| exhausted.to_string())?;
            capture.pay(paid);
        }
        Ok(())
    }

    /// Adds a child, for which [`charge`](Self::charge) has charged.
    pub(super) fn add(ctx: &mut Ctx, id: Id, wasi: Arc<Wasi>) {
        Self::of(ctx).0.push(Child { id, wasi });
    }

    pub(super) fn find(&self, id: Id) -> Option<Arc<Wasi>> {
        let found = self.0.iter().find(|child| child.id == id);
        found.map(|child| child.wasi.clone())
    }

    /// Forgets a child whose output is complete.
    pub(super) fn remove(ctx: &mut Ctx, id: Id) {
        Self::of(ctx).0.retain(|child| child.id != id);
    }
}
