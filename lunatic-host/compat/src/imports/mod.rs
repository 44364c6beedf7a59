//! The 140 functions, with one file for each namespace, as `lunatic_sys::compat` lists them.

mod distributed;
mod error;
mod message;
mod metrics;
mod networking;
mod process;
mod registry;
#[cfg(feature = "sqlite")]
mod sqlite;
mod timer;
mod trap;
mod version;
mod wasi;

use lunatic_host::Ctx;
use lunatic_host::guest_memory;
use lunatic_host::imports::pieces;
use lunatic_kernel::Local as _;
use lunatic_kernel::budget::Payer as _;
use wasmtime::{Caller, Linker};

use crate::State;
use crate::resources::{Held, Resources};

/// Adds all functions that a guest of this interface can import.
pub(crate) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    distributed::add(linker)?;
    error::add(linker)?;
    message::add(linker)?;
    metrics::add(linker)?;
    networking::add(linker)?;
    process::add(linker)?;
    registry::add(linker)?;
    #[cfg(feature = "sqlite")]
    sqlite::add(linker)?;
    timer::add(linker)?;
    trap::add(linker)?;
    version::add(linker)?;
    wasi::add(linker)?;
    Ok(())
}

fn state<'a>(caller: &'a mut Caller<'_, Ctx>) -> &'a mut State {
    let ctx = caller.data_mut();
    if ctx.find_state::<State>().is_none() {
        let owner = (ctx.kernel().clone(), ctx.process().local.budget().cloned());
        ctx.state(State::default).owner = Some(owner);
    }
    ctx.state(State::default)
}

/// Puts a value into a table of the process, which pays for it. Returns its number.
fn keep<T: Held>(
    caller: &mut Caller<'_, Ctx>,
    table: impl FnOnce(&mut State) -> &mut Resources<T>,
    what: &'static str,
    value: T,
) -> wasmtime::Result<u64> {
    let account = caller.data().process().purse().to_account();
    Ok(table(state(caller)).add(account, what, value)?)
}

/// A trap that describes a fault of the guest.
fn fault(text: impl Into<String>) -> wasmtime::Error {
    wasmtime::Error::msg(text.into())
}

/// How many bytes a call copies at most, which takes about 2 ms.
const BYTES_MAX: u32 = 4 << 20;

/// A copy of bytes that a guest has written.
fn bytes(caller: &mut Caller<'_, Ctx>, at: u32, len: u32) -> wasmtime::Result<Vec<u8>> {
    if len > BYTES_MAX {
        return Err(fault(format!("a host call takes at most {BYTES_MAX} bytes, not {len}")));
    }
    Ok(guest_memory::slice(caller, at, len)?.0.to_vec())
}

/// A text that a guest has written.
fn text(caller: &mut Caller<'_, Ctx>, at: u32, len: u32) -> wasmtime::Result<String> {
    into_text(bytes(caller, at, len)?)
}

fn into_text(bytes: Vec<u8>) -> wasmtime::Result<String> {
    String::from_utf8(bytes).map_err(|_| fault("a text of a host call is not UTF-8"))
}

/// Values of 8 bytes that a guest has written.
fn longs(caller: &mut Caller<'_, Ctx>, at: u32, count: u32, count_max: u32) -> wasmtime::Result<Vec<u64>> {
    if count > count_max {
        return Err(fault(format!(
            "a host call takes at most {count_max} of these, not {count}"
        )));
    }
    let (bytes, _) = guest_memory::slice(caller, at, count * 8)?;
    let longs = bytes.chunks_exact(8);
    Ok(longs
        .map(|long| u64::from_le_bytes(long.try_into().expect("eight bytes")))
        .collect())
}

fn write_long(caller: &mut Caller<'_, Ctx>, at: u32, value: u64) -> wasmtime::Result<()> {
    guest_memory::write(caller, at, &value.to_le_bytes())
}

/// Keeps an error for the guest, writes its number to `out`, and returns the code for an error.
fn failed(caller: &mut Caller<'_, Ctx>, out: u32, error: impl ToString) -> wasmtime::Result<i32> {
    failed_with(caller, out, 1, error)
}

fn failed_with(caller: &mut Caller<'_, Ctx>, out: u32, code: i32, error: impl ToString) -> wasmtime::Result<i32> {
    let id = keep(caller, |state| &mut state.errors, "error", error.to_string())?;
    write_long(caller, out, id)?;
    Ok(code)
}

/// Converts a timeout in milliseconds to the unit of the host.
fn nanoseconds(ms: u64) -> u64 {
    match ms {
        lunatic_sys::compat::NO_TIMEOUT => lunatic_sys::codes::NO_TIMEOUT,
        ms => ms.saturating_mul(1_000_000),
    }
}

/// Gives bytes to the guest, in memory that it allocates for them, and writes their length to `out_len`.
async fn give(caller: &mut Caller<'_, Ctx>, bytes: &[u8], out_len: u32) -> wasmtime::Result<u32> {
    let len = u32::try_from(bytes.len())?;
    let export = caller.get_export("lunatic_alloc").and_then(wasmtime::Extern::into_func);
    let allocate = export.ok_or_else(|| fault("the module exports no function `lunatic_alloc`"))?;
    let allocate = allocate.typed::<u32, u32>(&*caller)?;
    let at = allocate.call_async(&mut *caller, len).await?;
    pieces::write(caller, at, bytes).await?;
    guest_memory::write(caller, out_len, &len.to_le_bytes())?;
    Ok(at)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use lunatic_host::Runtime;
    use lunatic_sys::compat::FUNCTIONS;

    use crate::Compat;

    /// A module that imports all functions of the list.
    fn everything() -> String {
        let mut text = String::from("(module");
        for function in FUNCTIONS {
            let types = |letters: &str| -> String {
                let types = letters.chars().map(|letter| match letter {
                    'I' => " i64",
                    'f' => " f64",
                    _ => " i32",
                });
                types.collect()
            };
            let (parameters, result) = (types(function.parameters), types(function.result));
            let _ = write!(
                text,
                "(import \"lunatic::{}\" \"{}\" (func (param{parameters}) (result{result})))",
                function.namespace, function.name
            );
        }
        text + ")"
    }

    #[test]
    fn all_140_functions_are_there_with_their_types() {
        assert_eq!(FUNCTIONS.len(), 140);
        let runtime = Runtime::builder()
            .workers(1)
            .cache(None)
            .extension(Compat)
            .build()
            .unwrap();
        runtime.load(everything().as_bytes()).unwrap();
        // Without the extension nothing provides them.
        let runtime = Runtime::builder().workers(1).cache(None).build().unwrap();
        assert!(runtime.load(everything().as_bytes()).is_err());
    }
}
