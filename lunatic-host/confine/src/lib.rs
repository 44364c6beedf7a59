//! Rights that Lunatic's programs give up.
//!
//! Wasmtime and the host prevent guests from doing what they may not. This crate is for the case of a bug in one of
//! them: then the operating system still refuses what the program never needs. A program calls [`host`] or [`helper`]
//! once, before it starts threads, because only the calling thread and those that it starts are confined. Nothing that
//! was given up can be regained.
//!
//! | module | contents |
//! |---|---|
//! | `linux/files.rs` | Landlock: which files are accessible |
//! | `linux/calls.rs` | seccomp: which system calls are available |
//! | `elsewhere.rs` | other systems, where nothing is given up |
//!
//! # What it may not know
//!
//! Processes, modules, flags, or any other crate of Lunatic.
//!
//! # Invariants
//!
//! - No errors: what the operating system does not offer is left out, and [`Confined`] says so. Callers decide whether
//!   to continue.
//! - No `unsafe`: the crates `landlock` and `seccompiler` make the system calls.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg_attr(not(target_os = "linux"), path = "elsewhere.rs")]
mod linux;

use std::path::PathBuf;

/// The files that a program will use. Files that are already open stay usable in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    /// Files to read, and folders in which to read all files. Those that do not exist are ignored.
    pub read: Vec<PathBuf>,
    /// Files and folders to read and write, including creating, moving and removing everything in them except devices.
    pub write: Vec<PathBuf>,
    /// Folders in which to create and write files, but not to read, move or remove them.
    pub append: Vec<PathBuf>,
    /// Programs to run, and folders of the libraries that they load.
    pub execute: Vec<PathBuf>,
}

/// What has been given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Confined {
    /// Whether programs that are run get no rights that this one does not have, such as those of a set-user-ID program
    /// (`no_new_privs`).
    pub no_new_privileges: bool,
    /// How far files other than [`Paths`] are inaccessible (Landlock).
    pub files: Extent,
    /// The version of Landlock in the operating system; 6 or newer supports everything.
    pub landlock: Option<i32>,
    /// Whether system calls that are not needed fail (seccomp).
    pub calls: bool,
}

impl Confined {
    /// Returns whether everything has been given up that can be.
    pub fn is_complete(&self) -> bool {
        self.no_new_privileges && self.files == Extent::Full && self.calls
    }

    /// A system-call filter requires that privileges were given up before.
    fn with_privileges(self) -> Self {
        Self {
            no_new_privileges: self.no_new_privileges || self.calls,
            ..self
        }
    }
}

/// How far the operating system enforces something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extent {
    /// Nothing.
    #[default]
    None,
    /// What this version of the operating system can enforce, such as everything except the truncation of files.
    Part,
    /// Completely.
    Full,
}

/// Confines a host: it can access only the files in `paths`, and cannot make system calls that no host needs.
pub fn host(paths: &Paths) -> Confined {
    // This comes first, because it checks the version of the operating system, which may be inaccessible afterwards.
    let calls = linux::calls::deny();
    Confined {
        calls,
        ..linux::files::confine(paths)
    }
    .with_privileges()
}

/// Takes from a host the system calls that no host needs, and leaves all files accessible.
pub fn host_calls() -> Confined {
    let calls = linux::calls::deny();
    Confined {
        no_new_privileges: calls,
        calls,
        ..Confined::default()
    }
}

/// Confines a program that computes in one thread, and reads and writes only what is already open. It cannot access
/// files or sockets; any system call other than for memory, time, and what is open kills it with `SIGSYS`. It gets no
/// executable memory.
pub fn helper() -> Confined {
    let files = linux::files::confine_to_nothing();
    Confined {
        calls: linux::calls::allow_computing(),
        ..files
    }
    .with_privileges()
}
