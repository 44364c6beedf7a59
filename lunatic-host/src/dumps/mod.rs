//! Core dumps of processes that failed: which failures get one, and who writes it.
//!
//! A worker that sees a process fail requests the claim to a dump; there is one claim at a time. If it is granted, a
//! dedicated thread takes over the instance, with the memory as it was at the failure, and writes it. No process waits
//! for that thread, and the memory is not copied. All other failures are only counted, so a storm of crashes costs each
//! of them a short lock.
//!
//! The folder is limited to a number of files and a total size. Usually the first crashes of a run show the cause.
//! Therefore dumps of this run stay, and further ones are not written. Files of earlier runs are deleted to make room,
//! the oldest first.
//!
//! | module | purpose |
//! |---|---|
//! | `about` | the description of a process in its dump |
//! | `folder` | files, and room for one more |
//! | `live` | the dump of a waiting process |

mod about;
mod folder;
mod live;

use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lunatic_kernel::address::Id;
use lunatic_kernel::budget::Budget;
use lunatic_kernel::environment::Environment;
use parking_lot::{Condvar, Mutex};

pub(crate) use self::about::about;
use self::folder::Folder;
pub use self::live::DumpRefusal;
use crate::report::dump::{self, About, CodePlace, Memory, Value, Written};
use crate::wasi::Output;

/// The default of [`DumpConfig::limit`].
pub const LIMIT: usize = 10;
/// The default of [`DumpConfig::bytes_max`]: 1 GiB.
pub const BYTES_MAX: u64 = 1 << 30;

/// The largest part of a dump other than the memory, in bytes: 512 KiB.
const HEAD_LEN_MAX: u64 = 512 << 10;
/// The longest report in a dump, in bytes.
const REPORT_LEN_MAX: usize = 128 << 10;
/// How often a full folder is checked again, because someone may have removed dumps.
const LOOK: Duration = Duration::from_secs(1);

/// Where dumps are written, how many, and what they contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpConfig {
    /// The folder. If it is missing, it is created, accessible only to its owner.
    pub folder: PathBuf,
    /// The most files in the folder.
    pub limit: usize,
    /// The most bytes of all files together.
    pub bytes_max: u64,
    /// Whether dumps omit the memory of the process.
    pub without_memory: bool,
    /// Whether dumps omit the contents of messages in its mailbox.
    pub without_messages: bool,
}

impl DumpConfig {
    /// Complete dumps in this folder, with the default limits.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            limit: LIMIT,
            bytes_max: BYTES_MAX,
            without_memory: false,
            without_messages: false,
        }
    }
}

/// The time since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn in_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Writes core dumps of the processes of one or more systems: see [`SystemConfig::dumps`](crate::SystemConfig::dumps).
pub struct Dumps {
    config: DumpConfig,
    folder: Folder,
    state: Mutex<State>,
    /// Notified when a dump has been written.
    done: Condvar,
}

#[derive(Default)]
struct State {
    /// Whether the claim is taken.
    is_taken: bool,
    /// The dumps of this run: names and sizes.
    own: Vec<(String, u64)>,
    /// Crashes without a dump: since the last dump, and in all.
    left_out: u64,
    left_out_in_all: u64,
    /// When a full folder was last checked.
    looked: Option<Instant>,
}

impl State {
    fn leave_out(&mut self) {
        self.left_out += 1;
        self.left_out_in_all += 1;
    }

    fn bytes(&self) -> u64 {
        self.own.iter().map(|(_, len)| len).sum()
    }
}

impl Dumps {
    /// Opens the folder, and creates it if it is missing.
    ///
    /// # Errors
    ///
    /// Errors of the file system.
    pub fn open(config: DumpConfig) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            folder: Folder::open(&config.folder)?,
            config,
            state: Mutex::default(),
            done: Condvar::new(),
        }))
    }

    /// Returns the folder of the dumps.
    pub fn folder(&self) -> &Path {
        &self.config.folder
    }

    /// Waits until the dump in progress is written. Returns how many crashes have no dump, because there was no room or
    /// another dump was being written.
    pub fn finish(&self) -> u64 {
        let mut state = self.state.lock();
        while state.is_taken {
            self.done.wait(&mut state);
        }
        state.left_out_in_all
    }

    /// Requests the right to dump a process that has just failed. If it is refused, the crash is counted.
    pub(crate) fn claim(self: &Arc<Self>, machine: &Arc<dyn Environment>, id: Id, stderr: &Output) -> Option<Claim> {
        let mut state = self.state.lock();
        if state.is_taken {
            state.leave_out();
            return None;
        }
        if self.is_full(&state) {
            state.leave_out();
            if state.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                (state.looked, state.is_taken) = (Some(Instant::now()), true);
                drop(state);
                self.look_again(machine);
            }
            return None;
        }
        state.is_taken = true;
        let time = now();
        Some(Claim {
            dumps: self.clone(),
            name: folder::name(time, id),
            time_ms: in_ms(time),
            left_out: std::mem::take(&mut state.left_out),
            process: id,
            stderr: stderr.clone(),
            is_written: false,
        })
    }

    fn is_full(&self, state: &State) -> bool {
        state.own.len() >= self.config.limit || state.bytes() + HEAD_LEN_MAX > self.config.bytes_max
    }

    /// Forgets dumps that someone has removed. The claim is taken meanwhile.
    fn look_again(self: &Arc<Self>, machine: &Arc<dyn Environment>) {
        let dumps = self.clone();
        let look = move || {
            let own = dumps.state.lock().own.clone();
            let gone: Vec<_> = own.iter().filter(|(name, _)| !dumps.folder.has(name)).collect();
            let mut state = dumps.state.lock();
            state.own.retain(|dump| !gone.contains(&dump));
            dumps.give_back(&mut state);
        };
        if machine.spawn("lunatic-dump".into(), Box::new(look)).is_err() {
            self.give_back(&mut self.state.lock());
        }
    }

    fn give_back(&self, state: &mut State) {
        state.is_taken = false;
        self.done.notify_all();
    }
}

/// The right to write one dump, held until it is dropped.
pub(crate) struct Claim {
    dumps: Arc<Dumps>,
    name: String,
    time_ms: u64,
    /// How many crashes since the last dump have none.
    left_out: u64,
    process: Id,
    /// Where a failure to write the dump is reported.
    stderr: Output,
    is_written: bool,
}

impl Claim {
    /// The path of the file.
    pub(crate) fn path(&self) -> PathBuf {
        self.dumps.config.folder.join(&self.name)
    }

    pub(crate) fn config(&self) -> &DumpConfig {
        &self.dumps.config
    }

    /// Writes the file. It becomes visible when it is complete.
    fn write(&mut self, core: &Written<'_>, about: &mut About) -> io::Result<()> {
        let dumps = self.dumps.clone();
        let DumpConfig { limit, bytes_max, .. } = dumps.config;
        let memory = core.memory.as_ref().map_or(&[][..], |memory| &memory.touched[..]);
        let wanted = HEAD_LEN_MAX + memory.iter().map(|range| range.len() as u64).sum::<u64>();
        let own = dumps.state.lock().own.clone();
        let room = dumps.folder.make_room(&own, limit, bytes_max, wanted)?;
        let mut out = BufWriter::new(dumps.folder.create(&self.name)?);
        let written = dump::write(core, about, room.saturating_sub(HEAD_LEN_MAX), &mut out).and_then(|()| out.flush());
        let len = written.and_then(|()| Ok(out.get_ref().metadata()?.len()));
        let len = len.and_then(|len| dumps.folder.complete(&self.name).map(|()| len));
        if len.is_err() {
            dumps.folder.give_up(&self.name);
        }
        let own = (self.name.clone(), len?);
        dumps.state.lock().own.push(own);
        self.is_written = true;
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_written {
            let process = self.process;
            self.stderr.report(&format!(
                "note: the core dump of process {process} could not be written\n"
            ));
        }
        self.dumps.give_back(&mut self.dumps.state.lock());
    }
}

/// A dump that will be written.
pub(crate) struct Dumping {
    pub(crate) claim: Claim,
    pub(crate) about: About,
    /// The budget that pays for the CPU time.
    pub(crate) budget: Option<Arc<Budget>>,
    pub(crate) module: String,
}

impl Dumping {
    /// Writes the dump; blocks. `find` looks up what takes long: the report, and the place of the process in the code.
    /// Returns the claim, which the caller drops when the memory has been released.
    pub(crate) fn write(
        mut self,
        find: impl FnOnce() -> (String, Vec<CodePlace>),
        globals: &[Value],
        memory: Option<Memory<'_>>,
    ) -> Claim {
        let start = lunatic_memory::thread_time();
        let (mut report, frames) = find();
        report.truncate(report.floor_char_boundary(REPORT_LEN_MAX));
        let (claim, about) = (&mut self.claim, &mut self.about);
        about.report = report;
        (about.time_ms, about.crashes_left_out) = (claim.time_ms, claim.left_out);
        about.memory_bytes = memory.as_ref().map_or(0, |memory| memory.bytes.len() as u64);
        let core = Written {
            module: &self.module,
            frames: &frames,
            globals,
            memory: memory.filter(|_| !claim.config().without_memory),
        };
        // An error is reported when the claim is dropped.
        if let Err(error) = claim.write(&core, about) {
            let path = claim.path();
            claim.stderr.report(&format!(
                "note: {}: {error}\n",
                crate::report::untrusted::line(path.display())
            ));
        }
        if let Some(budget) = &self.budget {
            budget.spend(lunatic_memory::thread_time().saturating_sub(start));
        }
        self.claim
    }
}
