//! The WASI state of a process of a component, and what is charged for it and for all handles.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize};

use lunatic_kernel::budget::{Exhausted, Payer, Receipt, Resource};
use lunatic_kernel::hash::NumberMap;
use lunatic_module::rewrite::component::HANDLES_MAX;
use lunatic_net::handles::Charge;
use tokio::sync::Semaphore;
use wasmtime::Error;
use wasmtime::component::{HasData, ResourceTable};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p1::WasiP1Ctx;

use super::aside::READS_MAX;
use super::held::Held;
use super::http::Http;
use crate::imports::wasi::SystemClock;
use crate::instance::Ctx;
use crate::report::PanicCapture;
use crate::states::Merge;
use crate::wasm::Process;

/// What the host keeps for a handle, in bytes: a place in two tables, which is kept for the next handle; and the value in
/// it, with what waits for it.
const PLACE_SIZE: usize = 192;
const VALUE_SIZE: usize = 512;
/// The size of a state without handles, folders and texts, with the tags of subscriptions.
const STATE_SIZE: usize = 7 << 10;
/// The size of a name that was looked up, with an address: the longest.
const NAME_SIZE: usize = 320;
/// A subscription to a clock consists of two values.
const VALUES_OF_HANDLE: usize = 2;

/// The host functions of WASI 0.2, as seen by a process.
pub(crate) struct Wasi02;

impl HasData for Wasi02 {
    type Data<'a> = View<'a>;
}

/// The process that calls a function.
pub(crate) struct View<'a>(pub(super) &'a mut Ctx);

/// The functions, for the process in a store with this data.
pub(super) fn view(ctx: &mut Ctx) -> View<'_> {
    View(ctx)
}

/// A result of at most this many bytes is [lent](View::lend) free of charge.
const LENT_FREE: usize = 16 << 10;

/// Holds the state of a process. It is empty while a thread works with the state, and the process waits.
struct Home(Option<Box<State>>);

/// Processes of components keep their code.
impl Merge for Home {
    fn merge(&mut self, _former: Self) {}
}

/// The WASI state of one process.
pub(super) struct State {
    pub(super) context: WasiP1Ctx,
    /// The number of handles, and the most that there have been.
    handles: usize,
    handles_most: usize,
    /// How many files, folders and lists of folders are open.
    pub(super) open: Arc<AtomicU32>,
    /// What each open file or folder is charged, by the number of its handle. Folders that the process was given have
    /// none.
    pub(super) files: NumberMap<u32, Arc<Held>>,
    /// The streams and lists that hold files open: dropping one may block.
    pub(super) streams: NumberMap<u32, Arc<Held>>,
    /// What the process pays for a result that the engine copies to it, which runs code of the process: it may take as long
    /// as it likes. Until it calls the host again.
    pub(super) lent: Option<Receipt>,
    /// One for each read of a stream that may still be begun.
    pub(super) reads: Arc<Semaphore>,
    /// How many tags the subscriptions of the mailbox have.
    pub(super) mail_tags: Arc<AtomicUsize>,
    /// What each socket is charged.
    pub(super) sockets: NumberMap<u32, Charge>,
    /// The names that were looked up last, with their addresses. Names are in their normal form.
    pub(super) names: Vec<(IpAddr, Arc<str>)>,
    /// The request that it answers, and what it has of HTTP.
    pub(super) http: Http,
    panic: PanicCapture,
    /// The size without handles and texts, in bytes.
    size: usize,
    paid: Receipt,
}

impl State {
    fn new(process: &Process, panic: &PanicCapture) -> Self {
        let system = &process.system;
        let wasi = &process.local.rights.wasi;
        let clock = SystemClock(system.time.clone());
        let mut context = wasi.component_context(system.is_main(process.id), panic, clock);
        context.ctx().table.set_max_capacity(HANDLES_MAX * VALUES_OF_HANDLE);
        Self {
            context,
            handles: 0,
            handles_most: 0,
            open: Arc::default(),
            files: NumberMap::default(),
            streams: NumberMap::default(),
            lent: None,
            reads: Arc::new(Semaphore::new(READS_MAX)),
            mail_tags: Arc::default(),
            sockets: NumberMap::default(),
            names: Vec::new(),
            http: Http::default(),
            panic: panic.clone(),
            size: STATE_SIZE + wasi.size(),
            paid: Receipt::new(process.purse().to_account(), Resource::Bodies),
        }
    }

    /// The values behind handles.
    pub(super) fn table(&mut self) -> &mut ResourceTable {
        self.context.ctx().table
    }

    /// The size in bytes that is charged.
    fn size(&self) -> usize {
        let handles = self.handles_most * PLACE_SIZE + self.handles * VALUE_SIZE;
        self.size + handles + self.names.len() * NAME_SIZE + self.panic.size() + self.http.size()
    }
}

impl View<'_> {
    pub(super) fn process(&self) -> &Arc<Process> {
        self.0.process()
    }

    /// The state of the process, made on first use.
    pub(super) fn state(&mut self) -> &mut State {
        let is_there = self.0.find_state::<Home>().is_some_and(|home| home.0.is_some());
        if !is_there {
            let panic = self.0.merging_state(PanicCapture::default).clone();
            let state = Box::new(State::new(self.process(), &panic));
            self.put(state);
            self.pay_or_end();
        }
        let home = self.0.merging_state(|| Home(None));
        let state = home.0.as_mut().expect("it is there, or was made just now");
        state.lent = None;
        state
    }

    /// Charges the process for a result of this many bytes, until it calls the host again: the engine copies the result to the
    /// process, which runs code of the process. Short results are free of charge.
    ///
    /// # Errors
    ///
    /// If the process cannot pay.
    pub(super) fn lend(&mut self, len: usize) -> Result<(), Error> {
        if len > LENT_FREE {
            let paid = self.paid(Resource::Buffers, len)?;
            self.state().lent = Some(paid);
        }
        Ok(())
    }

    /// Ends the charge for the last result.
    pub(super) fn take_back(&mut self) {
        if self.0.find_state::<Home>().is_none() {
            return;
        }
        if let Some(state) = &mut self.0.merging_state(|| Home(None)).0 {
            state.lent = None;
        }
    }

    /// Takes the state from the process, which must wait until it is [put](Self::put) back.
    pub(super) fn take(&mut self) -> Box<State> {
        self.state();
        let home = self.0.merging_state(|| Home(None));
        home.0.take().expect("it was there just now")
    }

    pub(super) fn put(&mut self, state: Box<State>) {
        self.0.merging_state(|| Home(None)).0 = Some(state);
    }

    fn pay(&mut self) -> Result<(), Exhausted> {
        let state = self.state();
        let size = state.size();
        state.paid.settle(size)
    }

    /// Adjusts the charge to a size that has become smaller, or that no further call makes larger. A process that cannot pay
    /// ends with its time slice.
    fn pay_or_end(&mut self) {
        if let Err(exhausted) = self.pay() {
            self.0.kernel.out_of_memory(self.process(), exhausted);
        }
    }

    /// Adjusts the charge to the current size.
    ///
    /// # Errors
    ///
    /// If the process cannot pay. This is a trap: if it were only marked to end, it could go on until its time slice is over,
    /// and each further call would make the host keep more.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        self.pay().map_err(|exhausted| self.cannot_pay(exhausted))
    }

    /// The trap of a process that cannot pay for what the host is to keep for it: it exits as one whose memory cannot grow.
    pub(super) fn cannot_pay(&mut self, exhausted: Exhausted) -> Error {
        self.0.cannot_pay(exhausted)
    }

    /// Charges the process for bytes that are kept as long as the receipt lives.
    ///
    /// # Errors
    ///
    /// As for [`settle`](Self::settle).
    pub(super) fn paid(&mut self, resource: Resource, bytes: usize) -> Result<Receipt, Error> {
        let mut paid = Receipt::new(self.process().purse().to_account(), resource);
        match paid.grow(bytes) {
            Ok(()) => Ok(paid),
            Err(exhausted) => Err(self.cannot_pay(exhausted)),
        }
    }

    /// Must be called before a handle is given to the process.
    ///
    /// # Errors
    ///
    /// If it has too many, or cannot pay for one more.
    pub(super) fn gives(&mut self) -> Result<(), Error> {
        let state = self.state();
        if state.handles >= HANDLES_MAX {
            return Err(Error::msg(format!(
                "the process has {HANDLES_MAX} handles of files, sockets, streams, pollables and processes, and cannot have \
                 more: drop some"
            )));
        }
        state.handles += 1;
        state.handles_most = state.handles_most.max(state.handles);
        self.settle()
    }

    /// Must be called when a handle is dropped, or was not given after all.
    pub(super) fn dropped(&mut self) {
        let state = self.state();
        state.handles = state.handles.saturating_sub(1);
        self.pay_or_end();
    }

    /// Calls `make`, which gives the process a handle if it succeeds. `trap` makes an error of one that ends the process.
    pub(super) fn giving<T, E>(
        &mut self,
        trap: impl FnOnce(Error) -> E,
        make: impl FnOnce(&mut State) -> Result<T, E>,
    ) -> Result<T, E> {
        self.gives().map_err(trap)?;
        let made = make(self.state());
        if made.is_err() {
            self.dropped();
        }
        made
    }

    /// Calls `delete`, which takes a handle from the process.
    pub(super) fn dropping<T>(&mut self, delete: impl FnOnce(&mut State) -> T) -> T {
        let deleted = delete(self.state());
        self.dropped();
        deleted
    }
}
