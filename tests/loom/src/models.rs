//! The models, each a function that `tests/models.rs` calls under the name of what it shows.

pub mod channels;
pub mod ends;
pub mod latches;
pub mod limits;
pub mod parking;
pub mod states;

use loom::model::Builder;

/// So many times a thread may be interrupted where it need not give way. Faults that need more are hardly known, and each
/// one more takes ten times as long.
const PREEMPTIONS_MAX: usize = 3;

/// Runs `model` in all its interleavings.
fn check(model: impl Fn() + Sync + Send + 'static) {
    check_within(PREEMPTIONS_MAX, model);
}

/// As [`check`], for a model that would take minutes.
fn check_within(preemptions_max: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions_max);
    builder.check(model);
}
