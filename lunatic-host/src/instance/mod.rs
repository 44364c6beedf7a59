//! Instances of modules: their memory, their stacks, and what they cost while they wait.

pub mod arena;
pub mod kernel;
pub mod memory;
pub mod residency;
pub mod runs;
pub mod stack;

#[cfg(test)]
mod tests;
