//! `wasi:sockets`, what all kinds of sockets share: rights, charges, and names of hosts.
//!
//! An address that a process has looked up may be used as its name may: a rule for `example.com` allows connections to the
//! addresses that the process got for that name.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use lunatic_kernel::WaitFor;
use lunatic_kernel::wait::ready;
use lunatic_net::handles::{Charge, Refusal};
use lunatic_net::resolve::NAME_LEN_MAX;
use wasmtime::component::{Linker, Resource};
use wasmtime::{Error, Result};
use wasmtime_wasi::p2::bindings::sockets::instance_network;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, IpAddress, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, Network};
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketError, SocketResult, subscribe};
use wasmtime_wasi::sockets::WasiSocketsView as _;

use super::aside;
use super::state::{View, view};
use crate::instance::Ctx;
use crate::rights::denial;
use crate::rights::net::{Verb, normal};

/// How many addresses are remembered with the names for which they were found.
const NAMES_MAX: usize = 32;

impl View<'_> {
    /// Whether the process may do this to an address, itself or by a name that it has looked up.
    fn is_allowed(&mut self, verb: Verb, address: SocketAddr) -> bool {
        let rights = self.process().local.rights.clone();
        let mut names = self.state().names.iter().filter(|(ip, _)| *ip == address.ip());
        rights.net.allows(verb, None, Some(address))
            || names.any(|(_, name)| rights.net.allows_normal(verb, Some(name), Some(address)))
    }

    /// Whether the process may connect to an address.
    pub(super) fn may_connect(&mut self, address: SocketAddr) -> bool {
        self.is_allowed(Verb::Connect, address)
    }

    /// Whether the process may do this to an address. Logs a denial.
    pub(super) fn may(&mut self, verb: Verb, address: SocketAddr) -> Result<(), ErrorCode> {
        if self.is_allowed(verb, address) {
            return Ok(());
        }
        let (what, prefix) = match verb {
            Verb::Connect => ("may not connect or send to", ""),
            Verb::Bind => ("may not listen or receive on", "bind:"),
            Verb::Resolve => ("may not look up", "resolve:"),
        };
        let flag = format!("--allow-net {prefix}{address}");
        denial::log(self.process(), what, &address.to_string(), &flag);
        Err(ErrorCode::AccessDenied)
    }

    /// Charges the process for one more socket, before it exists.
    pub(super) fn charge_socket(&mut self, bytes: usize) -> Result<Charge, ErrorCode> {
        let max = self.process().local.rights.files_max;
        let state = self.state();
        let count = state.sockets.len() + state.http.connections();
        let refusal = match count < max as usize {
            true => match Charge::of(self.process(), bytes) {
                Ok(charge) => return Ok(charge),
                Err(refusal) => refusal,
            },
            false => Refusal::Process(max),
        };
        denial::log(self.process(), "may not open a socket:", &refusal.to_string(), "");
        Err(ErrorCode::NewSocketLimit)
    }

    /// Charges the process for further bytes of a socket.
    pub(super) fn charge_more(&mut self, socket: u32, bytes: usize) -> Result<(), ErrorCode> {
        match self.state().sockets.get_mut(&socket) {
            Some(charge) => charge.grow(bytes).map_err(|_| ErrorCode::OutOfMemory),
            None => Ok(()),
        }
    }

    /// Takes such a charge back.
    pub(super) fn charge_less(&mut self, socket: u32, bytes: usize) {
        if let Some(charge) = self.state().sockets.get_mut(&socket) {
            charge.shrink(bytes);
        }
    }

    /// Looks up a name, and waits for the result.
    async fn look_up(
        &mut self,
        network: &Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        // The handle stands for the right to use the network at all.
        self.state().table().get(network)?;
        let found = match name.trim_matches(['[', ']']).parse() {
            Ok(ip) => vec![ip],
            Err(_) => self.addresses(name).await?,
        };
        let stream = self.giving(SocketError::trap, |state| {
            Ok::<_, SocketError>(state.table().push(Found(found.into_iter()))?)
        });
        // Guests know it by this type.
        stream.map(|stream| Resource::new_own(stream.rep()))
    }

    async fn addresses(&mut self, name: String) -> SocketResult<Vec<IpAddr>> {
        if name.is_empty() || name.len() > NAME_LEN_MAX || name.contains('\0') {
            return Err(ErrorCode::InvalidArgument.into());
        }
        if !self.process().local.rights.net.allows(Verb::Resolve, Some(&name), None) {
            let flag = format!("--allow-net resolve:{name}");
            denial::log(self.process(), "may not look up", &name, &flag);
            return Err(ErrorCode::AccessDenied.into());
        }
        let wait = aside::wait(self, WaitFor::Socket);
        let (host, group) = (&wait.kernel.host, &wait.process.local.rights.group);
        let found = ready(&wait, host.net.resolver.resolve(&host.io, group, &name, 0)).await;
        let found = found.map_err(|_| ErrorCode::NameUnresolvable)?;
        // Connections to further ones would be denied, and a handle does not pay for more.
        let found = found.iter().take(NAMES_MAX);
        let found: Vec<IpAddr> = found.map(|address| address.ip().to_canonical()).collect();
        let name: Arc<str> = normal(&name).into();
        let names = &mut self.state().names;
        for ip in &found {
            names.retain(|known| *known != (*ip, name.clone()));
            names.push((*ip, name.clone()));
        }
        let forgotten = names.len().saturating_sub(NAMES_MAX);
        names.drain(..forgotten);
        self.settle().map_err(SocketError::trap)?;
        Ok(found)
    }
}

/// The addresses of a name.
struct Found(std::vec::IntoIter<IpAddr>);

#[wasmtime_wasi::async_trait]
impl Pollable for Found {
    async fn ready(&mut self) {}
}

impl instance_network::Host for View<'_> {
    fn instance_network(&mut self) -> Result<Resource<Network>> {
        self.giving(|trap| trap, |state| state.context.sockets().instance_network())
    }
}

impl network::Host for View<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(&mut self, error: Resource<Error>) -> Result<Option<ErrorCode>> {
        self.state().context.sockets().network_error_code(error)
    }
}

impl network::HostNetwork for View<'_> {
    fn drop(&mut self, network: Resource<Network>) -> Result<()> {
        self.dropping(|state| network::HostNetwork::drop(&mut state.context.sockets(), network))
    }
}

impl ip_name_lookup::Host for View<'_> {
    /// [`add_lookups`] defines the function that is called.
    fn resolve_addresses(&mut self, _: Resource<Network>, _: String) -> SocketResult<Resource<ResolveAddressStream>> {
        Err(ErrorCode::NotSupported.into())
    }
}

impl ip_name_lookup::HostResolveAddressStream for View<'_> {
    fn resolve_next_address(&mut self, stream: Resource<ResolveAddressStream>) -> SocketResult<Option<IpAddress>> {
        let found = Resource::<Found>::new_borrow(stream.rep());
        let next = self.state().table().get_mut(&found)?.0.next();
        Ok(next.map(IpAddress::from))
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> Result<Resource<DynPollable>> {
        self.giving(
            |trap| trap,
            |state| subscribe(state.table(), Resource::<Found>::new_borrow(stream.rep())),
        )
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> Result<()> {
        self.dropping(|state| state.table().delete(Resource::<Found>::new_own(stream.rep())))?;
        Ok(())
    }
}

/// Replaces the look-up of names: the process waits until it is done, so that a look-up takes its turn, and is not one of
/// many that nobody waits for.
pub(super) fn add_lookups(linker: &mut Linker<Ctx>, interface: &str) -> Result<()> {
    linker.instance(interface)?.func_wrap_async(
        "resolve-addresses",
        |mut store, (network, name): (Resource<Network>, String)| {
            Box::new(async move {
                let mut view = view(store.data_mut());
                match view.look_up(&network, name).await {
                    Ok(stream) => Ok((Ok::<_, ErrorCode>(stream),)),
                    Err(error) => Ok((Err(error.downcast()?),)),
                }
            })
        },
    )
}
