//! Output of children that is kept for the process that spawned them.

use std::sync::Arc;

use lunatic_kernel::address::Id;

use crate::instance::Ctx;
use crate::wasi::Wasi;
use crate::wasi::context::CAPTURED_MAX;

/// The output of so many children is kept for one process.
const CHILDREN_MAX: usize = 1024;
/// What that costs it of its budget, for each child.
const COST: usize = 2 * CAPTURED_MAX;

/// The children whose output a process may ask for, with what they see of the world.
#[derive(Default)]
pub(super) struct Outputs(Vec<(Id, Arc<Wasi>)>);

impl Outputs {
    pub(super) fn of(ctx: &mut Ctx) -> &mut Self {
        ctx.state(Self::default)
    }

    /// Charges the process for the output of one child more; what stands in the way, if anything does.
    pub(super) fn charge(ctx: &mut Ctx) -> Result<(), String> {
        if Self::of(ctx).0.len() >= CHILDREN_MAX {
            return Err(format!(
                "the process holds the output of {CHILDREN_MAX} children: take it"
            ));
        }
        ctx.limits
            .charge(COST)
            .inspect_err(|_| ctx.limits.out_of_memory = false)
    }

    /// Takes back [`charge`](Self::charge).
    pub(super) fn give_back(ctx: &mut Ctx) {
        ctx.limits.give_back(COST);
    }

    pub(super) fn add(ctx: &mut Ctx, child: Id, wasi: Arc<Wasi>) {
        Self::of(ctx).0.push((child, wasi));
    }

    pub(super) fn find(&self, child: Id) -> Option<Arc<Wasi>> {
        let found = self.0.iter().find(|(other, _)| *other == child);
        found.map(|(_, wasi)| wasi.clone())
    }

    /// Nothing more will come of the child.
    pub(super) fn remove(ctx: &mut Ctx, child: Id) {
        Self::of(ctx).0.retain(|(other, _)| *other != child);
        Self::give_back(ctx);
    }
}
