//! Names of hosts: the system looks them up, in a thread that may wait.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::sync::Semaphore;

/// So many names are looked up at once. A look-up that nobody waits for any more ends by itself, after the system's own
/// timeout; without a bound, those of killed processes would fill the pool of threads, which files need, too.
const LOOKUPS_MAX: usize = 64;
/// The longest name, in bytes.
pub const NAME_LEN_MAX: usize = 253;
/// More addresses of one name are left out.
const ADDRESSES_MAX: usize = 256;

pub struct Resolver {
    turns: Arc<Semaphore>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }
    }
}

impl Resolver {
    /// The addresses of a host, in the order in which they are to be tried.
    pub async fn resolve(
        &self,
        threads: &tokio::runtime::Runtime,
        name: &str,
        port: u16,
    ) -> io::Result<Vec<SocketAddr>> {
        let turn = self.turns.clone().acquire_owned().await.map_err(io::Error::other)?;
        let name = name.to_owned();
        let lookup = threads.spawn_blocking(move || {
            // Held by the look-up and not by the process: one that gives up leaves its look-up going.
            let _turn = turn;
            (&*name, port)
                .to_socket_addrs()
                .map(|all| all.take(ADDRESSES_MAX).collect())
        });
        lookup.await.map_err(io::Error::other)?
    }
}
