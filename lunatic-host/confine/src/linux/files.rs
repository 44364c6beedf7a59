//! Landlock: which files are accessible.
//!
//! A rule refers to the file or folder that exists when the rule is made: a file that replaces it later is
//! inaccessible. Therefore files that other programs replace (`/etc/resolv.conf`) are listed by their folder.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, RestrictionStatus,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use crate::{Confined, Extent, Paths};

/// The newest version that is fully used here: that of Linux 6.12.
const NEWEST: ABI = ABI::V6;

/// Leaves the calling thread only the files in `paths`, and signals to its own threads and children.
pub(crate) fn confine(paths: &Paths) -> Confined {
    enforced(try_confine(paths))
}

/// Leaves the calling thread no files, no TCP, no abstract sockets, and only signals to itself.
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

/// Rules about these rights, as far as the operating system supports them.
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
