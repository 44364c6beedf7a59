//! Profiles a system: counts the stacks of its processes at the ends of time slices.
//!
//! `sample` is called when the time slice of a process is over, which is every millisecond while it computes. If nobody
//! profiles, this only checks a flag. Names and lines are looked up at the end, by the thread that has asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lunatic_kernel::address::Id;
use lunatic_report::backtrace::{Recorded, resolve};
use lunatic_report::{FRAMES_MAX, Frame};
use parking_lot::Mutex;
use wasmtime::{StoreContextMut, WasmBacktrace};

use crate::inspect::is_called;
use crate::instance::Ctx;
use crate::module::Module;
use crate::wasm::{Kernel, Process, System};

/// The longest duration of a profile.
pub const PROFILE_MAX: Duration = Duration::from_secs(60);
/// The most distinct places in functions; samples with further ones are left out.
const PLACES_MAX: usize = 16 << 10;
/// The most distinct stacks, and the most frames of all of them.
const STACKS_MAX: usize = 64 << 10;
const FRAMES_TOGETHER_MAX: usize = 4 << 20;
/// The most processes whose data is cached; for others it is looked up again.
const PROCESSES_MAX: usize = 64 << 10;
/// After a sample, a process is left alone for this many times its duration.
const REST: u32 = 32;
/// The most processes that are kept apart; samples of further ones are left out.
const TOLD_MAX: usize = 16 << 10;
/// The longest names of the functions that are inlined at one place, in bytes.
const NAMES_LEN_MAX: usize = 2 << 10;
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
    /// One line per stack, the most frequent first: the functions, the outermost first, separated by `;`, then the
    /// number of samples. Flame graphs can be drawn from this.
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
    counts: Counts,
    samples: u64,
    left_out: u64,
}

/// The number of samples per stack, by the number of its process and the numbers of its places, the innermost first.
#[derive(Default)]
struct Counts {
    stacks: HashMap<(u32, Box<[u32]>), u64>,
    /// The total number of frames.
    frames: usize,
}

/// The cached data of a process.
#[derive(Clone, Copy)]
struct Known {
    is_profiled: bool,
    /// It is left alone until then.
    rests_until: Option<Instant>,
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
    let wants = |sampling: &mut Sampling| sampling.wants(process, start);
    if !profiler.sampling.lock().as_mut().is_some_and(wants) {
        return;
    }
    // Not under the lock, which other workers need as well.
    let recorded = WasmBacktrace::capture(store);
    if let Some(sampling) = profiler.sampling.lock().as_mut() {
        sampling.add(process, &recorded, start);
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
            counts: Counts::default(),
            samples: 0,
            left_out: 0,
        }
    }

    /// Whether the process must be sampled now.
    fn wants(&mut self, process: &Process, now: Instant) -> bool {
        if !Arc::ptr_eq(&process.system, &self.system) {
            return false;
        }
        if self.processes.len() >= PROCESSES_MAX {
            self.processes.clear();
        }
        let profiled = &self.profiled;
        let known = self.processes.entry(process.id).or_insert_with(|| Known {
            is_profiled: profiled.process.is_none_or(|id| id == process.id)
                && profiled.name.as_deref().is_none_or(|name| is_called(process, name)),
            rests_until: None,
        });
        let rests = known.is_profiled && known.rests_until.is_some_and(|until| now < until);
        self.left_out += u64::from(rests);
        known.is_profiled && !rests
    }

    fn add(&mut self, process: &Process, recorded: &WasmBacktrace, start: Instant) {
        let of = self.number_of(process);
        let stack = of.and_then(|of| Some((of, self.stack(process, recorded)?)));
        let is_counted = stack.is_some_and(|(of, stack)| self.counts.add(of, stack));
        let count = if is_counted {
            &mut self.samples
        } else {
            &mut self.left_out
        };
        *count += 1;
        if let Some(known) = self.processes.get_mut(&process.id) {
            known.rests_until = Some(rests_until(start, start.elapsed()));
        }
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
    fn stack(&mut self, process: &Process, recorded: &WasmBacktrace) -> Option<Box<[u32]>> {
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
        let mut stacks: Vec<_> = self.counts.stacks.iter().collect();
        stacks.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let (mut lines, mut len) = (BTreeMap::<String, u64>::new(), 0);
        let (mut samples, mut left_out) = (self.samples, self.left_out);
        for ((of, stack), count) in stacks {
            let line = line(self.titles.get(*of as usize), stack, &functions);
            len += line.len();
            if len > TEXT_LEN_MAX {
                (samples, left_out) = (samples - count, left_out + count);
            } else {
                *lines.entry(line).or_default() += count;
            }
        }
        let mut lines: Vec<_> = lines.into_iter().collect();
        lines.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let lines = lines.iter().map(|(line, count)| format!("{line} {count}\n"));
        Profile {
            samples,
            left_out,
            folded: lines.collect(),
        }
    }
}

impl Counts {
    /// False if there is no room for another stack.
    fn add(&mut self, of: u32, stack: Box<[u32]>) -> bool {
        let key = (of, stack);
        if let Some(count) = self.stacks.get_mut(&key) {
            *count += 1;
            return true;
        }
        if self.stacks.len() >= STACKS_MAX || self.frames + key.1.len() > FRAMES_TOGETHER_MAX {
            return false;
        }
        self.frames += key.1.len();
        self.stacks.insert(key, 1);
        true
    }
}

/// The functions at one place, the outermost first: inlined functions are inside.
fn folded(frames: &[Frame]) -> String {
    let names = frames
        .iter()
        .rev()
        .map(|frame| frame.function.replace([';', '\n'], ","));
    let mut names = names.collect::<Vec<_>>().join(";");
    names.truncate(names.floor_char_boundary(NAMES_LEN_MAX));
    names
}

/// A stack as text, without its count; it begins with its process if that is given.
fn line(process: Option<&String>, stack: &[u32], functions: &[String]) -> String {
    let cut = if stack.len() >= FRAMES_MAX { "…" } else { "" };
    let names = stack.iter().rev().map(|number| &*functions[*number as usize]);
    let before = process.map(String::as_str).into_iter().chain([cut]);
    let names = before.chain(names).filter(|name| !name.is_empty());
    names.collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_stacks_are_told_from_each_other() {
        let mut counts = Counts::default();
        for number in 0..STACKS_MAX as u32 {
            assert!(counts.add(0, [number].into()));
        }
        assert!(!counts.add(0, [u32::MAX].into()));
        assert!(!counts.add(1, [7].into()), "that of another process is another");
        assert!(counts.add(0, [7].into()), "one that is known is counted");
        let seven: (u32, Box<[u32]>) = (0, [7].into());
        assert_eq!(counts.stacks[&seven], 2);
        let mut counts = Counts::default();
        let long = |first| vec![first; FRAMES_TOGETHER_MAX / 2].into_boxed_slice();
        assert!(counts.add(0, long(1)) && counts.add(0, long(2)) && !counts.add(0, [1].into()));
    }

    #[test]
    fn a_sample_is_followed_by_a_rest() {
        let (start, took) = (Instant::now(), Duration::from_micros(70));
        let end = rests_until(start, took);
        assert_eq!((end - start).as_nanos() / took.as_nanos(), 33, "one part in 33");
    }

    #[test]
    fn a_stack_is_a_line_with_what_was_inlined() {
        let frame = |function: &str| Frame {
            function: function.into(),
            file: None,
            line: None,
            column: None,
            library: false,
        };
        let functions = [
            folded(&[frame("<[u8; 2]>::inner"), frame("outer")]),
            folded(&[]),
            folded(&[frame("main")]),
        ];
        let process = "#3 shop".to_owned();
        assert_eq!(line(Some(&process), &[2], &functions), "#3 shop;main");
        assert_eq!(line(None, &[0, 1, 2], &functions), "main;outer;<[u8, 2]>::inner");
        let long = line(None, &vec![2; FRAMES_MAX], &functions);
        assert!(long.starts_with("…;main;main"), "{long}");
    }
}
