//! Captured output of children, for the process that spawned them.

use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Payer, Receipt, Resource};

use crate::instance::Ctx;
use crate::wasi::Wasi;
use crate::wasi::context::CAPTURED_MAX;

/// The most children of a process whose output is captured.
const CHILDREN_MAX: usize = 1024;
/// What this costs the process, per child.
const COST: usize = 2 * CAPTURED_MAX;

/// The children whose captured output a process can take.
#[derive(Default)]
pub(super) struct Outputs(Vec<Child>);

struct Child {
    id: Id,
    wasi: Arc<Wasi>,
    /// Pays for the output, whatever code the process runs meanwhile.
    _paid: Receipt,
}

impl Outputs {
    pub(super) fn of(ctx: &mut Ctx) -> &mut Self {
        ctx.state(Self::default)
    }

    /// Charges the process for the output of one more child. The error says why this is not possible.
    pub(super) fn charge(ctx: &mut Ctx) -> Result<Receipt, String> {
        if Self::of(ctx).0.len() >= CHILDREN_MAX {
            return Err(format!(
                "the process holds the output of {CHILDREN_MAX} children: take it"
            ));
        }
        let mut paid = Receipt::new(ctx.process().purse().to_account(), Resource::Buffers);
        paid.grow(COST).map_err(|exhausted| exhausted.to_string())?;
        Ok(paid)
    }

    /// Adds a child, for which [`charge`](Self::charge) has returned the receipt.
    pub(super) fn add(ctx: &mut Ctx, id: Id, wasi: Arc<Wasi>, paid: Receipt) {
        let child = Child { id, wasi, _paid: paid };
        Self::of(ctx).0.push(child);
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
