//! A native program that embeds Lunatic: a shop whose clerks are processes of a guest.
//!
//! [`shop`] adds host functions, `guest.wat` calls them, and [`run`] starts the guest, sends it a message and inspects
//! it.

pub mod shop;

use std::io::{self, Write};
use std::time::Duration;

use lunatic_host::budget::Caps;
use lunatic_host::wasi::{Output, WasiConfig};
use lunatic_host::{Phase, RunningSystem, Runtime, SystemConfig, WaitFor};
use tokio::sync::mpsc;

use self::shop::{OrdersMax, Shop};

/// The guest. A Rust guest would declare the same imports, and be built for wasm32-wasip1:
///
/// ```ignore
/// #[link(wasm_import_module = "shop")]
/// unsafe extern "C" {
///     safe fn price(pieces: u32) -> u32;
///     safe fn order(pieces: u32) -> i32;
///     safe fn wait_for_delivery(order: i32, timeout_ms: u32) -> i32;
///     safe fn stocktaking() -> u32;
///     safe fn expect_news();
///     unsafe fn say(text: *const u8, len: usize);
///     safe fn say_number(number: i32);
/// }
/// ```
pub const GUEST: &str = include_str!("guest.wat");

/// The tag of the message that closes the shop.
const CLOSE: u64 = 42;

/// Output that is passed line by line to a function, for example to the log of the program.
struct Lines<F>(F);

impl<F: FnMut(&str)> Write for Lines<F> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        String::from_utf8_lossy(text).lines().for_each(&mut self.0);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs the guest to its end, and writes what happens.
///
/// # Errors
///
/// If the runtime cannot be built, the guest cannot run, or writing fails.
pub async fn run(out: &mut impl Write) -> anyhow::Result<()> {
    // The guest's messages arrive here: it sends them to this program with a host function.
    let (says, mut said) = mpsc::unbounded_channel();
    let shop = Shop::new(says.clone());
    // The extension belongs to the runtime; the data that this program needs later is shared.
    let ledger = shop.ledger();
    let runtime = Runtime::builder()
        .workers(2)
        .queued_max(16 << 20)
        .cache(None)
        .extension(shop)
        .build()?;
    let module = runtime.load(GUEST.as_bytes())?;

    let stdout = Output::to_writer(Lines(move |line: &str| {
        let _ = says.send(format!("printed: {line}"));
    }));
    let mut config = SystemConfig {
        wasi: WasiConfig {
            stdout: stdout.clone(),
            ..WasiConfig::default()
        },
        max_memory: 1 << 20,
        // No caps, but the usage is measured.
        caps: Some(Caps::default()),
        expects_messages: true,
        ..SystemConfig::default()
    };
    // The right of the main process; its children never get more.
    config.inherited.set(OrdersMax::new(3));
    let system = runtime.start(&module, config)?;

    // The guest reports when it is open. If it exited before, the end of the system would show below.
    while let Some(line) = said.recv().await {
        writeln!(out, "{line}")?;
        if line == "open" {
            break;
        }
    }
    wait_for_silence(&system).await;
    let processes = system.processes();
    let waiting = processes
        .iter()
        .filter(|process| process.snapshot.phase == Phase::Blocked);
    writeln!(out, "{} processes, {} of them wait", processes.len(), waiting.count())?;
    writeln!(out, "figures: {} processes", runtime.figures().processes)?;

    // Send a message from this thread (any thread could); then wait asynchronously, without blocking a thread.
    let main = system.main().ok_or_else(|| anyhow::anyhow!("the shop has closed"))?;
    system.send(main, CLOSE, b"closing time")?;
    let reason = system.ended().await;
    // Wait until the last text is written.
    stdout.finish();
    while let Ok(line) = said.try_recv() {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "the guest {reason}")?;
    writeln!(out, "{}", shop::sum(&ledger))?;
    let worked = system.usage().is_some_and(|usage| usage.cpu > Duration::ZERO);
    writeln!(out, "time on a core was measured: {worked}")?;

    stop_another(&runtime, out).await
}

/// Waits until the main process waits for mail.
async fn wait_for_silence(system: &RunningSystem) {
    let waits = || {
        let main = system.main().and_then(|id| system.process(id));
        main.is_none_or(|main| matches!(main.snapshot.wait, Some((WaitFor::Mail, _))))
    };
    while !waits() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Starts a guest that runs for ever, and stops it.
async fn stop_another(runtime: &Runtime, out: &mut impl Write) -> anyhow::Result<()> {
    let spins = runtime.load(br#"(module (func (export "_start") (loop $spin (br $spin))))"#)?;
    let system = runtime.start(&spins, SystemConfig::default())?;
    system.stop();
    writeln!(out, "another guest {}", system.ended().await)?;
    Ok(())
}
