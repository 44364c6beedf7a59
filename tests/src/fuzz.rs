//! Fuzzing with thousands of hostile guests: modules that call the host in any order with any kind of arguments.
//!
//! A case is a module that is made from a seed, in one of two ways. *Scripts* are sequences of host calls that mostly
//! make sense: handles are those that earlier calls wrote, pointers mostly lie in memory, lengths are mostly short,
//! timeouts pass; some values are arbitrary. *Noise* is a module from wasm-smith that imports functions that guests can
//! import, and calls them with whatever is on the stack.
//!
//! Whatever a case does, the host must neither panic nor hang, and a program that runs beside it must work.
//!
//! `cargo run --release -p lunatic-tests --example fuzz -- SECONDS [SEED]` runs for any length of time.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use crate::host::{Host, Program};
use crate::imports::{self, Import, Kind};

/// The functions of WASI preview 1 and their parameters: `i` 32 bits, `I` 64 bits, `p` a pointer, `l` a length.
pub(crate) const PREVIEW_1: &[(&str, &str)] = &[
    ("args_get", "pp"),
    ("args_sizes_get", "pp"),
    ("clock_res_get", "ip"),
    ("clock_time_get", "iIp"),
    ("environ_get", "pp"),
    ("environ_sizes_get", "pp"),
    ("fd_advise", "fIIi"),
    ("fd_allocate", "fII"),
    ("fd_close", "f"),
    ("fd_datasync", "f"),
    ("fd_fdstat_get", "fp"),
    ("fd_fdstat_set_flags", "fi"),
    ("fd_fdstat_set_rights", "fII"),
    ("fd_filestat_get", "fp"),
    ("fd_filestat_set_size", "fs"),
    ("fd_filestat_set_times", "fIIi"),
    ("fd_pread", "fplIp"),
    ("fd_prestat_dir_name", "fpl"),
    ("fd_prestat_get", "fp"),
    ("fd_pwrite", "fplsp"),
    ("fd_read", "fplp"),
    ("fd_readdir", "fplIp"),
    ("fd_renumber", "ff"),
    ("fd_seek", "fsip"),
    ("fd_sync", "f"),
    ("fd_tell", "fp"),
    ("fd_write", "fplp"),
    ("path_create_directory", "fpl"),
    ("path_filestat_get", "fiplp"),
    ("path_filestat_set_times", "fiplIIi"),
    ("path_link", "fiplfpl"),
    ("path_open", "fipliIIip"),
    ("path_readlink", "fplplp"),
    ("path_remove_directory", "fpl"),
    ("path_rename", "fplfpl"),
    ("path_symlink", "plfpl"),
    ("path_unlink_file", "fpl"),
    ("poll_oneoff", "ppip"),
    ("random_get", "pl"),
    ("sched_yield", ""),
    ("sock_accept", "fip"),
    ("sock_recv", "fplipp"),
    ("sock_send", "fplip"),
    ("sock_shutdown", "fi"),
];

/// The size of the memory that scripts point into, in pages.
const PAGES: u32 = 2;
/// The number of entries that scripts can spawn.
const ENTRIES: u32 = 6;

/// The address at which a script keeps handles: 16 of 16 bytes each.
const HANDLES: u32 = 1024;

struct Script {
    random: StdRng,
    /// One argument in this many is arbitrary. A call that traps is the last one of its process.
    odds: u32,
    /// Whether it calls the interface of Lunatic 0.13.
    is_compat: bool,
}

impl Script {
    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.random.random_range(0..values.len())]
    }

    fn rarely(&mut self) -> bool {
        self.random.random_ratio(1, self.odds)
    }

    /// An address, mostly in memory, where handles, texts or vectors are.
    fn pointer(&mut self) -> u32 {
        if self.rarely() {
            return self.one_of(&[0x1_ffff, 0x2_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, u32::MAX]);
        }
        match self.random.random_range(0..4) {
            0 => HANDLES + 16 * self.random.random_range(0..16),
            1 => 2048 + self.random.random_range(0..256),
            2 => 4096 + 8 * self.random.random_range(0..64),
            _ => self.random.random_range(0..PAGES << 16),
        }
    }

    fn length(&mut self) -> u32 {
        if self.rarely() {
            return self.one_of(&[0x1_0000, 0x2_0000, 0x7fff_ffff, 0x8000_0000, u32::MAX]);
        }
        self.one_of(&[0, 1, 4, 8, 16, 40, 56, 100, 1000])
    }

    fn word(&mut self) -> u32 {
        let any = self.random.next_u32();
        self.one_of(&[0, 1, 2, 3, 4, 5, 8, 16, 0xff, 0x7fff_ffff, 0x8000_0000, u32::MAX, any])
    }

    /// Times are mostly short, so that scripts end.
    fn long(&mut self) -> u64 {
        if self.rarely() {
            let any = self.random.next_u64();
            return self.one_of(&[u64::MAX, u64::MAX - 1, 1 << 63, i64::MAX as u64, any]);
        }
        self.one_of(&[0, 1, 2, 1000, 1_000_000, 5_000_000])
    }

    /// The number of a resource or process, a tag, or a time in milliseconds.
    fn small_long(&mut self) -> u64 {
        if self.rarely() {
            return self.long();
        }
        self.one_of(&[0, 0, 1, 1, 2, 3, 5, u64::MAX])
    }

    fn handle(&mut self) -> String {
        let at = HANDLES + 16 * self.random.random_range(0..16);
        match self.rarely() {
            false => format!(" (i64.load (i32.const {at})) (i64.load (i32.const {}))", at + 8),
            true => format!(" (i64.load (i32.const {at})) (i64.const {})", self.long() as i64),
        }
    }

    fn call(&mut self, import: &Import) -> String {
        // Random arguments would never hit a valid name.
        if self.is_compat && import.name == "spawn" && import.parameters.len() == 8 && !self.rarely() {
            let link = self.small_long() as i64;
            return format!(
                "(drop (call $process.spawn (i64.const {link}) (i64.const -1) (i64.const -1) (i32.const 4608) (i32.const 6) (i32.const 0) (i32.const 0) (i32.const 1024)))"
            );
        }
        let mut arguments = String::new();
        let mut parameters = import.parameters.iter();
        if import.takes_handle() {
            arguments += &self.handle();
            parameters.nth(1);
        }
        for parameter in parameters {
            let value = match parameter.kind {
                Kind::Elements | Kind::Place(_) => format!(" (i32.const {})", self.pointer() as i32),
                Kind::Word if parameter.name == "entry" => {
                    let entry = if self.rarely() {
                        self.word()
                    } else {
                        self.random.random_range(0..ENTRIES)
                    };
                    format!(" (i32.const {})", entry as i32)
                }
                Kind::Word if parameter.name.contains("len") => format!(" (i32.const {})", self.length() as i32),
                Kind::Word => format!(" (i32.const {})", self.word() as i32),
                // Numbers of that interface count from 0.
                Kind::Long if self.is_compat => format!(" (i64.const {})", self.small_long() as i64),
                Kind::Long => format!(" (i64.const {})", self.long() as i64),
                Kind::Double => format!(" (f64.const {})", self.length()),
            };
            arguments += &value;
        }
        let call = format!("(call ${}{arguments})", import.label());
        if import.result.is_empty() {
            call
        } else {
            format!("(drop {call})")
        }
    }

    fn call_wasi(&mut self) -> String {
        let (name, parameters) = PREVIEW_1[self.random.random_range(0..PREVIEW_1.len())];
        let mut arguments = String::new();
        for kind in parameters.chars() {
            let _ = match kind {
                'f' => {
                    let fd = if self.rarely() {
                        self.word()
                    } else {
                        self.random.random_range(0..8)
                    };
                    write!(arguments, " (i32.const {})", fd as i32)
                }
                'p' => write!(arguments, " (i32.const {})", self.pointer() as i32),
                'l' => write!(arguments, " (i32.const {})", self.length() as i32),
                'i' => write!(arguments, " (i32.const {})", self.word() as i32),
                // Sizes of files, small enough not to fill the disk.
                's' => write!(arguments, " (i64.const {})", self.random.random_range(0..100_000)),
                _ => write!(arguments, " (i64.const {})", self.long() as i64),
            };
        }
        format!("(drop (call $wasi_{name}{arguments}))")
    }

    /// An instruction that does not call the host.
    fn own(&mut self) -> String {
        let (at, value) = (self.pointer(), self.long());
        match self.random.random_range(0..8) {
            0 => format!("(drop (memory.grow (i32.const {})))", self.one_of(&[0, 1, 10, 1000, 65535, u32::MAX]) as i32),
            1 => format!("(memory.fill (i32.const {}) (i32.const 7) (i32.const {}))", at as i32, self.length() as i32),
            2 => format!("(call_indirect (i32.const {}))", self.one_of(&[1, 2, 3, 100])),
            3 => "(call $deep)".into(),
            4 => "(loop $again (br_if $again (i32.lt_u (global.get $steps) (i32.const 1000)) (global.set $steps (i32.add (global.get $steps) (i32.const 1)))))".into(),
            _ => format!("(i64.store (i32.const {}) (i64.const {}))", at & 0x1_fff0, value as i64),
        }
    }
}

/// Whether the host has the interface of Lunatic 0.13.
pub(crate) const HAS_COMPAT: bool = cfg!(feature = "compat");

/// A module that makes calls, in the text format.
fn script(seed: u64, is_compat: bool) -> String {
    let all = if is_compat { imports::compat() } else { imports::all() };
    let mut random = StdRng::seed_from_u64(seed);
    let odds = [8, 30, 100, 1000][random.random_range(0..4)];
    let mut script = Script {
        random,
        odds,
        is_compat,
    };
    let mut text = String::from("(module\n");
    text += &preview_1();
    text += &imports::declarations_of(all);
    let _ = write!(
        text,
        r#"(memory (export "memory") {PAGES})
        (global $steps (mut i32) (i32.const 0))
        (global $depth (mut i32) (i32.const 0))
        (func $deep (call $deep))
        (data (i32.const 2048) "given.txt\00../../etc/passwd\00sub/x\00allow=spawn\00tree-processes=5\00dir=/data::/x\00inherit\00")
        (data (i32.const 4096) "\00\08\00\00\0a\00\00\00\00\08\00\00\ff\00\00\00\00\00\00\00\ff\ff\ff\ff\f0\ff\01\00\20\00\00\00")
        (data (i32.const 4608) "entry1")
        (func (export "lunatic_alloc") (param i32) (result i32) (i32.const 8192))
        (func (export "_lunatic_catch_trap") (param i32 i32) (result i32) (call $entry1) (i32.const 7))
        (table {ENTRIES} funcref)
        (elem (i32.const 0)"#
    );
    for entry in 0..ENTRIES {
        let _ = write!(text, " $entry{entry}");
    }
    text += ")\n";
    for entry in 0..ENTRIES {
        let _ = write!(
            text,
            "(func $entry{entry}{}",
            match entry {
                0 => " (export \"_start\")",
                1 => " (export \"entry1\")",
                _ => "",
            }
        );
        // Limit the depth of calls, so that not every entry ends by a stack overflow.
        text += "(global.set $depth (i32.add (global.get $depth) (i32.const 1)))(if (i32.gt_u (global.get $depth) (i32.const 3)) (then (return)))\n";
        // Get a handle to begin with.
        text += match is_compat {
            true => "(call $message.create_data (i64.const 0) (i64.const 0))\n",
            false => "(call $process.this (i32.const 1024))\n",
        };
        for _ in 0..script.random.random_range(5..60) {
            let line = match script.random.random_range(0..10) {
                0 => script.own(),
                1 | 2 => script.call_wasi(),
                _ => {
                    let import = &all[script.random.random_range(0..all.len())];
                    script.call(import)
                }
            };
            text += &line;
            text.push('\n');
        }
        text += ")\n";
    }
    text.push(')');
    text
}

/// A module by wasm-smith; `None` if there are too few random bytes for one.
fn noise(seed: u64) -> Option<Vec<u8>> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut bytes = vec![0; random.random_range(500..5000)];
    random.fill_bytes(&mut bytes);
    let mut available = String::from("(module\n");
    available += &preview_1();
    available += &match random.random_range(0..2) {
        0 if HAS_COMPAT => imports::declarations_of(imports::compat()),
        _ => imports::declarations(),
    };
    available.push(')');
    let parse = |text: &str| wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    let exports = r#"(module (func (export "_start")) (memory (export "memory") 1))"#;
    let config = wasm_smith::Config {
        available_imports: Some(parse(&available)),
        exports: Some(parse(exports)),
        min_imports: 5,
        max_imports: 40,
        max_memories: 1,
        max_memory32_bytes: 4 << 20,
        max_funcs: 20,
        threads_enabled: false,
        memory64_enabled: false,
        gc_enabled: false,
        reference_types_enabled: false,
        exceptions_enabled: false,
        custom_page_sizes_enabled: false,
        shared_everything_threads_enabled: false,
        wide_arithmetic_enabled: false,
        custom_descriptors_enabled: false,
        ..wasm_smith::Config::default()
    };
    let module = wasm_smith::Module::new(config, &mut arbitrary::Unstructured::new(&bytes)).ok()?;
    Some(module.to_bytes())
}

/// The declarations of all functions of WASI in the text format.
pub(crate) fn preview_1() -> String {
    let declaration = |(name, parameters): &(&str, &str)| {
        let types = types(parameters);
        format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func $wasi_{name} (param{types}) (result i32)))\n")
    };
    PREVIEW_1.iter().map(declaration).collect()
}

/// The parameters of a function of WASI in the text format.
pub(crate) fn types(parameters: &str) -> String {
    let of = |kind| if matches!(kind, 'I' | 's') { " i64" } else { " i32" };
    parameters.chars().map(of).collect()
}

/// The outcomes of cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Cases that ended by themselves.
    pub ended: u64,
    /// Cases that were still waiting when their time was over, and were stopped.
    pub stopped: u64,
    /// Seeds that gave no module, or one that the host refused.
    pub refused: u64,
}

/// How long a case may wait before it is stopped.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long stopping a case, or running a program beside it, may take.
const HANGS: Duration = Duration::from_secs(60);

/// Runs cases on a host.
#[derive(Debug)]
pub struct Fuzzer {
    folder: tempfile::TempDir,
    tally: Tally,
}

impl Default for Fuzzer {
    fn default() -> Self {
        Self::new()
    }
}

impl Fuzzer {
    /// Makes a fuzzer whose guests have a folder.
    ///
    /// # Panics
    ///
    /// If the folder cannot be made.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for temporary files can be made");
        Self {
            folder,
            tally: Tally::default(),
        }
    }

    /// The outcomes so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn limited<'a>(program: Program<'a>, folder: &Path) -> Program<'a> {
        program
            .dir(folder, "/data", false)
            .max_memory(8 << 20)
            .caps(lunatic_host::budget::Caps {
                processes: Some(50),
                memory: Some(64 << 20),
                cpu: Some(Duration::from_millis(100)),
                ..Default::default()
            })
    }

    /// Runs the case of a seed.
    ///
    /// # Panics
    ///
    /// If the host panicked or hung, with the seed.
    pub fn run(&mut self, host: &Host, seed: u64) {
        let wasm = match seed % 3 {
            0 => noise(seed),
            _ => Some(script(seed, HAS_COMPAT && seed.is_multiple_of(2)).into_bytes()),
        };
        let Some(module) = wasm.and_then(|wasm| host.load(&wasm).ok()) else {
            self.tally.refused += 1;
            return;
        };
        let data = self.folder.path().join("data");
        let _ = std::fs::remove_dir_all(&data);
        std::fs::create_dir_all(&data).expect("the fuzzer's folder can be written");
        std::fs::write(data.join("given.txt"), "from outside").expect("the fuzzer's folder can be written");
        let start = Instant::now();
        let (ended, stderr) = Self::limited(host.loaded(&module), &data).run_for(PATIENCE);
        assert!(
            start.elapsed() < HANGS,
            "seed {seed}: it took {:?} to stop it",
            start.elapsed()
        );
        assert!(
            !stderr.contains("bug in Lunatic"),
            "seed {seed}: the host failed:\n{stderr}"
        );
        match ended {
            true => self.tally.ended += 1,
            false => self.tally.stopped += 1,
        }
        let around: Vec<_> = std::fs::read_dir(self.folder.path())
            .expect("it is there")
            .flatten()
            .collect();
        assert_eq!(around.len(), 1, "seed {seed}: it made something outside of its folder");
    }

    /// Runs a program that must work, whatever ran before.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn check(&self, host: &Host) {
        let start = Instant::now();
        let program = host.program(br#"(module (memory (export "memory") 1) (func (export "_start")))"#);
        program.run().normal();
        assert!(start.elapsed() < HANGS, "the host is slow: {:?}", start.elapsed());
    }
}
