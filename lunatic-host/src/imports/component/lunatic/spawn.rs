//! `lunatic:process/process`, the part about spawns.

use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_kernel::registry::NameRefusal;
use lunatic_sys::codes::{BAD_CONFIG, CAPTURE_LEN_MAX, CONFIG_LEN_MAX, DENIED, spawn};
use lunatic_sys::layout::SpawnOptions;
use wasmtime::Result;
use wasmtime::component::{ComponentType, Lift, Lower, Resource, flags};

use super::View;
use super::handle::{Handle, Refusal};
use crate::imports::component::aside;
use crate::imports::configuration::{self, Outcome};
use crate::imports::registry::{check_name, may_name, too_many};
use crate::imports::spawn::{SpawnRefusal, may_spawn, spawn_child};
use crate::rights::Rights;
use crate::wasm::{Entry, Named};

flags! {
    Flags {
        #[component(name = "link")]
        const LINK;
        #[component(name = "trap-exits")]
        const TRAP_EXITS;
        #[component(name = "new-names")]
        const NEW_NAMES;
    }
}

/// What a child gets.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Options {
    flags: Flags,
    monitor: Option<u64>,
    name: Option<String>,
    #[component(name = "memory-max")]
    memory_max: Option<u64>,
    #[component(name = "mailbox-max")]
    mailbox_max: Option<u64>,
    config: Vec<String>,
}

impl Options {
    /// The same options as core modules pass them, without the name and with only the length of the configuration.
    fn to_raw(&self) -> SpawnOptions {
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        SpawnOptions {
            flags: flag(self.flags.contains(Flags::LINK), spawn::LINK)
                | flag(self.flags.contains(Flags::TRAP_EXITS), spawn::TRAP_EXIT)
                | flag(self.flags.contains(Flags::NEW_NAMES), spawn::NEW_SCOPE)
                | flag(self.monitor.is_some(), spawn::MONITOR),
            // 0 would stand for no limit of its own.
            max_memory: self.memory_max.map_or(0, |max| max.max(1)),
            mailbox_max: self.mailbox_max.map_or(0, |max| max.max(1)),
            monitor_tag: self.monitor.unwrap_or(0),
            config_len: self.config.len() as u32,
            ..SpawnOptions::default()
        }
    }

    /// The configuration as core modules pass it, or the code and text of the refusal.
    fn config_bytes(&self) -> Result<Vec<u8>, (i32, String)> {
        let entries = self.config.iter();
        // Before it is copied: it may be as long as all arguments of a call.
        if entries.clone().map(|entry| entry.len() + 1).sum::<usize>() > CONFIG_LEN_MAX {
            return Err(configuration::too_long());
        }
        // What follows a zero byte would be another entry.
        if let Some(entry) = entries.clone().find(|entry| entry.contains('\0')) {
            return Err((BAD_CONFIG, format!("`{}` contains a zero byte", entry.escape_debug())));
        }
        Ok(entries.flat_map(|entry| entry.bytes().chain([0])).collect())
    }
}

/// A child.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Spawned {
    process: Resource<Handle>,
    reference: Option<u64>,
}

/// The name, the argument and the options of a child.
pub(super) type Child = (String, Vec<u8>, Options);

pub(super) async fn spawn(view: &mut View<'_>, (name, argument, options): Child) -> Result<Result<Spawned, Refusal>> {
    check_name(name.as_bytes())?;
    if let Some(name) = &options.name {
        check_name(name.as_bytes())?;
    }
    if argument.len() > CAPTURE_LEN_MAX {
        let text = format!("the argument of a process has at most {CAPTURE_LEN_MAX} bytes");
        return Ok(Err(Refusal::Limit(text)));
    }
    let own_name = options.name.as_deref().map(str::as_bytes);
    if !may_spawn(view.0) || own_name.is_some_and(|name| !may_name(view.0, name)) {
        return Ok(Err(view.refused(DENIED)));
    }
    let base = match asked_rights(view, &options).await? {
        Ok(rights) => rights,
        Err((code, text)) => {
            view.0.set_buffer(text);
            return Ok(Err(view.refused(code)));
        }
    };
    // The handle is counted now, so that no child exists without one.
    view.gives()?;
    view.dropped();
    let name = name.into();
    let spawned = spawn_named(view, base, Named { name, argument }, &options);
    Ok(match spawned {
        Ok((id, reference)) => Ok(Spawned {
            process: view.handle(id)?,
            reference: options.monitor.map(|_| reference),
        }),
        Err(refusal) => Err(refusal),
    })
}

/// The rights of the child before its limits are applied.
async fn asked_rights(view: &mut View<'_>, options: &Options) -> Result<Outcome> {
    if options.config.is_empty() {
        return Ok(Ok(view.process().local.rights.clone()));
    }
    let config = match options.config_bytes() {
        Ok(config) => config,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let narrowing = match configuration::begin(view.0, config) {
        Ok(narrowing) => narrowing,
        Err(known) => return Ok(known),
    };
    let narrowed = if narrowing.opens_folders() {
        let _waits = match narrowing.pay_while_waiting() {
            Ok(paid) => paid,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let work = narrowing.work();
        aside::run(view, |_| work()).await?
    } else {
        narrowing.work()()
    };
    Ok(narrowing.finish(view.0, narrowed))
}

fn spawn_named(view: &mut View<'_>, base: Arc<Rights>, named: Named, options: &Options) -> Result<(Id, u64), Refusal> {
    let ctx = &mut *view.0;
    let code = (ctx.module.clone(), Entry::Named(Box::new(named)));
    let own_name = options.name.as_deref().map(str::as_bytes);
    spawn_child(ctx, base, code, own_name, &options.to_raw()).map_err(|refusal| match refusal {
        SpawnRefusal::Limit(limit) => Refusal::Limit(limit.to_string()),
        SpawnRefusal::Output(why) => Refusal::Limit(why),
        SpawnRefusal::Name(NameRefusal::Taken(_)) => Refusal::NameTaken,
        SpawnRefusal::Name(NameRefusal::Ended) => Refusal::Closed,
        SpawnRefusal::Name(NameRefusal::TooMany) => {
            let code = too_many(view.0);
            view.refused(code)
        }
    })
}
