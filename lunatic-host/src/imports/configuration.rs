//! The rights of a child for which its parent passes a configuration: determined in steps, because opening folders may
//! block, and each kind of guest waits in its own way.

use std::sync::Arc;

use lunatic_kernel::budget::{Budget, Payer, Receipt, Resource};
use lunatic_kernel::shares::Group;
use lunatic_sys::codes::{BAD_CONFIG, CAPTURE_LEN_MAX, CONFIG_LEN_MAX, DENIED, LIMIT};

use crate::instance::Ctx;
use crate::rights::config::{Config, ConfigError};
use crate::rights::{self, Denied, May, Rights, denial};
use crate::spawning::{child_rights, pay_for_rights};
use crate::wasm::{Kernel, Process};

/// The last configuration, kept so that the next spawn with the same one neither parses it nor opens a folder.
#[derive(Default)]
struct LastConfig(Option<UsedConfig>);

/// The charge per byte of a configuration that is kept: an entry of some bytes may become a string or two.
const CONFIG_COST: usize = 16;

struct UsedConfig {
    bytes: Vec<u8>,
    config: Config,
    rights: Arc<Rights>,
}

/// The rights of a child, or the code and text of the refusal.
pub(super) type Outcome = Result<Arc<Rights>, (i32, String)>;

/// A configuration that was read, and whose rights must be determined.
pub(super) struct Narrowing {
    kernel: Arc<Kernel>,
    parent: Arc<Process>,
    bytes: Vec<u8>,
    config: Config,
}

/// Reads a configuration of the process.
///
/// # Errors
///
/// The outcome, if it is known already: a refusal, or rights that were determined before.
pub(super) fn begin(ctx: &mut Ctx, bytes: Vec<u8>) -> Result<Narrowing, Outcome> {
    if bytes.len() > CONFIG_LEN_MAX {
        return Err(Err(too_long()));
    }
    let (kernel, parent) = (ctx.kernel.clone(), ctx.process().clone());
    if !parent.local.rights.may.contains(May::CONFIGURE) {
        denial::log(&parent, "may not configure a child", "", "");
        let text = "the process may not configure a child: the configuration that it was spawned with has no `allow=configure`";
        return Err(Err((DENIED, text.into())));
    }
    // The last configuration is compared as bytes: a supervisor or server spawns repeatedly with the same one.
    let LastConfig(last) = ctx.state(LastConfig::default);
    if let Some(used) = last.as_ref().filter(|used| used.bytes == bytes) {
        return Err(used.again(&parent, &kernel));
    }
    match parse(&kernel, &bytes) {
        Ok(config) => Ok(Narrowing {
            kernel,
            parent,
            bytes,
            config,
        }),
        Err(error) => Err(Err((BAD_CONFIG, error.to_string()))),
    }
}

/// The refusal of a configuration that is too long.
pub(super) fn too_long() -> (i32, String) {
    (
        BAD_CONFIG,
        format!("a configuration has at most {CONFIG_LEN_MAX} bytes"),
    )
}

impl Narrowing {
    /// Whether [`work`](Self::work) may block.
    pub(super) fn opens_folders(&self) -> bool {
        let dirs = self.config.dirs.as_ref().is_some_and(|dirs| !dirs.is_empty());
        dirs && self.parent.local.rights.wasi.has_folders()
    }

    /// Charges the process for what is held while others have the permits.
    ///
    /// # Errors
    ///
    /// The code and text of the refusal.
    pub(super) fn pay_while_waiting(&self) -> Result<Receipt, (i32, String)> {
        let mut waits = Receipt::new(self.parent.purse().to_account(), Resource::Bodies);
        waits
            .grow(self.bytes.len() * CONFIG_COST + CAPTURE_LEN_MAX)
            .map_err(|exhausted| (LIMIT, exhausted.to_string()))?;
        Ok(waits)
    }

    /// Determines the rights.
    pub(super) fn work(&self) -> impl FnOnce() -> Result<Rights, Denied> + Send + 'static {
        let (kernel, parent, config) = (self.kernel.clone(), self.parent.clone(), self.config.clone());
        move || child_rights(&kernel, &parent, &config)
    }

    /// Charges the process for the rights, and keeps them for the next spawn.
    pub(super) fn finish(self, ctx: &mut Ctx, narrowed: Result<Rights, Denied>) -> Outcome {
        let Self {
            parent, bytes, config, ..
        } = self;
        let mut rights = narrowed.map_err(|denied| {
            denial::log(&parent, &format!("may not configure a child so: {denied}"), "", "");
            (DENIED, denied.to_string())
        })?;
        // It is kept twice for the next spawn: as written, and as parsed, with a word or two per entry.
        let kept = bytes.len() * CONFIG_COST;
        pay_for_rights(&mut rights, &parent, kept).map_err(|exhausted| (LIMIT, exhausted.to_string()))?;
        let rights = Arc::new(rights);
        // The outputs of different children must not be mixed.
        if !config.captures() {
            let used = UsedConfig {
                bytes,
                config,
                rights: rights.clone(),
            };
            *ctx.state(LastConfig::default) = LastConfig(Some(used));
        }
        Ok(rights)
    }
}

fn parse(kernel: &Kernel, bytes: &[u8]) -> Result<Config, ConfigError> {
    let config = Config::from_bytes(bytes)?;
    config.check_extensions(&kernel.host.extensions.names())?;
    Ok(config)
}

impl UsedConfig {
    /// The rights of another child with this configuration. They can be shared; but each child has a budget of its own,
    /// and shares it with no sibling.
    fn again(&self, parent: &Process, kernel: &Kernel) -> Outcome {
        let Some(limits) = self.config.budget else {
            return Ok(self.rights.clone());
        };
        let mut rights = Rights::clone(&self.rights);
        let budget = Budget::new(parent.local.rights.budget.clone(), rights::caps(limits), kernel.now());
        rights.budget = Some(budget.map_err(|error| (DENIED, error.to_string()))?);
        rights.group = Group::within(&parent.local.rights.group);
        Ok(Arc::new(rights))
    }
}
