//! The extension: the functions that guests can import from `shop`.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use lunatic_host::extension::Asked;
use lunatic_host::wasmtime::{Caller, Linker, Result};
use lunatic_host::{Ctx, Extension, Inherited, Process, guest_memory};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// The tag of the news that native threads send.
const NEWS: u64 = 7;

/// The state of the runtime: this value itself.
pub struct Shop {
    ledger: Arc<Mutex<Ledger>>,
    says: UnboundedSender<String>,
}

/// Counts for all processes.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The number of orders that were placed.
    pub orders: u32,
    /// The number of processes that have exited.
    pub left: u32,
}

/// The state of each process: its open orders.
struct Orders {
    open: Vec<oneshot::Receiver<i32>>,
    says: UnboundedSender<String>,
}

/// Whatever the reason of the exit, this runs before any process is notified of it.
impl Drop for Orders {
    fn drop(&mut self) {
        let _ = self.says.send(format!("a clerk left with {} orders", self.open.len()));
    }
}

/// The right `shop:orders=NUMBER`: how many orders a process may place.
pub struct OrdersMax(usize);

impl OrdersMax {
    /// A right to place `max` orders.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self(max))
    }

    fn of(inherited: &Inherited) -> usize {
        inherited.get::<Self>().map_or(0, |max| max.0)
    }
}

impl Shop {
    /// Makes an extension whose guests send text to `says`.
    pub fn new(says: UnboundedSender<String>) -> Self {
        Self {
            ledger: Arc::default(),
            says,
        }
    }

    /// The counts.
    pub fn ledger(&self) -> Arc<Mutex<Ledger>> {
        self.ledger.clone()
    }
}

impl Extension for Shop {
    fn name(&self) -> &str {
        "shop"
    }

    fn link(&self, linker: &mut Linker<Ctx>) -> Result<()> {
        // A function that computes.
        linker.func_wrap("shop", "price", |pieces: u32| pieces.saturating_mul(3))?;
        // A function that waits.
        linker.func_wrap_async("shop", "wait_for_delivery", |caller, (order, timeout_ms)| {
            Box::new(wait_for_delivery(caller, order, timeout_ms))
        })?;
        // A function that blocks a thread.
        linker.func_wrap_async("shop", "stocktaking", |caller: Caller<'_, Ctx>, ()| {
            Box::new(async move {
                let count = || {
                    std::thread::sleep(Duration::from_millis(10));
                    1000
                };
                // `None` would mean that the work has panicked.
                caller.data().spawn_blocking(count).await.unwrap_or(0)
            })
        })?;
        // A function that keeps state for the process and for the runtime.
        let (ledger, says) = (self.ledger.clone(), self.says.clone());
        linker.func_wrap("shop", "order", move |caller: Caller<'_, Ctx>, pieces: u32| {
            order(caller, &ledger, &says, pieces)
        })?;
        linker.func_wrap("shop", "expect_news", expect_news)?;
        self.link_speech(linker)
    }

    fn narrow(&self, parent: &Inherited, asked: &Asked<'_>, child: &mut Inherited) -> Result<(), String> {
        let own = OrdersMax::of(parent);
        let mut max = if asked.inherits() { own } else { 0 };
        for (key, value) in asked.entries() {
            if *key != "orders" {
                return Err(format!("`shop` has no right `{key}`: it has `orders`"));
            }
            let wanted: usize = value
                .parse()
                .map_err(|_| format!("`shop:orders={value}` needs a whole number"))?;
            max = wanted.min(own);
        }
        child.set(OrdersMax::new(max));
        Ok(())
    }

    fn ended(&self, _: &Process) {
        lock(&self.ledger).left += 1;
    }
}

impl Shop {
    /// The functions that send text from guests to this program.
    fn link_speech(&self, linker: &mut Linker<Ctx>) -> Result<()> {
        let says = self.says.clone();
        linker.func_wrap(
            "shop",
            "say",
            move |mut caller: Caller<'_, Ctx>, text: u32, len: u32| {
                // Pointers and texts of a guest are not trusted: an invalid one terminates the process.
                let text = guest_memory::read_string(&mut caller, text, len)?;
                let _ = says.send(text);
                Ok(())
            },
        )?;
        let says = self.says.clone();
        linker.func_wrap("shop", "say_number", move |number: i32| {
            let _ = says.send(number.to_string());
        })?;
        Ok(())
    }
}

/// Places an order, and returns its number; -1 if the process may not place another.
fn order(mut caller: Caller<'_, Ctx>, ledger: &Mutex<Ledger>, says: &UnboundedSender<String>, pieces: u32) -> i32 {
    let ctx = caller.data_mut();
    let max = OrdersMax::of(ctx.inherited());
    let make = || Orders {
        open: Vec::new(),
        says: says.clone(),
    };
    let Orders { open, .. } = ctx.state(make);
    if open.len() >= max {
        return -1;
    }
    let (delivers, delivery) = oneshot::channel();
    open.push(delivery);
    let number = open.len() as i32 - 1;
    // The order is delivered by another part of this program: a native thread.
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(5));
        let _ = delivers.send(pieces as i32);
    });
    lock(ledger).orders += 1;
    number
}

/// Waits for an order. Returns the number of pieces; -1 if the timeout passed, -2 if there is no such order.
async fn wait_for_delivery(mut caller: Caller<'_, Ctx>, order: i32, timeout_ms: u32) -> i32 {
    let delivery = usize::try_from(order).ok().and_then(|order| {
        let orders = caller.data().find_state::<Orders>()?;
        (order < orders.open.len()).then_some(order)
    });
    let Some(order) = delivery else { return -2 };
    // The place stays taken, by a delivery that never comes.
    let gone = oneshot::channel().1;
    let orders = caller
        .data_mut()
        .state::<Orders>(|| unreachable!("it was found just now"));
    let delivery = std::mem::replace(&mut orders.open[order], gone);
    let timeout = Duration::from_millis(timeout_ms.into());
    match caller.data().within(Some(timeout), delivery).await {
        Some(delivered) => delivered.unwrap_or(-2),
        None => -1,
    }
}

/// Makes a native thread send news to the process.
fn expect_news(caller: Caller<'_, Ctx>) {
    let process = caller.data().this();
    std::thread::spawn(move || {
        // If the process has exited, the news is dropped.
        let _ = process.send(NEWS, b"the van is here");
    });
}

/// A summary of the ledger.
pub fn sum(ledger: &Mutex<Ledger>) -> String {
    let Ledger { orders, left } = &*lock(ledger);
    format!("orders of all: {orders}, clerks that left: {left}")
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
