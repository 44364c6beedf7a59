//! Inspection of running processes.
//!
//! A process with the right [`Inspect`](crate::rights::Right::Inspect) sees all processes that have the same rights,
//! and those whose rights were narrowed from them. So the main process sees the whole program, and a child that was
//! spawned with a [`ProcessConfig`](crate::ProcessConfig) sees itself and its descendants.
//!
//! Inspection does not stop any process, and is not a snapshot of one instant: each process is shown as it was at some
//! time during the call. Outside the program, `lunatic ps` and related commands show the same and more.
//!
//! # Examples
//!
//! ```no_run
//! use lunatic::inspect::{Order, Query, processes};
//!
//! // The five processes with the most mail.
//! for process in processes(&Query::new().order(Order::Mailbox).limit(5)).unwrap().shown {
//!     println!("{} {}: {} entries", process.process, process.title(), process.mailbox);
//! }
//! ```

use std::error::Error;
use std::fmt;
use std::time::Duration;

use lunatic_sys::codes::{NAME_LEN_MAX, look as code};
use lunatic_sys::layout::{PROCESS_FIGURES_SIZE, ProcessFigures, RAW_HANDLE_SIZE, RawHandle};
use serde::{Deserialize, Serialize};

use crate::host::{self, Refused, looks};
use crate::process::Process;

/// The most processes that a query passes over.
const SKIP_MAX: usize = 1 << 16;

/// Selects and orders processes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Query {
    order: Order,
    skip: usize,
    limit: usize,
    name: String,
}

impl Default for Query {
    fn default() -> Self {
        Self::new()
    }
}

impl Query {
    /// The first thousand processes, in the order of their ids.
    pub fn new() -> Self {
        Self {
            order: Order::Id,
            skip: 0,
            limit: usize::MAX,
            name: String::new(),
        }
    }

    /// Sets the order.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Skips the first `skip` processes: at most 65,536.
    pub fn skip(mut self, skip: usize) -> Self {
        self.skip = skip;
        self
    }

    /// Limits the result to `limit` processes; it never has more than a thousand.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Selects processes whose registered name, or whose entry function's name, contains `part`, which has at most 255
    /// bytes.
    pub fn name(mut self, part: impl Into<String>) -> Self {
        self.name = part.into();
        self
    }
}

/// Which process comes first. Among equals, the smaller id does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Order {
    /// The smallest id.
    #[default]
    Id,
    /// The most entries in the mailbox.
    Mailbox,
    /// The most bytes of the mailbox.
    MailboxBytes,
    /// The largest memory.
    Memory,
    /// The longest time on a core.
    Time,
    /// The oldest entry in the mailbox.
    Oldest,
}

/// The scheduling state of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It is running on a core.
    Running,
    /// It can run, and waits for a core.
    Ready,
    /// It is blocked.
    Waiting(Wait),
}

/// What a blocked process waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Wait {
    /// Input, or that output is written.
    Io,
    /// A message in a channel.
    Receive,
    /// Room in a channel.
    Send,
    /// The exit of a process.
    Join,
    /// A point in time.
    Sleep,
    /// Mail.
    Mail,
    /// The answer to a call.
    Call,
    /// One of several sources.
    Select,
    /// A socket.
    Network,
    /// A file.
    File,
    /// Something that this version of the SDK does not know.
    Other,
}

/// A process, as it was at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// The handle of the process, which can be used like any other.
    pub process: Process,
    /// The process that spawned it; `None` for the main process.
    pub parent: Option<Process>,
    /// The first of its registered names.
    pub name: Option<String>,
    /// The name of the function that it started with, cut at 1,024 bytes.
    pub entry: Option<String>,
    /// Whether it is the main process, whose exit ends the program.
    pub is_main: bool,
    /// Its scheduling state.
    pub state: State,
    /// How long ago it last stopped running: for a waiting process, how long it has waited. `None` while it runs, and
    /// before it has begun.
    pub stopped: Option<Duration>,
    /// Whether its memory is packed until it runs again.
    pub is_frozen: bool,
    /// The number of entries in its mailbox.
    pub mailbox: u64,
    /// The bytes in its mailbox.
    pub mailbox_bytes: u64,
    /// How long its oldest entry has been in the mailbox, up to a time slice too little; `None` without entries.
    pub oldest: Option<Duration>,
    /// The number of entries that its mailbox has received so far.
    pub mail_total: u64,
    /// The size of its linear memory in bytes, whether used or not; 0 until it has run.
    pub memory: u64,
    /// How long it has run, counted in time slices of a millisecond: exact in the long run.
    pub time_on_core: Duration,
    /// How often it has been scheduled, modulo 2³².
    pub runs: u32,
    /// The number of its links.
    pub links: u32,
    /// The number of monitors that it has set.
    pub monitors: u32,
    /// The number of monitors that other processes have set on it.
    pub monitored_by: u32,
    /// The number of timers that send to it.
    pub timers: u32,
    /// Whether it traps exits.
    pub traps_exits: bool,
}

impl ProcessInfo {
    /// Returns a title for the process: its registered name, `main`, or the function that it started with.
    #[must_use]
    pub fn title(&self) -> &str {
        match (&self.name, &self.entry) {
            (Some(name), _) => name,
            (None, _) if self.is_main => "main",
            (None, Some(entry)) => entry,
            (None, None) => "",
        }
    }
}

/// Processes that match a [`Query`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Page {
    /// The number of processes that match, shown or not.
    pub matched: usize,
    /// The processes that are shown, in the requested order.
    pub shown: Vec<ProcessInfo>,
}

/// A process and the processes that it is connected with, at most a thousand of each kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Details {
    /// The process.
    pub info: ProcessInfo,
    /// The processes that it is linked to.
    pub links: Vec<Process>,
    /// The processes that it monitors.
    pub monitors: Vec<Process>,
    /// The processes that monitor it.
    pub monitored_by: Vec<Process>,
}

/// Why a process cannot inspect another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum InspectError {
    /// The process has exited.
    Ended,
    /// The calling process may not inspect others, or not this one; the text gives the reason.
    Denied(String),
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the process has ended"),
            Self::Denied(why) => f.write_str(why),
        }
    }
}

impl Error for InspectError {}

/// Returns the processes that the calling process can see and that match the query. This takes less than half a
/// microsecond for each process that the host runs, and lets other processes run meanwhile.
///
/// # Errors
///
/// [`InspectError::Denied`] without the right [`Inspect`](crate::rights::Right::Inspect).
///
/// # Panics
///
/// If the name in the query has more than 255 bytes, or if it skips more than 65,536 processes.
pub fn processes(query: &Query) -> Result<Page, InspectError> {
    let len = query.name.len();
    assert!(
        len <= NAME_LEN_MAX,
        "a part of a name has at most {NAME_LEN_MAX} bytes, not {len}"
    );
    let skip = query.skip;
    assert!(
        skip <= SKIP_MAX,
        "a query can skip at most {SKIP_MAX} processes, not {skip}"
    );
    let order = match query.order {
        Order::Id => code::BY_ID,
        Order::Mailbox => code::BY_MAILBOX,
        Order::MailboxBytes => code::BY_MAILBOX_BYTES,
        Order::Memory => code::BY_MEMORY,
        Order::Time => code::BY_TIME,
        Order::Oldest => code::BY_OLDEST,
    };
    let looked = looks::processes(order, query.skip, query.limit, &query.name);
    let (matched, bytes) = looked.map_err(refused)?;
    let mut rest = &bytes[..];
    let mut shown = Vec::new();
    while let Some(info) = take_row(&mut rest) {
        shown.push(info);
    }
    Ok(Page { matched, shown })
}

/// Returns one process, and the processes that it is connected with.
///
/// # Errors
///
/// [`InspectError`].
///
/// # Panics
///
/// If the host never gave out the handle.
pub fn process(process: Process) -> Result<Details, InspectError> {
    let bytes = looks::process(process.raw()).map_err(refused)?;
    let mut rest = &bytes[..];
    let info = take_row(&mut rest).expect("the host shows the process");
    let lens: [usize; 3] = std::array::from_fn(|_| {
        let len = rest.split_off(..4).and_then(|bytes| bytes.first_chunk().copied());
        len.map_or(0, u32::from_le_bytes) as usize
    });
    let [links, monitors, monitored_by] = lens.map(|len| {
        let bytes = rest.split_off(..len * RAW_HANDLE_SIZE).unwrap_or_default();
        RawHandle::decode_all(bytes).map(Process::from_raw).collect()
    });
    Ok(Details {
        info,
        links,
        monitors,
        monitored_by,
    })
}

fn refused(refused: Refused) -> InspectError {
    match refused {
        Refused::Closed => InspectError::Ended,
        Refused::Denied => InspectError::Denied(host::text()),
        _ => panic!("the host refused a look: {refused:?}"),
    }
}

/// Takes the first of the remaining rows.
fn take_row(rest: &mut &[u8]) -> Option<ProcessInfo> {
    let figures = ProcessFigures::decode(rest.split_off(..PROCESS_FIGURES_SIZE)?.first_chunk()?);
    let mut text = |len: u32| {
        let bytes = rest.split_off(..len as usize)?;
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
    };
    let (name, entry) = (text(figures.name_len), text(figures.entry_len));
    let has = |flag: u32| figures.flags & flag != 0;
    Some(ProcessInfo {
        process: Process::from_raw(figures.process),
        parent: (figures.parent != RawHandle::default()).then(|| Process::from_raw(figures.parent)),
        name,
        entry,
        is_main: has(code::MAIN),
        state: match figures.state {
            code::RUNNING => State::Running,
            code::READY => State::Ready,
            _ => State::Waiting(wait_of(figures.wait)),
        },
        is_frozen: has(code::FROZEN),
        mailbox: figures.mailbox,
        mailbox_bytes: figures.mailbox_bytes,
        stopped: (figures.stopped_ms != u64::MAX).then(|| Duration::from_millis(figures.stopped_ms)),
        oldest: (figures.oldest_ms != u64::MAX).then(|| Duration::from_millis(figures.oldest_ms)),
        mail_total: figures.mail_total,
        memory: figures.memory,
        time_on_core: Duration::from_nanos(figures.cpu_ns),
        runs: figures.runs,
        links: figures.links,
        monitors: figures.monitors,
        monitored_by: figures.monitored_by,
        timers: figures.timers,
        traps_exits: has(code::TRAPS_EXITS),
    })
}

fn wait_of(wait: u32) -> Wait {
    match wait {
        code::OUTSIDE => Wait::Io,
        code::RECEIVE => Wait::Receive,
        code::SEND => Wait::Send,
        code::JOIN => Wait::Join,
        code::SLEEP => Wait::Sleep,
        code::MAIL => Wait::Mail,
        code::CALL => Wait::Call,
        code::SELECT => Wait::Select,
        code::SOCKET => Wait::Network,
        code::FILE => Wait::File,
        _ => Wait::Other,
    }
}
