//! Linux: Landlock for files, seccomp for system calls.

pub(crate) mod calls;
pub(crate) mod files;
