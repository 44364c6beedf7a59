//! seccomp: which system calls are available.
//!
//! Where speed matters, the number of a call alone decides whether it is allowed: the kernel caches the decision (since
//! Linux 5.11), and an allowed call has no additional cost.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::fs;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// System calls that no host needs: for other processes' memory, the machine itself, mounts and namespaces, kernel
/// programs and keys, and interfaces with many bugs in the past.
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

/// The system calls of a thread that computes, reads and writes what is open, and exits.
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

/// Makes system calls that no host needs fail with `EPERM`; false if the operating system cannot do this, or only at a
/// cost.
pub(crate) fn deny() -> bool {
    let mut rules: BTreeMap<_, _> = DENIED.iter().map(|call| (*call, Vec::new())).collect();
    let Some(to_others) = rule(0, SeccompCmpOp::Ne, u64::from(PIDFD_SELF_THREAD_GROUP.cast_unsigned())) else {
        return false;
    };
    // Advice about the memory of others. Frozen processes give back their own pages with this call, many at a time.
    rules.insert(libc::SYS_process_madvise, to_others);
    is_free() && apply(rules, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32))
}

/// Stands for the calling process, in place of a descriptor (since Linux 6.14).
const PIDFD_SELF_THREAD_GROUP: i32 = -10001;

/// Makes every system call that a computing thread does not need kill this process; false if the operating system
/// cannot do this.
pub(crate) fn allow_computing() -> bool {
    let mut rules: BTreeMap<_, _> = COMPUTING.iter().map(|call| (*call, Vec::new())).collect();
    let Some(narrow) = narrow() else { return false };
    rules.extend(narrow);
    apply(rules, SeccompAction::KillProcess, SeccompAction::Allow)
}

/// Compares the lower half of an argument with a value.
fn rule(arg: u8, op: SeccompCmpOp, value: u64) -> Option<Vec<SeccompRule>> {
    let condition = SeccompCondition::new(arg, SeccompCmpArgLen::Dword, op, value).ok()?;
    Some(vec![SeccompRule::new(vec![condition]).ok()?])
}

/// Calls that are allowed only with some arguments.
fn narrow() -> Option<[(i64, Vec<SeccompRule>); 4]> {
    let not_executable = || rule(2, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0);
    Some([
        (libc::SYS_mmap, not_executable()?),
        (libc::SYS_mprotect, not_executable()?),
        // Allocators name their memory.
        (libc::SYS_prctl, rule(0, SeccompCmpOp::Eq, libc::PR_SET_VMA as u64)?),
        // For aborting itself.
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

/// Whether a filter has no cost: before Linux 5.16, the processor's speculative store bypass was also disabled for a
/// filtered thread.
fn is_free() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.trim().parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(16))
}
