//! How wasmtime is configured: one engine a memory layout.

use wasmtime::{Config, Engine, WasmBacktraceDetails};

/// How much stack the code of a process may use, in bytes. The same in every layout.
pub(crate) const WASM_STACK_SIZE: usize = 256 << 10;
/// What host functions called by the process need on top of that.
pub(crate) const HOST_STACK_SIZE: usize = 128 << 10;

/// Where the memories of processes live, and how their accesses are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// 4 GiB of address space for each memory: no bounds checks in the code. For the first thousand processes.
    Fast,
    /// Memories close together: the code checks bounds. For all others.
    Dense,
}

impl Layout {
    pub(crate) const ALL: [Self; 2] = [Self::Fast, Self::Dense];
}

/// What is the same for both layouts.
fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_SIZE)
        .async_stack_size(WASM_STACK_SIZE + HOST_STACK_SIZE)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(64))
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .memory_init_cow(false)
        .cranelift_opt_level(wasmtime::OptLevel::Speed);
    config
}

pub(crate) fn engine(layout: Layout) -> wasmtime::Result<Engine> {
    let mut config = config();
    match layout {
        Layout::Fast => {}
        Layout::Dense => {
            config
                .memory_reservation(0)
                .memory_guard_size(0)
                .memory_reservation_for_growth(0)
                .guard_before_linear_memory(false)
                .memory_may_move(true);
        }
    }
    Engine::new(&config)
}
