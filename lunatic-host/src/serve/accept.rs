//! Admits connections until the door is closed, and then ends the system when it is drained.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use lunatic_kernel::budget::{Payer as _, Receipt, Resource};
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::stock::Portion;
use lunatic_net::cost;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::sleep;

use super::Server;
use super::connection::{self, CONNECTION_SIZE};
use crate::request::Phase;

/// How long no connection is accepted after the operating system has refused one: descriptors are short, or the client
/// has gone already. Neither lasts forever.
const PAUSE: Duration = Duration::from_millis(50);

/// What an admitted connection holds.
struct Admitted {
    _place: OwnedSemaphorePermit,
    _descriptor: Portion,
    _paid: Receipt,
}

pub(super) async fn accept(server: Arc<Server>, listener: TcpListener) {
    let mut phase = server.phase.clone();
    while let Some(Some((stream, place))) = until_closing(&mut phase, next(&server, &listener)).await {
        // Otherwise it is closed.
        if let Some(admitted) = admit(&server, place) {
            let server = server.clone();
            tokio::spawn(async move {
                connection::serve(server, stream).await;
                drop(admitted);
            });
        }
    }
    // From now on, clients are refused.
    drop(listener);
    let (connections, requests) = (&server.connections, &server.requests);
    let drained = connections.acquire_many(server.config.connections_max).await;
    drop((drained, requests.acquire_many(server.config.requests_max).await));
    server.system.end(ExitReason::Normal);
    server.kernel.sweep(&server.system);
}

/// Waits for a place and a client.
async fn next(server: &Server, listener: &TcpListener) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = server.connections.clone().acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Some((stream, place)),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Charges the system for a connection; `None` if it cannot have one.
fn admit(server: &Server, place: OwnedSemaphorePermit) -> Option<Admitted> {
    let keeper = server.kernel.find(server.system.main()?)?;
    let rights = &keeper.local.rights;
    let mut paid = Receipt::new(keeper.purse().to_account(), Resource::Network);
    paid.grow(cost::TCP_STREAM + CONNECTION_SIZE).ok()?;
    Some(Admitted {
        _place: place,
        _descriptor: Portion::take(&rights.descriptors, &rights.group, 1)?,
        _paid: paid,
    })
}

/// Waits for `future`; `None` if the door is closed before.
async fn until_closing<T>(phase: &mut watch::Receiver<Phase>, future: impl Future<Output = T>) -> Option<T> {
    let mut closing = pin!(phase.wait_for(|phase| *phase != Phase::Open));
    let mut future = pin!(future);
    poll_fn(|context| {
        if closing.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(context).map(Some)
    })
    .await
}
