//! `lunatic::code`: upgrades that a guest requests.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use lunatic_sys::codes::{BAD_CONFIG, BAD_MODULE, CLOSED, DENIED, FULL, INVALID, LIMIT, NO_TIMEOUT, OK, TIMED_OUT};
use wasmtime::{Caller, Linker};

use super::module::Modules;
use super::wait::show;
use crate::code::upgrade::{self, Asked};
use crate::code::{Upgrade, UpgradeConfig, UpgradeError, UpgradeKind, UpgradeReport};
use crate::engine::Layout;
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::{self, Ctx};
use crate::module::{LoadError, Module};
use crate::report::untrusted::line;
use crate::rights::{May, Rights, denial};

/// The longest settings in bytes.
const SETTINGS_LEN_MAX: u32 = 4 << 10;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::code";
    linker.timed_async(namespace, "upgrade", |caller, (id, key, settings, len)| {
        Box::new(begin(caller, id, key, settings, len))
    })?;
    linker.timed(namespace, "report", report)?;
    linker.timed_async(namespace, "wait", |caller, (upgrade, timeout_ns)| {
        Box::new(wait(caller, upgrade, timeout_ns))
    })?;
    linker.timed(namespace, "cancel", cancel)?;
    Ok(())
}

/// Whether the caller may upgrade; if not, leaves a text in the buffer and logs the denial.
fn may_upgrade(ctx: &mut Ctx) -> bool {
    let process = ctx.process();
    let may = process.local.rights.may.contains(May::UPGRADE);
    if !may {
        denial::log(process, "may not upgrade processes", "", "");
        ctx.set_buffer(
            b"the process may not upgrade others: the configuration that it was spawned with has no `allow=upgrade`",
        );
    }
    may
}

/// The caller can upgrade processes with these rights, or with rights narrowed from these; `None` stands for the whole
/// system.
fn within(ctx: &Ctx) -> Option<Arc<Rights>> {
    let process = ctx.process();
    let own = &process.local.rights;
    let main = process.system.main().and_then(|main| ctx.kernel().find(main));
    let is_all = main.is_some_and(|main| main.local.rights.group.is_within(&own.group));
    (!is_all).then(|| own.clone())
}

async fn begin(mut caller: Caller<'_, Ctx>, id: u64, key: u64, settings: u32, len: u32) -> wasmtime::Result<i32> {
    let (text, ctx) = guest_memory::slice(&mut caller, settings, len)?;
    if len > SETTINGS_LEN_MAX {
        return Ok(INVALID);
    }
    let config = read(&String::from_utf8_lossy(text));
    ctx.acts()?;
    if !may_upgrade(ctx) {
        return Ok(DENIED);
    }
    let config = match config {
        Ok(config) => config,
        Err(why) => {
            ctx.set_buffer(why);
            return Ok(BAD_CONFIG);
        }
    };
    let modules = Modules::of(ctx.kernel());
    let Some(id) = modules.check(id, key) else {
        return Ok(INVALID);
    };
    let Some(module) = modules.get(id) else {
        return Ok(CLOSED);
    };
    if let Err(error) = compile(&mut caller, &module).await {
        caller.data_mut().set_buffer(error.to_string());
        let is_limit = matches!(error.downcast_ref(), Some(LoadError::Exhausted(_)));
        return Ok(if is_limit { LIMIT } else { BAD_MODULE });
    }
    let ctx = caller.data_mut();
    let asked = Asked {
        kernel: &ctx.kernel().clone(),
        system: &ctx.process().system.clone(),
        module: &module,
        config,
        within: within(ctx),
    };
    Ok(match asked.begin() {
        Ok(upgrade) => upgrade.number().cast_signed(),
        Err(error) => {
            ctx.set_buffer(error.to_string());
            match error {
                UpgradeError::Busy => FULL,
                UpgradeError::Thread(_) => LIMIT,
            }
        }
    })
}

/// Compiles the module for both layouts at the caller's expense, before the upgrade begins, which belongs to no
/// process.
async fn compile(caller: &mut Caller<'_, Ctx>, module: &Arc<Module>) -> wasmtime::Result<()> {
    instance::note_place(&mut *caller);
    let ctx = caller.data();
    let (kernel, process) = (ctx.kernel().clone(), ctx.process().clone());
    for layout in [Layout::Fast, Layout::Dense] {
        show(caller, module.pre_for(&kernel, Some(&process), layout)).await?;
    }
    Ok(())
}

fn read(settings: &str) -> Result<UpgradeConfig, String> {
    let mut config = UpgradeConfig::default();
    for setting in settings.lines() {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| format!("`{}` is not of the form NAME=VALUE", line(setting)))?;
        config.set(name, value).map_err(|why| line(why).to_string())?;
    }
    Ok(config)
}

/// The upgrade with this number, if the caller may see it.
fn find(ctx: &mut Ctx, number: i32) -> Result<Arc<Upgrade>, i32> {
    if !may_upgrade(ctx) {
        return Err(DENIED);
    }
    let last = upgrade::last(&ctx.process().system).ok_or(CLOSED)?;
    let is_it = last.number().cast_signed() == number;
    let is_seen = is_it && last.is_within(within(ctx).as_deref());
    if is_seen { Ok(last) } else { Err(CLOSED) }
}

fn report(mut caller: Caller<'_, Ctx>, number: i32) -> i32 {
    let ctx = caller.data_mut();
    match find(ctx, number) {
        Ok(upgrade) => {
            ctx.set_buffer(written(&upgrade.report()));
            OK
        }
        Err(code) => code,
    }
}

async fn wait(mut caller: Caller<'_, Ctx>, number: i32, timeout_ns: u64) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let upgrade = match find(caller.data_mut(), number) {
        Ok(upgrade) => upgrade,
        Err(code) => return Ok(code),
    };
    instance::note_place(&mut caller);
    let timeout = (timeout_ns != NO_TIMEOUT).then(|| Duration::from_nanos(timeout_ns));
    let over = caller.data().within(timeout, async move { upgrade.over().await });
    let is_over = show(&caller, over).await.is_some();
    Ok(if is_over { OK } else { TIMED_OUT })
}

fn cancel(mut caller: Caller<'_, Ctx>, number: i32) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    Ok(match find(caller.data_mut(), number) {
        Ok(upgrade) => {
            upgrade.cancel();
            OK
        }
        Err(code) => code,
    })
}

/// A report in the format that guests read.
fn written(report: &UpgradeReport) -> String {
    let [p50, p99, max] = report.pauses.map(|pause| pause.as_nanos());
    let is_over = if report.phase.is_over() { "yes" } else { "no" };
    let mut text = format!(
        "from={}\nto={}\nphase={}\nover={is_over}\nchanged={}\nkept={}\nwaiting={}\nwithout-point={}\npause-p50-ns={p50}\n\
         pause-p99-ns={p99}\npause-max-ns={max}\ntime-ns={}\n",
        report.from,
        report.to,
        report.phase.name(),
        report.changed,
        report.kept,
        report.waiting,
        report.without_point,
        report.time.as_nanos(),
    );
    if let Some(why) = report.phase.why() {
        let _ = writeln!(text, "why={}", line(why));
    }
    for kind in &report.kinds {
        let _ = writeln!(text, "kind={}", kind_written(kind));
    }
    for (process, why) in &report.refusals {
        let _ = writeln!(text, "refusal={process}\t{}", line(why));
    }
    text
}

fn kind_written(kind: &UpgradeKind) -> String {
    let entry = line(&kind.entry);
    match (&kind.misfit, kind.is_tried) {
        (Some(why), _) => format!("{}\tmisfit\t{entry}\t{}", kind.processes, line(why)),
        (None, true) => format!("{}\ttried\t{entry}", kind.processes),
        (None, false) => format!("{}\tuntried\t{entry}", kind.processes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_lines() {
        let config = read("canary=none\nbatch=7").unwrap();
        assert_eq!((config.canary, config.batch), (crate::code::Canary::None, Some(7)));
        assert_eq!(read("").unwrap(), UpgradeConfig::default());
        assert_eq!(read("batch").unwrap_err(), "`batch` is not of the form NAME=VALUE");
        assert_eq!(read("x=1").unwrap_err(), "`x` is not a known setting");
    }
}
