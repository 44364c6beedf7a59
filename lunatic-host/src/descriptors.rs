//! The descriptors of the host's process, some of which the host needs itself.
//!
//! Each file, folder and socket of a guest needs one. Without a free descriptor, the host cannot look up a name, open
//! its cache or start a helper. Therefore some are reserved for the host, and the rest is
//! [divided](lunatic_kernel::stock) among groups of processes.

use std::sync::Arc;

use lunatic_kernel::stock::Stock;

/// Reserved for the host, if that is not more than a quarter of all: a few for each of up to 512 threads that work on
/// files, for each of 64 concurrent look-ups of names, and for helpers that compile.
const KEPT_MAX: u64 = 1024;
/// The assumed number if the operating system sets no limit.
const UNLIMITED: u64 = 1 << 30;

/// Raises the limit of this process to the hard limit, and returns how many descriptors processes may have together:
/// `wanted`, or all that are not reserved for the host, whichever is less.
///
/// Shells often allow only 1,024, for the sake of programs that use `select`. An embedder that builds several runtimes
/// sets the number for each.
pub(crate) fn stock(wanted: Option<u32>) -> Arc<Stock> {
    let all = raise_limit();
    make_room(all);
    let most = all - KEPT_MAX.min(all / 4);
    Stock::new(wanted.map_or(most, |wanted| most.min(wanted.into())))
}

/// Raises the limit to the hard limit and returns it.
fn raise_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // If this is refused, guests merely have fewer.
    let raised = setrlimit(Resource::Nofile, most).is_ok();
    let now = if raised { limit.maximum } else { limit.current };
    now.unwrap_or(UNLIMITED).min(UNLIMITED)
}

/// The kernel's table of descriptors has room for this many from the start: half a MiB.
const ROOM: u64 = 1 << 16;

/// Makes the kernel enlarge its table of descriptors to the size that most guests need, before there are threads. Once
/// there are threads, whoever causes it to double waits some 10 ms until all cores have noticed, and so does everyone
/// who opens something meanwhile.
fn make_room(all: u64) {
    let last = all.min(ROOM).saturating_sub(1);
    // If this fails, guests with many sockets merely delay others.
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
