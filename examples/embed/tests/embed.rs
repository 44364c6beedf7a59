//! The example does what it says.

#[test]
fn the_shop_runs() {
    let executor = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let mut out = Vec::new();
    executor.unwrap().block_on(embed::run(&mut out)).unwrap();
    let out = String::from_utf8(out).unwrap();
    // Printed text comes through a thread of its own, so at any time.
    let (printed, lines): (Vec<&str>, Vec<&str>) = out.lines().partition(|line| line.starts_with("printed: "));
    assert_eq!(printed, ["printed: the shop opens"]);
    let expected = [
        "42",
        "20",
        "-2",
        "1000",
        "the van is here",
        "0",
        "-1",
        "a clerk left with 1 orders",
        "open",
        "1 processes, 1 of them wait",
        "figures: 1 processes",
        "closing time",
        "a clerk left with 1 orders",
        "the guest ended normally",
        "orders of all: 2, clerks that left: 2",
        "time on a core was measured: true",
        "another guest was killed",
    ];
    assert_eq!(lines, expected);
}
