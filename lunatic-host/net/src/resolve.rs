//! Host names, which the operating system looks up on a thread that may block.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use lunatic_kernel::permits::Permits;
use lunatic_kernel::shares::Group;

/// The most concurrent look-ups. A look-up that nobody waits for any more ends only after the operating system's
/// timeout. Without a limit, look-ups of killed processes would fill the pool of threads, which files need, too. One
/// system or budget gets at most half of them, as described in [`lunatic_kernel::shares`].
const LOOKUPS_MAX: usize = 64;
/// The longest name in bytes.
pub const NAME_LEN_MAX: usize = 253;
/// The most addresses of one name; further ones are left out.
const ADDRESSES_MAX: usize = 256;

pub struct Resolver {
    permits: Arc<Permits>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            permits: Permits::new(LOOKUPS_MAX),
        }
    }
}

impl Resolver {
    /// Looks up the addresses of a host, in the order in which to try them. `group` is the group of the asking process.
    pub async fn resolve(
        &self,
        threads: &tokio::runtime::Runtime,
        group: &Arc<Group>,
        name: &str,
        port: u16,
    ) -> io::Result<Vec<SocketAddr>> {
        let name = name.to_owned();
        let look_up = move || {
            let addresses = (&*name, port).to_socket_addrs()?;
            Ok(addresses.take(ADDRESSES_MAX).collect())
        };
        self.run(threads, group, look_up).await
    }

    /// Runs a look-up on one of the threads, when it is the group's turn.
    async fn run<T: Send + 'static>(
        &self,
        threads: &tokio::runtime::Runtime,
        group: &Arc<Group>,
        look_up: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let permit = self.permits.acquire(group).await;
        let running = threads.spawn_blocking(move || {
            // Held by the look-up and not by the process: if the process gives up, its look-up continues.
            let _permit = permit;
            look_up()
        });
        running.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use tokio::task::JoinSet;

    use super::*;

    #[test]
    fn a_flood_of_look_ups_that_hang_does_not_stop_those_of_others() {
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let resolver = Arc::new(Resolver::default());
        let (greedy, modest) = (Group::new(), Group::new());
        let (release, hangs) = mpsc::channel::<()>();
        let (hangs, (begun, begins)) = (Arc::new(Mutex::new(hangs)), mpsc::channel());
        let threads = Arc::new(threads);
        let mut flood = JoinSet::new();
        for _ in 0..1000 {
            let (resolver, pool, greedy) = (resolver.clone(), threads.clone(), greedy.clone());
            let (hangs, begun) = (hangs.clone(), begun.clone());
            let look_up = async move {
                let look_up = move || {
                    let _ = begun.send(());
                    // Until the sender is gone.
                    let _ = hangs.lock().unwrap().recv();
                    Ok(())
                };
                resolver.run(&pool, &greedy, look_up).await
            };
            flood.spawn_on(look_up, threads.handle());
        }
        // As many as may have begun, and each hangs.
        for _ in 0..LOOKUPS_MAX / 2 {
            begins.recv().unwrap();
        }
        let found = threads.block_on(resolver.run(&threads, &modest, || Ok(7)));
        assert_eq!(found.unwrap(), 7);
        assert!(begins.try_recv().is_err(), "no more of them have begun");
        // Those that give up free nothing as long as their look-ups hang.
        flood.abort_all();
        threads.block_on(async { while flood.join_next().await.is_some() {} });
        assert_eq!(resolver.permits.used(), LOOKUPS_MAX as u64 / 2);
        drop(release);
    }
}
