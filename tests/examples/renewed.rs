//! Upgrades actors to and fro while anything happens to them, for as long as you like: `renewed UPGRADES [SEED]`.

use lunatic_tests::host::Host;
use lunatic_tests::renewed::renew;

/// So often one run of the guest is upgraded.
const AT_ONCE: usize = 100;

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .map(|number| number.parse::<u64>().expect("a number"));
    let upgrades = numbers.next().unwrap_or(10_000);
    let first = numbers.next().unwrap_or(1);
    for seed in first..first + upgrades.div_ceil(AT_ONCE as u64) {
        println!("seed {seed}: {:?}", renew(Host::shared(), seed, AT_ONCE));
    }
}
