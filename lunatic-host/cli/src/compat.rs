//! Guests of Lunatic 0.13 and 0.14, if the feature `compat` is on.

use lunatic_compat::Metrics;
use lunatic_host::{Module, RunningSystem, RuntimeBuilder};

/// Adds to a runtime what such guests need.
pub(crate) fn add(builder: RuntimeBuilder) -> RuntimeBuilder {
    builder.extension(lunatic_compat::Compat)
}

/// Whether a module was built for that interface.
pub(crate) fn is_compat(module: &Module) -> bool {
    lunatic_compat::is_built_for(module)
}

/// The metrics that such guests have counted: a line `NAME NUMBER` for each.
pub(crate) fn metrics(system: &RunningSystem) -> String {
    system
        .state::<Metrics>()
        .map_or_else(String::new, |metrics| metrics.text())
}
