//! Some hundred hostile guests of `lunatic_tests::fuzz`, always the same ones.

use lunatic_tests::fuzz::{Fuzzer, Tally};
use lunatic_tests::host::Host;

#[test]
fn whatever_guests_call_the_host_lives() {
    const CASES: u64 = 200;
    let host = Host::with(|builder| builder.workers(2).cache(None));
    let mut fuzzer = Fuzzer::new();
    for seed in 0..CASES {
        fuzzer.run(&host, seed);
    }
    fuzzer.check(&host);
    let Tally {
        ended,
        stopped,
        refused,
    } = fuzzer.tally();
    assert_eq!(ended + stopped + refused, CASES);
    assert!(
        ended > CASES / 2 && refused < CASES / 4,
        "most cases do nothing: {:?}",
        fuzzer.tally()
    );
}
