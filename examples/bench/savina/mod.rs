//! Kernels of the Savina suite of actor benchmarks. `docs/performance.md` says where they differ from the suite.

mod bank;
mod big;
mod fork_join;
mod philosophers;
mod sieve;

pub(crate) use bank::bank;
pub(crate) use big::big;
pub(crate) use fork_join::fork_join;
pub(crate) use philosophers::philosophers;
pub(crate) use sieve::sieve;

/// The part of `n` for the process at this place, of `processes` that divide it among themselves.
fn share(n: u64, place: u64, processes: u64) -> u64 {
    n / processes + u64::from(place < n % processes)
}

/// The random numbers of the suite.
struct Random(u64);

impl Random {
    /// Returns a number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = (self.0 * 3877 + 29_573) % 139_968;
        self.0 % bound
    }
}
