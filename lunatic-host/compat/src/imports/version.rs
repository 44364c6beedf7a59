//! `lunatic::version`: the version of the interface, not of this host.

use lunatic_host::Ctx;
use wasmtime::Linker;

/// The last version that was published.
const VERSION: [i32; 3] = [0, 13, 2];

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    for (name, number) in ["major", "minor", "patch"].into_iter().zip(VERSION) {
        linker.func_wrap("lunatic::version", name, move || number)?;
    }
    Ok(())
}
