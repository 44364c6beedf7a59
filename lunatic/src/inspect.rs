//! A look at other processes, while they run.
//!
//! A process with the right [`Inspect`](crate::rights::Right::Inspect) sees all processes that have the same rights as it has, and
//! those whose rights were narrowed from these: the main process sees the whole program, a child that was spawned with a
//! [`ProcessConfig`](crate::ProcessConfig) sees itself and what it has spawned.
//!
//! A look stops nobody, and is not of one instant: each process is shown as it was at some time during the call. The user of a
//! program has the same and more with `lunatic ps` and its like.
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

/// Which processes, in which order.
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
    /// The first thousand by their ids.
    pub fn new() -> Self {
        Self {
            order: Order::Id,
            skip: 0,
            limit: usize::MAX,
            name: String::new(),
        }
    }

    /// In this order.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Without so many that come first.
    pub fn skip(mut self, skip: usize) -> Self {
        self.skip = skip;
        self
    }

    /// At most so many; never more than a thousand.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Those whose registered name, or name of the function that they began with, has this in it: at most 255 bytes.
    pub fn name(mut self, part: impl Into<String>) -> Self {
        self.name = part.into();
        self
    }
}

/// What comes first; of equals, the smaller id.
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
}

/// What a process does just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It is on a core.
    Running,
    /// It could run, and waits for a core.
    Ready,
    /// It waits for something.
    Waiting(Wait),
}

/// What a process waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Wait {
    /// Input, or until output is written.
    Io,
    /// A message on a channel.
    Receive,
    /// Room in a channel.
    Send,
    /// The end of a process.
    Join,
    /// A time.
    Sleep,
    /// Mail.
    Mail,
    /// An answer.
    Call,
    /// One of several things.
    Select,
    /// The network.
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
    /// The process. The handle can be used as any other.
    pub process: Process,
    /// Who spawned it; none spawned the main process.
    pub parent: Option<Process>,
    /// The first of the names that it is registered under.
    pub name: Option<String>,
    /// The function that it began with, the first 1,024 bytes of its name.
    pub entry: Option<String>,
    /// Whether its end is the end of the program.
    pub is_main: bool,
    /// What it does.
    pub state: State,
    /// Whether its memory is packed until it goes on.
    pub is_frozen: bool,
    /// Entries in its mailbox.
    pub mailbox: u64,
    /// The bytes of its mailbox.
    pub mailbox_bytes: u64,
    /// How many entries have come so far.
    pub mail_total: u64,
    /// The bytes of its linear memory, in use or not; 0 until it has run.
    pub memory: u64,
    /// How long it has computed, counted in time slices of a millisecond: exact in the long run.
    pub time_on_core: Duration,
    /// How often it has begun to run, modulo 2³².
    pub runs: u32,
    /// How many processes it is linked to.
    pub links: u32,
    /// How many monitors it has.
    pub monitors: u32,
    /// How many monitors of others watch it.
    pub monitored_by: u32,
    /// The timers that send to it.
    pub timers: u32,
    /// Whether exit signals become mail.
    pub traps_exits: bool,
}

impl ProcessInfo {
    /// What to call it: its name, `main`, or the function that it began with.
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
    /// How many match, shown or not.
    pub matched: usize,
    /// Those that are shown, in their order.
    pub shown: Vec<ProcessInfo>,
}

/// A process and those that it knows: of each kind at most a thousand.
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

/// Why a process does not see another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum InspectError {
    /// The process has ended.
    Ended,
    /// The calling process may not look at others, or not at this one; the text says why.
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

/// The processes that the calling process sees and the query asks for. Takes less than half a microsecond for each process that
/// the host runs, and gives others their turns meanwhile.
///
/// # Errors
///
/// [`InspectError::Denied`] without the right [`Inspect`](crate::rights::Right::Inspect).
///
/// # Panics
///
/// If the name of the query has more than 255 bytes.
pub fn processes(query: &Query) -> Result<Page, InspectError> {
    let len = query.name.len();
    assert!(
        len <= NAME_LEN_MAX,
        "a part of a name has at most {NAME_LEN_MAX} bytes, not {len}"
    );
    let order = match query.order {
        Order::Id => code::BY_ID,
        Order::Mailbox => code::BY_MAILBOX,
        Order::MailboxBytes => code::BY_MAILBOX_BYTES,
        Order::Memory => code::BY_MEMORY,
        Order::Time => code::BY_TIME,
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

/// One process, and those that it knows.
///
/// # Errors
///
/// [`InspectError`].
///
/// # Panics
///
/// If the handle was never given out by the host.
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

/// The first row of those that are left.
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
