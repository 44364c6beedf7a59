//! What the programs of Lunatic give up of their own rights.
//!
//! Wasmtime and the host keep guests from what they may not do. This crate is for the day when one of them has a bug: then the
//! operating system still refuses what the program never needs. A program calls [`host`] or [`helper`] once, before it starts
//! threads, as only the calling thread and those that it starts are confined. Nothing that was given up comes back.
//!
//! | module | what it has |
//! |---|---|
//! | `linux/files.rs` | Landlock: which files can be reached |
//! | `linux/calls.rs` | seccomp: which system calls can be made |
//! | `elsewhere.rs` | other systems, where nothing is given up |
//!
//! # What it may not know
//!
//! Processes, modules, flags, or any other crate of Lunatic.
//!
//! # Invariants
//!
//! - No error: what the system does not offer is left, and [`Confined`] says so. Callers decide whether they go on.
//! - No `unsafe`: the system calls are those of the crates `landlock` and `seccompiler`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg_attr(not(target_os = "linux"), path = "elsewhere.rs")]
mod linux;

use std::path::PathBuf;

/// The files that a program goes on to use. What is open already can be used in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    /// Files to read, and folders to read all files of. Those that do not exist are passed over.
    pub read: Vec<PathBuf>,
    /// Files and folders to read and write, with all that can be made, moved and removed in them but devices.
    pub write: Vec<PathBuf>,
    /// Folders in which files may be made and written, and not read, moved or removed.
    pub append: Vec<PathBuf>,
    /// Programs to run, and folders of the libraries that these load.
    pub execute: Vec<PathBuf>,
}

/// What has been given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Confined {
    /// Programs that are run get no rights that this one has not, such as those of a set-user-ID program (`no_new_privs`).
    pub no_new_privileges: bool,
    /// Files beside [`Paths`] cannot be reached (Landlock).
    pub files: Extent,
    /// The version of Landlock that the system has, 6 or newer for all of it.
    pub landlock: Option<i32>,
    /// System calls that are not needed fail (seccomp).
    pub calls: bool,
}

impl Confined {
    /// Whether all has been given up that can be.
    pub fn is_complete(&self) -> bool {
        self.no_new_privileges && self.files == Extent::Full && self.calls
    }

    /// Whoever filters system calls has given up privileges before.
    fn with_privileges(self) -> Self {
        Self {
            no_new_privileges: self.no_new_privileges || self.calls,
            ..self
        }
    }
}

/// How much of something the system enforces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extent {
    /// Nothing.
    #[default]
    None,
    /// What this version of the system can enforce, such as all but the truncation of files.
    Part,
    /// All.
    Full,
}

/// Confines a host: it reaches only the files in `paths`, and cannot make system calls that no host needs.
pub fn host(paths: &Paths) -> Confined {
    // First, as it looks at the version of the system, which may be out of reach afterwards.
    let calls = linux::calls::deny();
    Confined {
        calls,
        ..linux::files::confine(paths)
    }
    .with_privileges()
}

/// Takes from a host the system calls that no host needs, and leaves it all files.
pub fn host_calls() -> Confined {
    let calls = linux::calls::deny();
    Confined {
        no_new_privileges: calls,
        calls,
        ..Confined::default()
    }
}

/// Confines a program that computes in one thread, and reads and writes what is open already. It reaches no file and no socket;
/// a system call for anything but memory, time, and what is open kills it with `SIGSYS`. It gets no executable memory.
pub fn helper() -> Confined {
    let files = linux::files::confine_to_nothing();
    Confined {
        calls: linux::calls::allow_computing(),
        ..files
    }
    .with_privileges()
}
