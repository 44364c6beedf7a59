//! The kernel with Rust closures as bodies. One program, because each would compile the kernel's generic code again.

mod addresses;
mod budgets;
mod channels;
mod closures;
mod endings;
mod events;
mod model;
mod names;
mod nodes;
mod processes;
mod shutdown;
mod signals;
mod simulated;
mod snapshots;
mod strangers;
mod timers;
