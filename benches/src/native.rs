//! The computations of `examples/bench`, compiled for this machine: `native fib|memory N` prints the same line of JSON.

#[path = "../../examples/bench/compute.rs"]
mod compute;

use std::hint::black_box;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let work = match args.first().map(String::as_str) {
        Some("fib") => compute::fib,
        Some("memory") => compute::memory,
        _ => usage(),
    };
    let Some(n) = args.get(1).and_then(|n| n.parse().ok()) else {
        usage()
    };
    let start = Instant::now();
    black_box(work(black_box(n)));
    println!(
        r#"{{"system":"native","work":"{}","n":{n},"ns_per_op":{}}}"#,
        args[0],
        start.elapsed().as_nanos()
    );
}

fn usage() -> ! {
    eprintln!("usage: native fib|memory N");
    std::process::exit(2)
}
