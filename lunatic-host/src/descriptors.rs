//! The descriptors of this process of the system, of which the host needs some itself.
//!
//! Each file, folder and socket of a guest is one. A host that has none left cannot look up a name, open its cache or start a
//! helper, so some are kept for the host, and the rest is [divided](lunatic_kernel::stock) among groups of processes.

use std::sync::Arc;

use lunatic_kernel::stock::Stock;

/// So many are kept for the host, if that is not more than a quarter of all: a few for each of the 512 threads at most that work
/// on files, for each of 64 look-ups of names at once, and for helpers that compile.
const KEPT_MAX: u64 = 1024;
/// So many are taken to be there if the system does not limit them.
const UNLIMITED: u64 = 1 << 30;

/// Lets this process of the system have as many descriptors as it may, and says how many of them processes may have together:
/// `wanted`, or all that the host does not keep for itself, whichever is less.
///
/// Shells often give 1,024 only, for the sake of programs that use `select`. Who builds several runtimes says how many each has.
pub(crate) fn stock(wanted: Option<u32>) -> Arc<Stock> {
    let all = raise_limit();
    make_room(all);
    let most = all - KEPT_MAX.min(all / 4);
    Stock::new(wanted.map_or(most, |wanted| most.min(wanted.into())))
}

/// Raises the limit as far as it goes. Returns it.
fn raise_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // If it is refused, guests may have fewer, and no more.
    let raised = setrlimit(Resource::Nofile, most).is_ok();
    let now = if raised { limit.maximum } else { limit.current };
    now.unwrap_or(UNLIMITED).min(UNLIMITED)
}

/// So many descriptors have their place in the kernel's table from the start: half a MiB.
const ROOM: u64 = 1 << 16;

/// Has the kernel make its table of descriptors as large as most guests need it, before there are threads. Each time it doubles
/// with threads, whoever needed the room waits for all cores to have looked away, some 10 ms, and so does who opens meanwhile.
fn make_room(all: u64) {
    let last = all.min(ROOM).saturating_sub(1);
    // Without it, guests with many sockets make others late, and no more.
    if let (Ok(last), Ok(file)) = (i32::try_from(last), std::fs::File::open("/dev/null")) {
        drop(rustix::io::fcntl_dupfd_cloexec(&file, last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_kept_for_the_host() {
        let all = raise_limit();
        assert_eq!(stock(None).max(), all - KEPT_MAX.min(all / 4));
        assert_eq!(stock(Some(10)).max(), 10);
        assert_eq!(stock(Some(u32::MAX)).max(), stock(None).max());
    }
}
