//! `wasi:cli`, `wasi:clocks` and `wasi:random`.

use lunatic_kernel::budget::Resource as Charged;
use wasmtime::component::{Linker, Resource};
use wasmtime::{Error, Result};
use wasmtime_wasi::cli::{WasiCliCtxView, WasiCliView as _};
use wasmtime_wasi::clocks::WasiClocksView as _;
use wasmtime_wasi::p2::bindings::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
    terminal_stdout,
};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};
use wasmtime_wasi::random::WasiRandomView as _;

use super::aside;
use super::state::{View, view};
use crate::imports::wasi::bounds::RANDOM_PIECE;
use crate::instance::Ctx;

/// The most random bytes of a call: the host makes them before the process gets any.
const RANDOM_MAX: u64 = 4 << 20;

impl environment::Host for View<'_> {
    fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
        self.state().context.cli().get_environment()
    }

    fn get_arguments(&mut self) -> Result<Vec<String>> {
        self.state().context.cli().get_arguments()
    }

    fn initial_cwd(&mut self) -> Result<Option<String>> {
        self.state().context.cli().initial_cwd()
    }
}

impl exit::Host for View<'_> {
    fn exit(&mut self, status: Result<(), ()>) -> Result<()> {
        self.state().context.cli().exit(status)
    }

    fn exit_with_code(&mut self, code: u8) -> Result<()> {
        self.state().context.cli().exit_with_code(code)
    }
}

impl View<'_> {
    fn cli<T>(&mut self, make: impl FnOnce(&mut WasiCliCtxView<'_>) -> Result<T>) -> Result<T> {
        self.giving(|trap| trap, |state| make(&mut state.context.cli()))
    }

    /// For a handle that there may be none of.
    fn terminal<T>(&mut self, make: impl FnOnce(&mut WasiCliCtxView<'_>) -> Result<Option<T>>) -> Result<Option<T>> {
        let made = self.cli(make)?;
        if made.is_none() {
            self.dropped();
        }
        Ok(made)
    }
}

impl stdin::Host for View<'_> {
    fn get_stdin(&mut self) -> Result<Resource<DynInputStream>> {
        self.cli(|cli| stdin::Host::get_stdin(cli))
    }
}

impl stdout::Host for View<'_> {
    fn get_stdout(&mut self) -> Result<Resource<DynOutputStream>> {
        self.cli(|cli| stdout::Host::get_stdout(cli))
    }
}

impl stderr::Host for View<'_> {
    fn get_stderr(&mut self) -> Result<Resource<DynOutputStream>> {
        self.cli(|cli| stderr::Host::get_stderr(cli))
    }
}

impl terminal_input::Host for View<'_> {}

impl terminal_input::HostTerminalInput for View<'_> {
    fn drop(&mut self, terminal: Resource<terminal_input::TerminalInput>) -> Result<()> {
        self.dropping(|state| terminal_input::HostTerminalInput::drop(&mut state.context.cli(), terminal))
    }
}

impl terminal_output::Host for View<'_> {}

impl terminal_output::HostTerminalOutput for View<'_> {
    fn drop(&mut self, terminal: Resource<terminal_output::TerminalOutput>) -> Result<()> {
        self.dropping(|state| terminal_output::HostTerminalOutput::drop(&mut state.context.cli(), terminal))
    }
}

impl terminal_stdin::Host for View<'_> {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<terminal_input::TerminalInput>>> {
        self.terminal(|cli| terminal_stdin::Host::get_terminal_stdin(cli))
    }
}

impl terminal_stdout::Host for View<'_> {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<terminal_output::TerminalOutput>>> {
        self.terminal(|cli| terminal_stdout::Host::get_terminal_stdout(cli))
    }
}

impl terminal_stderr::Host for View<'_> {
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<terminal_output::TerminalOutput>>> {
        self.terminal(|cli| terminal_stderr::Host::get_terminal_stderr(cli))
    }
}

impl wall_clock::Host for View<'_> {
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        wall_clock::Host::now(&mut self.state().context.clocks())
    }

    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        wall_clock::Host::resolution(&mut self.state().context.clocks())
    }
}

impl monotonic_clock::Host for View<'_> {
    fn now(&mut self) -> Result<monotonic_clock::Instant> {
        monotonic_clock::Host::now(&mut self.state().context.clocks())
    }

    fn resolution(&mut self) -> Result<monotonic_clock::Duration> {
        monotonic_clock::Host::resolution(&mut self.state().context.clocks())
    }

    fn subscribe_instant(&mut self, when: monotonic_clock::Instant) -> Result<Resource<DynPollable>> {
        self.giving(|trap| trap, |state| state.context.clocks().subscribe_instant(when))
    }

    fn subscribe_duration(&mut self, after: monotonic_clock::Duration) -> Result<Resource<DynPollable>> {
        self.giving(|trap| trap, |state| state.context.clocks().subscribe_duration(after))
    }
}

/// Random numbers of one kind, in pieces.
async fn random_bytes(
    mut view: View<'_>,
    len: u64,
    piece: fn(&mut View<'_>, u64) -> Result<Vec<u8>>,
) -> Result<(Vec<u8>,)> {
    if len > RANDOM_MAX {
        return Err(Error::msg(format!(
            "the process asks for {len} random bytes in one call, but at most {RANDOM_MAX} are allowed"
        )));
    }
    let paid = view.paid(Charged::Buffers, len as usize)?;
    let mut bytes = Vec::with_capacity(len as usize);
    while (bytes.len() as u64) < len {
        let left = len - bytes.len() as u64;
        bytes.extend(piece(&mut view, left.min(RANDOM_PIECE.into()))?);
        aside::pause(&mut view).await;
    }
    view.state().lent = Some(paid);
    Ok((bytes,))
}

/// These functions make all bytes in one step, so they make no more than a piece: [`in_pieces`] defines those that
/// components call.
fn check_piece(len: u64) -> Result<()> {
    match len > u64::from(RANDOM_PIECE) {
        true => Err(Error::msg(format!(
            "{len} random bytes are more than are made in one step"
        ))),
        false => Ok(()),
    }
}

impl random::Host for View<'_> {
    fn get_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        check_piece(len)?;
        random::Host::get_random_bytes(self.state().context.random(), len)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        random::Host::get_random_u64(self.state().context.random())
    }
}

impl insecure::Host for View<'_> {
    fn get_insecure_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        check_piece(len)?;
        insecure::Host::get_insecure_random_bytes(self.state().context.random(), len)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        insecure::Host::get_insecure_random_u64(self.state().context.random())
    }
}

impl insecure_seed::Host for View<'_> {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        insecure_seed::Host::insecure_seed(self.state().context.random())
    }
}

fn secure(view: &mut View<'_>, len: u64) -> Result<Vec<u8>> {
    random::Host::get_random_bytes(view, len)
}

fn not_secure(view: &mut View<'_>, len: u64) -> Result<Vec<u8>> {
    insecure::Host::get_insecure_random_bytes(view, len)
}

/// Replaces the functions that would make all bytes in one step. `random` and `insecure` are the names of the interfaces,
/// with their version.
pub(super) fn in_pieces(linker: &mut Linker<Ctx>, random: &str, insecure: &str) -> Result<()> {
    linker
        .instance(random)?
        .func_wrap_async("get-random-bytes", |mut store, (len,): (u64,)| {
            Box::new(async move { random_bytes(view(store.data_mut()), len, secure).await })
        })?;
    linker
        .instance(insecure)?
        .func_wrap_async("get-insecure-random-bytes", |mut store, (len,): (u64,)| {
            Box::new(async move { random_bytes(view(store.data_mut()), len, not_secure).await })
        })?;
    Ok(())
}
