//! `lunatic::metrics`.

use lunatic_sys::codes::{DENIED, INVALID, LIMIT, NAME_TAKEN, OK};
use lunatic_sys::metrics::{
    BOUNDS_MAX, COUNTER, GAUGE, HISTOGRAM, LABELS_MAX, NAME_LEN_MAX, SERIES_MAX, VALUE_LEN_MAX,
};
use wasmtime::{Caller, Linker};

use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;
use crate::metrics::{Kind, Name, Own, Refused, Series, are_bounds};
use crate::rights::{May, denial};

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::metrics";
    linker.timed(namespace, "open", open)?;
    linker.timed(namespace, "add", |caller: Caller<'_, Ctx>, series: i32, by: u64| {
        with(&caller, series, |series| series.add(by))
    })?;
    linker.timed(
        namespace,
        "observe",
        |caller: Caller<'_, Ctx>, series: i32, value: f64| with(&caller, series, |series| series.observe(value)),
    )?;
    linker.timed(
        namespace,
        "change",
        |mut caller: Caller<'_, Ctx>, series: i32, by: i64| say(&mut caller, series, |said| said.wrapping_add(by)),
    )?;
    linker.timed(namespace, "set", |mut caller: Caller<'_, Ctx>, series: i32, to: i64| {
        say(&mut caller, series, |_| to)
    })?;
    Ok(())
}

/// The longest name with all labels, in bytes.
const TEXT_LEN_MAX: usize = NAME_LEN_MAX + LABELS_MAX * (NAME_LEN_MAX + VALUE_LEN_MAX + 2);

fn open(mut caller: Caller<'_, Ctx>, kind: i32, name: u32, len: u32, bounds: u32, count: u32) -> wasmtime::Result<i32> {
    let kind = match kind {
        COUNTER => Kind::Counter,
        GAUGE => Kind::Gauge,
        HISTOGRAM => Kind::Histogram,
        _ => return Err(wasmtime::Error::msg(format!("{kind} is not a kind of metric"))),
    };
    let bounds = read_bounds(&mut caller, bounds, count)?;
    let (bytes, ctx) = guest_memory::slice(&mut caller, name, len)?;
    if bytes.len() > TEXT_LEN_MAX {
        return Err(wasmtime::Error::msg(format!(
            "a metric's name and labels have at most {TEXT_LEN_MAX} bytes"
        )));
    }
    let name = Name::read(kind, bytes)?;
    let process = ctx.process().clone();
    if !process.local.rights.may.contains(May::METRICS) {
        denial::log(&process, "may not count a metric", &String::from_utf8_lossy(bytes), "");
        ctx.set_buffer(
            b"the process may not count metrics: the configuration that it was spawned with has no `allow=metrics`",
        );
        return Ok(DENIED);
    }
    let metrics = &process.system.data.metrics;
    match metrics.open(kind, name, &bounds, &process.local.rights.group, &process) {
        Ok(series) => Ok(ctx.merging_state(Own::default).number(series)),
        Err(Refused::Kind) => Ok(NAME_TAKEN),
        Err(Refused::TooMany) => {
            ctx.set_buffer(format!(
                "a system has at most {SERIES_MAX} metrics, with those of all values of labels, and the budget of who opens one \
                 may allow fewer"
            ));
            Ok(LIMIT)
        }
    }
}

fn read_bounds(caller: &mut Caller<'_, Ctx>, start: u32, count: u32) -> wasmtime::Result<Vec<f64>> {
    // A range outside of the memory is reported first.
    let bytes = &*guest_memory::slice(caller, start, count.saturating_mul(8))?.0;
    let wrong = || {
        wasmtime::Error::msg(format!(
            "a histogram has at most {BOUNDS_MAX} bounds, each larger than the one before"
        ))
    };
    if count as usize > BOUNDS_MAX {
        return Err(wrong());
    }
    let bounds: Vec<f64> = bytes
        .as_chunks()
        .0
        .iter()
        .map(|bound| f64::from_le_bytes(*bound))
        .collect();
    if are_bounds(&bounds) { Ok(bounds) } else { Err(wrong()) }
}

fn code(done: bool) -> i32 {
    if done { OK } else { INVALID }
}

fn with(caller: &Caller<'_, Ctx>, series: i32, act: impl FnOnce(&Series) -> bool) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let own = caller.data().find_state::<Own>();
    Ok(code(own.and_then(|own| own.get(series)).is_some_and(act)))
}

fn say(caller: &mut Caller<'_, Ctx>, series: i32, to: impl FnOnce(i64) -> i64) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    Ok(code(caller.data_mut().merging_state(Own::default).say(series, to)))
}
