//! Keeps the instance of a process that failed until its core dump is written.

use std::sync::Arc;

use lunatic_kernel::environment::Environment;
use lunatic_memory::Pages;
use wasmtime::{Global, Store, Val};

use crate::report::dump::{Memory, Value};

/// The parts of an instance in a dump. Empty if there was no instance.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) memory: Option<wasmtime::Memory>,
    pub(super) globals: Vec<Global>,
}

/// Starts a thread that writes the dump and owns the instance from now on: its memory stays as it was without being
/// copied, and is released when the dump is written. The result of `write` is dropped after that.
pub(super) fn write_later<T: Send + 'static, R>(
    machine: &Arc<dyn Environment>,
    mut store: Store<T>,
    parts: Parts,
    write: impl FnOnce(&[Value], Option<Memory<'_>>) -> R + Send + 'static,
) {
    let run = move || {
        let globals = parts.globals.iter().filter_map(|global| value(global.get(&mut store)));
        let globals: Vec<Value> = globals.collect();
        let touched: Option<Vec<_>> = parts.memory.and_then(|memory| {
            let pages = Pages::of(memory.data_mut(&mut store))?;
            Some(pages.resident().bytes().collect())
        });
        let bytes = parts.memory.map_or(&[][..], |memory| memory.data(&store));
        let memory = touched.map(|touched| Memory { bytes, touched });
        let written = write(&globals, memory);
        drop(store);
        drop(written);
    };
    // Without a thread there is no dump, and `write` is dropped.
    drop(machine.spawn("lunatic-dump".into(), Box::new(run)));
}

fn value(value: Val) -> Option<Value> {
    match value {
        Val::I32(value) => Some(Value::I32(value)),
        Val::I64(value) => Some(Value::I64(value)),
        Val::F32(bits) => Some(Value::F32(bits)),
        Val::F64(bits) => Some(Value::F64(bits)),
        _ => None,
    }
}
