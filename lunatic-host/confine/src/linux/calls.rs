//! seccomp: which system calls can be made.
//!
//! Whether a call is allowed depends on its number alone where speed matters: the kernel keeps the answer (since Linux 5.11), and
//! an allowed call costs nothing more.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::fs;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// What no host needs: other processes' memory, the machine itself, mounts and namespaces, the kernel's programs and keys, and
/// interfaces with many bugs in the past.
const DENIED: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// What a thread needs that computes, reads and writes what is open, and ends.
const COMPUTING: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getcpu,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Has the system calls fail that no host needs, with `EPERM`; false if the system cannot do so, or only at a price.
pub(crate) fn deny() -> bool {
    let mut rules: BTreeMap<_, _> = DENIED.iter().map(|call| (*call, Vec::new())).collect();
    let Some(to_others) = rule(0, SeccompCmpOp::Ne, u64::from(PIDFD_SELF_THREAD_GROUP.cast_unsigned())) else {
        return false;
    };
    // Advice about the memory of others. Frozen processes give their own pages back by this call, many at once.
    rules.insert(libc::SYS_process_madvise, to_others);
    is_free() && apply(rules, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32))
}

/// The calling process in place of a descriptor of one (since Linux 6.14).
const PIDFD_SELF_THREAD_GROUP: i32 = -10001;

/// Has every system call kill this process that a thread which computes does not need; false if the system cannot do so.
pub(crate) fn allow_computing() -> bool {
    let mut rules: BTreeMap<_, _> = COMPUTING.iter().map(|call| (*call, Vec::new())).collect();
    let Some(narrow) = narrow() else { return false };
    rules.extend(narrow);
    apply(rules, SeccompAction::KillProcess, SeccompAction::Allow)
}

/// The lower half of an argument compared with a value.
fn rule(arg: u8, op: SeccompCmpOp, value: u64) -> Option<Vec<SeccompRule>> {
    let condition = SeccompCondition::new(arg, SeccompCmpArgLen::Dword, op, value).ok()?;
    Some(vec![SeccompRule::new(vec![condition]).ok()?])
}

/// Calls that are allowed with some arguments only.
fn narrow() -> Option<[(i64, Vec<SeccompRule>); 4]> {
    let not_executable = || rule(2, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0);
    Some([
        (libc::SYS_mmap, not_executable()?),
        (libc::SYS_mprotect, not_executable()?),
        // Allocators name their memory.
        (libc::SYS_prctl, rule(0, SeccompCmpOp::Eq, libc::PR_SET_VMA as u64)?),
        // To abort itself.
        (
            libc::SYS_tgkill,
            rule(0, SeccompCmpOp::Eq, u64::from(std::process::id()))?,
        ),
    ])
}

fn apply(rules: BTreeMap<i64, Vec<SeccompRule>>, others: SeccompAction, these: SeccompAction) -> bool {
    let program = || -> Result<BpfProgram, seccompiler::Error> {
        Ok(SeccompFilter::new(rules, others, these, ARCH.try_into()?)?.try_into()?)
    };
    program().is_ok_and(|program| apply_filter(&program).is_ok())
}

/// Whether a filter costs nothing: before Linux 5.16, a thread with one also lost the processor's speculation past stores.
fn is_free() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.trim().parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(16))
}
