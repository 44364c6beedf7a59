//! Computations that do not use processes: compiled for guests here, and natively by the benchmark.

use std::collections::HashMap;

/// The `n`-th Fibonacci number, by naive recursion.
pub(crate) fn fib(n: u64) -> u64 {
    if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
}

/// Memory-bound: sorts `n` numbers, counts them in a map by their low bits, and multiplies two matrices of 200 × 200.
pub(crate) fn memory(n: u64) -> u64 {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut numbers: Vec<u64> = (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        })
        .collect();
    numbers.sort_unstable();
    let mut counts: HashMap<u64, u64> = HashMap::new();
    for number in &numbers {
        *counts.entry(number % 65_536).or_default() += 1;
    }
    let most = counts.values().max().copied().unwrap_or(0);

    const SIZE: usize = 200;
    let matrix = |seed: usize| -> Vec<f64> { (0..SIZE * SIZE).map(|k| ((k * seed) % 97) as f64).collect() };
    let (a, b) = (matrix(31), matrix(17));
    let mut product = vec![0.0; SIZE * SIZE];
    for i in 0..SIZE {
        for k in 0..SIZE {
            for j in 0..SIZE {
                product[i * SIZE + j] += a[i * SIZE + k] * b[k * SIZE + j];
            }
        }
    }
    numbers[numbers.len() / 2] ^ most ^ product.iter().sum::<f64>() as u64
}
