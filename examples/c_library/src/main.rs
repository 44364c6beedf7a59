//! Unsafe C code, called safely: each call runs in its own process, which has no rights except to compute.
//!
//! A buffer overflow, a use after free, a null dereference and an endless loop each terminate one process. The others,
//! and the main process, go on; crash reports name the C function.
//!
//! ```sh
//! cargo lunatic run -p lunatic-example-c-library --bin c_library
//! ```

#[cfg(target_family = "wasm")]
fn main() {
    use std::ffi::c_char;
    use std::time::Duration;

    use lunatic::{Channel, Process, ProcessConfig};

    // ANCHOR: calls
    // SAFETY: these are the signatures in `careless.c`. Its functions can only damage the memory of their own process.
    unsafe extern "C" {
        safe fn use_after_free() -> f64;
        safe fn null_dereference() -> f64;
        safe fn endless_loop(step: u32) -> u32;
        fn greet(name: *const c_char, len: usize) -> usize;
        fn checksum(bytes: *const u8, len: usize) -> u32;
    }

    let nothing = ProcessConfig::new().cpu_time(Duration::from_millis(100));
    let results = Channel::<(u32, u32)>::new(0);
    let run = |what: &str, call: fn()| {
        let ended = Process::builder().config(&nothing).spawn(call).unwrap().join();
        println!("{what}: the process {ended}");
    };

    run("buffer overflow", || {
        // SAFETY: this overflows a buffer of 16 bytes, on purpose. The memory that is overwritten is this process's
        // own.
        unsafe { greet(c"attacker".as_ptr(), 64 << 20) };
    });
    run("use after free", || _ = use_after_free());
    run("null dereference", || _ = null_dereference());
    run("endless loop", || _ = endless_loop(0));
    // ANCHOR_END: calls

    for i in 0..3_u32 {
        let work = move || {
            let bytes = vec![i as u8; 1000];
            // SAFETY: `bytes` is readable for its length.
            results.send((i, unsafe { checksum(bytes.as_ptr(), bytes.len()) }));
        };
        Process::builder().config(&nothing).spawn(work).unwrap();
    }
    let mut sums: Vec<_> = (0..3).map(|_| results.receive()).collect();
    sums.sort_unstable();
    for (i, sum) in sums {
        println!("checksum of 1000 times {i}: {sum:#010x}");
    }
}

#[cfg(not(target_family = "wasm"))]
fn main() {
    eprintln!("start this with `cargo lunatic run -p lunatic-example-c-library --bin c_library`");
    std::process::exit(1);
}
