//! What ends a server: an order from whoever holds a handle, or an exit signal to the process that serves.

use std::time::Duration;

use lunatic::mailbox::{Mail, Select};
use lunatic::process::trap_exit;
use lunatic::{Channel, ExitReason, Mailbox, this_process};
use serde::{Deserialize, Serialize};

/// What a server is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Order {
    /// To end gracefully, in so much time.
    Drain(Duration),
    /// From the acceptor: it cannot go on.
    Failed(String),
}

/// Nobody sends this: what it receives are signals.
#[derive(Serialize, Deserialize)]
struct Nothing;

/// Waits for an order. An exit signal that asks the process to shut down is one; others end it, as they do without a server.
///
/// A process that traps exits has its own idea of them: then they are left to it.
pub(super) fn wait(orders: Channel<Order>) -> Order {
    if trap_exit(true) {
        return orders.receive();
    }
    let order = loop {
        match order_or_signal(orders) {
            Ok(order) => break order,
            Err(ExitReason::Normal) => {}
            // Whoever stops this process limits the time.
            Err(ExitReason::Shutdown) => break Order::Drain(Duration::MAX),
            Err(reason) => {
                trap_exit(false);
                this_process().exit(&reason);
            }
        }
    };
    trap_exit(false);
    order
}

fn order_or_signal(orders: Channel<Order>) -> Result<Order, ExitReason> {
    let signals = Mailbox::<Nothing>::new();
    let ready = Select::new().signals().channel(&orders);
    loop {
        match ready.wait() {
            0 => {
                if let Some(Mail::Exit { reason, .. }) = signals.receive_mail_timeout(Duration::ZERO) {
                    return Err(reason);
                }
            }
            _ => {
                if let Ok(order) = orders.try_receive() {
                    return Ok(order);
                }
            }
        }
    }
}
