//! Landlock: which files can be reached.
//!
//! A rule names a file or folder as it is when the rule is made: a file that another one replaces later is out of reach, so
//! what others replace (`/etc/resolv.conf`) is named by its folder.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, RestrictionStatus,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use crate::{Confined, Extent, Paths};

/// The newest version of which all is used here: of Linux 6.12.
const NEWEST: ABI = ABI::V6;

/// Leaves the calling thread the files in `paths`, and signals to its own threads and children.
pub(crate) fn confine(paths: &Paths) -> Confined {
    enforced(try_confine(paths))
}

/// Leaves the calling thread no file, no TCP, no abstract socket, and signals to itself.
pub(crate) fn confine_to_nothing() -> Confined {
    enforced(try_confine_to_nothing())
}

fn try_confine(paths: &Paths) -> Result<RestrictionStatus, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::from_all(NEWEST) & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock);
    let append = AccessFs::WriteFile | AccessFs::MakeReg;
    rules(AccessFs::from_all(NEWEST))?
        .scope(Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(&paths.read, read))?
        .add_rules(path_beneath_rules(&paths.write, write))?
        .add_rules(path_beneath_rules(&paths.append, append))?
        .add_rules(path_beneath_rules(&paths.execute, read | AccessFs::Execute))?
        .restrict_self()
}

fn try_confine_to_nothing() -> Result<RestrictionStatus, RulesetError> {
    rules(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?
        .restrict_self()
}

/// Rules about these rights, as many of them as the system knows.
fn rules(rights: BitFlags<AccessFs>) -> Result<Ruleset, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(rights)
}

fn enforced(result: Result<RestrictionStatus, RulesetError>) -> Confined {
    let Ok(status) = result else {
        return Confined::default();
    };
    let files = match status.ruleset {
        RulesetStatus::FullyEnforced => Extent::Full,
        RulesetStatus::PartiallyEnforced => Extent::Part,
        RulesetStatus::NotEnforced => Extent::None,
    };
    let landlock = match status.landlock {
        LandlockStatus::Available {
            effective_abi,
            kernel_abi,
        } => Some(kernel_abi.unwrap_or(effective_abi as i32)),
        _ => None,
    };
    Confined {
        no_new_privileges: status.no_new_privs,
        files,
        landlock,
        calls: false,
    }
}
