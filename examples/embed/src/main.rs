//! Runs the shop: `cargo run -p lunatic-example-embed`.

/// Any executor can be used, or none: `RunningSystem::wait` blocks a thread.
fn main() -> anyhow::Result<()> {
    let executor = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    executor.block_on(embed::run(&mut std::io::stdout()))
}
