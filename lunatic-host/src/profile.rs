//! Profiles a system: counts the stacks of its processes at the ends of time slices.
//!
//! `sample` is called when the time slice of a process is over, which is every millisecond while it computes. If nobody
//! profiles, this only checks a flag. Names and lines are looked up at the end, by the thread that has asked.
//!
//! If the time slice has ended in a call of a host function, that has been noted (`note_call`), and the sample, which is
//! taken at the next place where the code can be interrupted, has the function as innermost frame. On request, the thread that has asked samples processes that wait (`waits`).

mod counts;
mod folded;
mod labels;
pub(crate) mod waits;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lunatic_kernel::address::Id;
use lunatic_report::backtrace::{Recorded, resolve};
use parking_lot::Mutex;
use wasmtime::{StoreContextMut, WasmBacktrace};

use self::counts::Counts;
use self::folded::{folded, line};
pub(crate) use self::labels::Call;
use self::labels::Labels;
use crate::inspect::is_called;
use crate::instance::Ctx;
use crate::module::Module;
use crate::wasm::{Kernel, Process, System};

/// The longest duration of a profile.
pub const PROFILE_MAX: Duration = Duration::from_secs(60);
/// The most distinct places in functions; samples with further ones are left out.
const PLACES_MAX: usize = 16 << 10;
/// The most processes whose data is cached; for others it is looked up again.
const PROCESSES_MAX: usize = 64 << 10;
/// After a sample, a process is left alone for this many times its duration.
const REST: u32 = 32;
/// The most processes that are kept apart; samples of further ones are left out.
const TOLD_MAX: usize = 16 << 10;
/// The longest text of a profile, in bytes.
const TEXT_LEN_MAX: usize = 16 << 20;

/// The processes to profile; by default all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profiled {
    /// Only this process.
    pub process: Option<Id>,
    /// Only processes with this text in a registered name or in the name of their entry, when they are first seen.
    pub name: Option<String>,
    /// Whether stacks of different processes are kept apart: each begins with its process, such as `#3 shop::Stock`.
    pub by_process: bool,
    /// Whether processes that wait are sampled as well, with what they wait for.
    pub waiting: bool,
}

/// The result of profiling.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// The number of samples: about one per millisecond of computation of a process.
    pub samples: u64,
    /// The number of samples that were left out, because there were too many distinct stacks or because sampling took
    /// too long.
    pub left_out: u64,
    /// The time that processes were seen waiting, all together, in milliseconds, if this was requested.
    pub waited_ms: u64,
    /// One line per stack, the most frequent first: the functions, the outermost first, separated by `;`, then the
    /// number of samples, each of a millisecond. Flame graphs can be drawn from this.
    ///
    /// The innermost frame of a stack is `[host] channel_receive` in a call of that host function, and begins with
    /// `[waits]` while the process waits.
    pub folded: String,
}

/// The current profile of a runtime, if there is one.
#[derive(Default)]
pub(crate) struct Profiler {
    sampling: Mutex<Option<Sampling>>,
}

struct Sampling {
    system: Arc<System>,
    profiled: Profiled,
    processes: HashMap<Id, Known>,
    /// The names of the processes that are kept apart, and the number of each.
    titles: Vec<String>,
    told: HashMap<Id, u32>,
    modules: Vec<Arc<Module>>,
    /// The number of each place, which is given by module, function and offset.
    numbers: HashMap<(usize, u32, u32), u32>,
    /// The places by number, with their modules.
    places: Vec<(usize, Recorded)>,
    /// The frames that are no places in code. Their numbers in stacks begin at [`PLACES_MAX`].
    labels: Labels,
    counts: Counts,
    samples: u64,
    left_out: u64,
    waited_ms: u64,
}

/// The cached data of a process.
#[derive(Clone, Copy)]
struct Known {
    is_profiled: bool,
    /// It is left alone until then.
    rests_until: Option<Instant>,
    /// The last call of a host function in which time slices have ended.
    call: Option<Ended>,
}

/// A call of a host function in which so many time slices have ended; by then there were `slices`.
#[derive(Clone, Copy)]
struct Ended {
    call: Call,
    ended: u64,
    slices: u64,
}

/// Begins to profile a system; false if another profile is in progress.
pub(crate) fn begin(kernel: &Kernel, system: &Arc<System>, profiled: &Profiled) -> bool {
    let profiler = kernel.host.states.get_or_insert_with(Profiler::default);
    let mut sampling = profiler.sampling.lock();
    if sampling.is_some() {
        return false;
    }
    *sampling = Some(Sampling::new(system, profiled));
    kernel.host.is_profiled.store(true, Ordering::Relaxed);
    true
}

/// Ends the profile and returns the result.
pub(crate) fn end(kernel: &Kernel) -> Profile {
    kernel.host.is_profiled.store(false, Ordering::Relaxed);
    let profiler = kernel.host.states.find::<Profiler>();
    let sampling = profiler.and_then(|profiler| profiler.sampling.lock().take());
    sampling.map(Sampling::into_profile).unwrap_or_default()
}

/// Must be called when a time slice is over, on the stack of the computing code.
pub(crate) fn sample(store: &StoreContextMut<'_, Ctx>) {
    let ctx = store.data();
    let host = &ctx.kernel.host;
    if !host.is_profiled.load(Ordering::Relaxed) || !ctx.has_used_slice() {
        return;
    }
    let (Some(process), Some(profiler)) = (ctx.running(), host.states.find::<Profiler>()) else {
        return;
    };
    let start = Instant::now();
    if !profiler
        .sampling
        .lock()
        .as_mut()
        .is_some_and(|sampling| sampling.wants(process, start))
    {
        return;
    }
    // Not under the lock, which other workers need as well.
    let recorded = WasmBacktrace::capture(store);
    if let Some(sampling) = profiler.sampling.lock().as_mut() {
        sampling.add(process, &recorded, ctx.kernel.slices(), start);
    }
}

/// Must be called after a call of a host function in which so many time slices have ended.
#[cold]
pub(crate) fn note_call(kernel: &Kernel, process: &Process, call: Call, ended: u64) {
    let slices = kernel.slices();
    if let Some(profiler) = kernel.host.states.find::<Profiler>()
        && let Some(sampling) = profiler.sampling.lock().as_mut()
    {
        sampling.known(process).call = Some(Ended { call, ended, slices });
    }
}

/// The end of the rest of a process after a sample that took some time.
fn rests_until(start: Instant, took: Duration) -> Instant {
    start + took * (1 + REST)
}

impl Sampling {
    fn new(system: &Arc<System>, profiled: &Profiled) -> Self {
        Self {
            system: system.clone(),
            profiled: profiled.clone(),
            processes: HashMap::new(),
            titles: Vec::new(),
            told: HashMap::new(),
            modules: Vec::new(),
            numbers: HashMap::new(),
            places: Vec::new(),
            labels: Labels::default(),
            counts: Counts::default(),
            samples: 0,
            left_out: 0,
            waited_ms: 0,
        }
    }

    /// Whether the process is profiled.
    fn includes(&mut self, process: &Process) -> bool {
        Arc::ptr_eq(&process.system, &self.system) && self.known(process).is_profiled
    }

    fn known(&mut self, process: &Process) -> &mut Known {
        if self.processes.len() >= PROCESSES_MAX {
            self.processes.clear();
        }
        let profiled = &self.profiled;
        self.processes.entry(process.id).or_insert_with(|| Known {
            is_profiled: profiled.process.is_none_or(|id| id == process.id)
                && profiled.name.as_deref().is_none_or(|name| is_called(process, name)),
            rests_until: None,
            call: None,
        })
    }

    /// Whether the process must be sampled now.
    fn wants(&mut self, process: &Process, now: Instant) -> bool {
        if !self.includes(process) {
            return false;
        }
        let rests = self.known(process).rests_until.is_some_and(|until| now < until);
        self.left_out += u64::from(rests);
        !rests
    }

    /// Adds a sample of a stack, or as many as time slices have ended in the call before it.
    fn add(&mut self, process: &Process, recorded: &WasmBacktrace, slices: u64, start: Instant) {
        // If a time slice more has ended, it ended in the code of the process.
        let call = self.known(process).call.take().filter(|ended| ended.slices == slices);
        let samples = call.map_or(1, |ended| ended.ended);
        let label = call.map(|ended| self.labels.of_call(ended.call));
        let places = self.stack(process, recorded);
        let is_counted = places.is_some_and(|places| self.count(process, &places, label, samples));
        let count = if is_counted {
            &mut self.samples
        } else {
            &mut self.left_out
        };
        *count += samples;
        self.known(process).rests_until = Some(rests_until(start, start.elapsed()));
    }

    /// Adds the time for which a process has waited.
    fn add_wait(&mut self, process: &Process, places: &[u32], what: &str, ms: u64) {
        let label = self.labels.of_wait(what);
        if self.count(process, places, Some(label), ms) {
            self.waited_ms += ms;
        }
    }

    /// Counts a stack with a label as innermost frame; false if there is no room.
    fn count(&mut self, process: &Process, places: &[u32], label: Option<u32>, samples: u64) -> bool {
        let Some(of) = self.number_of(process) else {
            return false;
        };
        let label = label.map(|label| PLACES_MAX as u32 + label);
        let stack: Box<[u32]> = label.into_iter().chain(places.iter().copied()).collect();
        self.counts.add(of, stack, samples)
    }

    /// The number of a process, if processes are kept apart; `None` if there are too many.
    fn number_of(&mut self, process: &Process) -> Option<u32> {
        if !self.profiled.by_process {
            return Some(0);
        }
        if let Some(number) = self.told.get(&process.id) {
            return Some(*number);
        }
        if self.titles.len() >= TOLD_MAX {
            return None;
        }
        let name = process.first_name().unwrap_or_else(|| process.local.title());
        let title = format!("{} {name}", process.id).replace([';', '\n'], ",");
        let number = self.titles.len() as u32;
        self.titles.push(title.trim_end().to_owned());
        self.told.insert(process.id, number);
        Some(number)
    }

    /// The numbers of the places of a stack; `None` if there is no room for them.
    fn stack(&mut self, process: &Process, recorded: &WasmBacktrace) -> Option<Vec<u32>> {
        let module = process.local.module();
        let module_number = match self.modules.iter().position(|known| Arc::ptr_eq(known, &module)) {
            Some(number) => number,
            None => {
                self.modules.push(module);
                self.modules.len() - 1
            }
        };
        let number = |frame| {
            let (function, offset) = Recorded::place_of(frame);
            let key = (module_number, function, offset);
            if let Some(number) = self.numbers.get(&key) {
                return Some(*number);
            }
            if self.places.len() >= PLACES_MAX {
                return None;
            }
            let number = self.places.len() as u32;
            self.places.push((module_number, Recorded::of(frame)));
            self.numbers.insert(key, number);
            Some(number)
        };
        recorded.frames().iter().map(number).collect()
    }

    fn into_profile(self) -> Profile {
        let mut functions = vec![String::new(); self.places.len()];
        for (number, module) in self.modules.iter().enumerate() {
            let (indices, places): (Vec<_>, Vec<_>) = self
                .places
                .iter()
                .enumerate()
                .filter(|(_, (of, _))| *of == number)
                .map(|(index, (_, place))| (index, place))
                .unzip();
            for (index, frames) in indices.into_iter().zip(resolve(&places, Some(module.symbols()))) {
                functions[index] = folded(&frames);
            }
        }
        functions.resize(PLACES_MAX, String::new());
        functions.extend(self.labels.names.iter().cloned());
        let mut stacks: Vec<_> = self.counts.stacks.iter().collect();
        stacks.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let (mut lines, mut len) = (BTreeMap::<String, u64>::new(), 0);
        let (mut samples, mut left_out, mut waited_ms) = (self.samples, self.left_out, self.waited_ms);
        for ((of, stack), count) in stacks {
            let line = line(self.titles.get(*of as usize), stack, &functions);
            len += line.len();
            let label = stack.first().and_then(|first| first.checked_sub(PLACES_MAX as u32));
            let is_wait = label.is_some_and(|label| self.labels.is_wait(label));
            if len <= TEXT_LEN_MAX {
                *lines.entry(line).or_default() += count;
            } else if is_wait {
                waited_ms -= count;
            } else {
                (samples, left_out) = (samples - count, left_out + count);
            }
        }
        let mut lines: Vec<_> = lines.into_iter().collect();
        lines.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let lines = lines.iter().map(|(line, count)| format!("{line} {count}\n"));
        Profile {
            samples,
            left_out,
            waited_ms,
            folded: lines.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_followed_by_a_rest() {
        let (start, took) = (Instant::now(), Duration::from_micros(70));
        let end = rests_until(start, took);
        assert_eq!((end - start).as_nanos() / took.as_nanos(), 33, "one part in 33");
    }
}
