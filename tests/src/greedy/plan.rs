//! The behaviour of a case: a program in lines, each a host call or similar, that can be changed line by line.
//!
//! The main process runs its first lines once and repeats the others, and so do its children. Arguments are useful to a
//! greedy guest: handles that exist, long texts, times far in the future. Calls that free something are left out.

use std::fmt::{self, Write};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::hoards::Hoard;
use crate::fuzz::{HAS_COMPAT, PREVIEW_1, preview_1};
use crate::imports::{self, Import, Kind};

/// A case.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The plan before its changes, if it was written by hand.
    began_as: &'static str,
    /// Whether it calls the interface of Lunatic 0.13.
    is_compat: bool,
    /// The initial memory of each process, in pages.
    pages: u32,
    /// The lines that the main process runs first.
    before: Vec<Line>,
    main: Part,
    child: Part,
}

/// The lines that a process repeats.
#[derive(Debug, Clone)]
struct Part {
    lines: Vec<Line>,
    /// How often; 0 means for ever.
    rounds: u32,
    /// Whether the process then waits for ever, keeping everything that it has.
    waits: bool,
}

/// A line of a program.
#[derive(Debug, Clone)]
struct Line {
    what: What,
    text: String,
}

/// The operation of a line, without its arguments.
#[derive(Debug, Clone, Copy)]
enum What {
    /// A function of the interface, by its index in the list.
    Call(usize),
    /// A function of WASI.
    Wasi(usize),
    /// Spawns a child.
    Spawn,
    /// An operation without the host.
    Own,
    /// Text written by hand.
    Hand,
}

/// Functions whose names contain these free something, end the process, or fill the disk, which no budget counts.
const LEFT_OUT: &[&str] = &[
    "drop",
    "close",
    "cancel",
    "unlink",
    "unregister",
    "leave_group",
    "demonitor",
    "stop_monitoring",
    "remove",
    "kill",
    "fd_allocate",
    "rename",
    "finalize",
    "proc_exit",
];

/// The address of the handles: 10 of 32 bytes each. The first is that of the process, the second that of its channel.
const HANDLES: u32 = 1024;
/// The address for other results of calls.
const SCRATCH: u32 = 1400;
/// The address of a socket address: 127.0.0.1 with any port.
const ADDRESS: u32 = 1472;
/// The address of spawn options: without a configuration, and with each of [`CONFIGS`].
const OPTIONS: [u32; 4] = [1536, 1600, 1664, 1728];
/// The address of a name that each round changes.
const NAME: u32 = 1800;
/// The address of zeros, preceded by the code of a reason.
const ZEROS: u32 = 2048;
/// The address of a vector of parts of the zeros, for WASI.
const PARTS: u32 = 148_000;
/// The address of the first of [`TEXTS`], and the size of each.
const TEXT: u32 = 150_000;
const TEXT_SIZE: u32 = 256;
/// The configurations of some children; they lie among the texts.
const CONFIGS: [&str; 3] = [
    "inherit\0tree-memory=4000000\0",
    "inherit\0tree-processes=20\0tree-cpu-ms=1000\0measured\0max-mailbox=100\0",
    "inherit\0cpu-share=20\0stdout=capture\0stderr=capture\0",
];
/// A module that has 16 pages of memory and loops; its last eight bytes have no meaning.
const MODULE: &str = "\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x10\x07\x13\x02\x06memory\x02\0\x06_start\0\0\x0a\x09\x01\x07\0\x03\x40\x0c\0\x0b\x0b\0\x09\0\0\0\0\0\0\0\0\0";

/// Texts that functions take, and the namespaces that take them.
const TEXTS: &[(&str, &str)] = &[
    ("process", "child"),
    ("module", "\0asm\u{1}\0\0\0"),
    ("module", MODULE),
    ("module", "_start"),
    ("rights", CONFIGS[0]),
    ("sqlite", ":memory:"),
    ("sqlite", "/data/a.db"),
    ("sqlite", "CREATE TABLE t(x); INSERT INTO t VALUES (zeroblob(1000000))"),
    ("sqlite", "INSERT INTO t SELECT x FROM t"),
    ("sqlite", "SELECT zeroblob(100000000)"),
    (
        "sqlite",
        "WITH RECURSIVE a(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM a) SELECT count(*) FROM a",
    ),
    ("net", "127.0.0.1"),
    ("networking", "127.0.0.1"),
    ("net", "localhost"),
    ("net", "/data/socket"),
    ("wasi", "/data"),
    ("preview1", "file"),
    ("rights", CONFIGS[1]),
    ("rights", CONFIGS[2]),
];

impl Plan {
    /// Makes the plan that a seed determines.
    pub(super) fn fresh(seed: u32) -> Self {
        let mut maker = Maker::new(seed, false);
        maker.is_compat = HAS_COMPAT && maker.random.random_ratio(1, 4);
        let before = maker.lines(0, 3);
        let main = maker.part(1);
        Self {
            began_as: "",
            is_compat: maker.is_compat,
            pages: maker.one_of(&[4, 4, 4, 20]),
            before,
            main,
            child: maker.part(0),
        }
    }

    /// Makes a plan written by hand. Plans of an interface that the host does not have do nothing.
    pub(super) fn by_hand(hoard: &Hoard) -> Self {
        let lines = |texts: &[&str]| {
            let line = |text: &&str| Line {
                what: What::Hand,
                text: (*text).to_owned(),
            };
            let is_known = HAS_COMPAT || !hoard.is_compat;
            texts.iter().filter(|_| is_known).map(line).collect::<Vec<_>>()
        };
        let part = |texts, rounds| Part {
            lines: lines(texts),
            rounds,
            waits: true,
        };
        Self {
            began_as: hoard.what,
            is_compat: HAS_COMPAT && hoard.is_compat,
            pages: 4,
            before: lines(hoard.before),
            main: part(hoard.again, 0),
            child: part(hoard.child, 30),
        }
    }

    /// Makes the change that a seed determines.
    pub(super) fn change(&mut self, seed: u32) {
        let mut maker = Maker::new(seed, self.is_compat);
        for _ in 0..maker.one_of(&[1, 1, 2, 3]) {
            self.change_once(&mut maker);
        }
    }

    fn change_once(&mut self, maker: &mut Maker) {
        let place = maker.random.random_range(0..3);
        let part = match place {
            2 => &mut self.child,
            _ => &mut self.main,
        };
        let kind = maker.random.random_range(0..8);
        match kind {
            0 => return part.rounds = maker.rounds(),
            1 => return part.waits = !part.waits,
            2 => return self.pages = maker.one_of(&[4, 4, 20]),
            _ => {}
        }
        let lines = if place == 0 { &mut self.before } else { &mut part.lines };
        let at = maker.random.random_range(0..=lines.len());
        match lines.get_mut(at) {
            Some(_) if kind == 3 => drop(lines.remove(at)),
            Some(line) if kind == 4 => *line = maker.line(),
            Some(line) if kind < 7 => *line = maker.line_of(line.what),
            _ => lines.insert(at, maker.line()),
        }
    }

    /// The program in the text format.
    pub fn module(&self) -> String {
        let all = if self.is_compat {
            imports::compat()
        } else {
            imports::all()
        };
        let mut text = String::from("(module\n");
        text += &preview_1();
        text += &imports::declarations_of(all);
        let _ = write!(
            text,
            r#"(memory (export "memory") {} 200)
            (table 2 1000000 funcref)
            (elem (i32.const 1) $child)
            (global $number (mut i64) (i64.const 0))
            (func $deep (param $left i32)
                (if (local.get $left) (then (call $deep (i32.sub (local.get $left) (i32.const 1)))))
                (i32.store8 (i32.const {SCRATCH}) (local.get $left)))
            (func (export "lunatic_alloc") (param i32) (result i32) (i32.const {ZEROS}))
            (func (export "_lunatic_catch_trap") (param i32 i32) (result i32) (call $child) (i32.const 7))
            "#,
            self.pages
        );
        text += &data();
        let _ = writeln!(text, "(func $prepare {})", prepare(self.is_compat));
        let wait = if self.is_compat {
            "(call $process.sleep_ms (i64.const -1))"
        } else {
            "(call $process.sleep_ns (i64.const -1))"
        };
        let _ = writeln!(
            text,
            "(func $child (export \"child\") (local $left i32) (call $prepare)\n{})",
            self.child.text(wait)
        );
        let before: String = self.before.iter().map(|line| format!("{}\n", line.text)).collect();
        let _ = writeln!(
            text,
            "(func (export \"_start\") (local $left i32) (call $prepare)\n{before}{}))",
            self.main.text(wait)
        );
        text
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.began_as.is_empty() {
            writeln!(f, "began as: {}", self.began_as)?;
        }
        writeln!(f, "pages: {}, compat: {}", self.pages, self.is_compat)?;
        for line in &self.before {
            writeln!(f, "main, once: {}", line.text)?;
        }
        for (who, part) in [("main", &self.main), ("child", &self.child)] {
            writeln!(
                f,
                "{who}, {} rounds (0: for ever), then waits: {}",
                part.rounds, part.waits
            )?;
            for line in &part.lines {
                writeln!(f, "  {}", line.text)?;
            }
        }
        Ok(())
    }
}

impl Part {
    fn text(&self, wait: &str) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "(local.set $left (i32.const {}))", self.rounds);
        text += "(loop $again\n";
        // Makes the name a new one.
        let _ = writeln!(
            text,
            "(global.set $number (i64.add (global.get $number) (i64.const 1))) (i64.store (i32.const {NAME}) (global.get $number))"
        );
        for line in &self.lines {
            text += &line.text;
            text.push('\n');
        }
        text += match self.rounds {
            0 => "(br $again)",
            _ => "(br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))",
        };
        text += ")\n";
        text += if self.waits { wait } else { "" };
        text
    }
}

/// Gets the handles that each process begins with.
fn prepare(is_compat: bool) -> String {
    match is_compat {
        true => "(call $message.create_data (i64.const 7) (i64.const 0))".into(),
        false => format!(
            "(call $process.this (i32.const {HANDLES})) (drop (call $channel.new (i64.const 0) (i32.const {})))
            (drop (call $process.parent (i32.const {})))",
            handle_at(1),
            handle_at(2)
        ),
    }
}

/// The initial contents of the memory of each process.
fn data() -> String {
    let bytes = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let mut text = String::new();
    let mut put = |at: u32, what: &[u8]| {
        let _ = writeln!(text, "(data (i32.const {at}) \"{}\")", bytes(what));
    };
    put(ADDRESS, &[4, 0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1]);
    put(ZEROS, &[7]);
    for (number, (_, what)) in TEXTS.iter().enumerate() {
        let at = text_at(number);
        put(at, what.as_bytes());
        if let Some(config) = CONFIGS.iter().position(|config| config == what) {
            put(OPTIONS[1 + config] + 40, &u64::from(at).to_le_bytes());
            put(OPTIONS[1 + config] + 48, &(what.len() as u32).to_le_bytes());
        }
    }
    let parts = [ZEROS, 60_000, ZEROS, 1000, NAME, 200];
    put(PARTS, &parts.map(u32::to_le_bytes).concat());
    text
}

fn handle_at(slot: u32) -> u32 {
    HANDLES + 32 * slot
}

fn text_at(number: usize) -> u32 {
    TEXT + TEXT_SIZE * number as u32
}

/// Makes lines.
struct Maker {
    random: StdRng,
    is_compat: bool,
}

impl Maker {
    fn new(seed: u32, is_compat: bool) -> Self {
        let random = StdRng::seed_from_u64(seed.into());
        Self { random, is_compat }
    }

    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.random.random_range(0..values.len())]
    }

    fn rounds(&mut self) -> u32 {
        self.one_of(&[0, 0, 1, 1, 30, 1000, 100_000])
    }

    fn part(&mut self, lines_min: usize) -> Part {
        Part {
            lines: self.lines(lines_min, 4),
            rounds: self.rounds(),
            waits: self.random.random(),
        }
    }

    fn lines(&mut self, min: usize, max: usize) -> Vec<Line> {
        // Each additional line is one more that may trap, which ends the process.
        let max = self.random.random_range(min..=max);
        (0..self.random.random_range(min..=max)).map(|_| self.line()).collect()
    }

    fn all(&self) -> &'static [Import] {
        if self.is_compat {
            imports::compat()
        } else {
            imports::all()
        }
    }

    fn line(&mut self) -> Line {
        loop {
            let what = match self.random.random_range(0..10) {
                0 => What::Own,
                1 | 2 => What::Spawn,
                3 => What::Wasi(self.random.random_range(0..PREVIEW_1.len())),
                _ => What::Call(self.random.random_range(0..self.all().len())),
            };
            let name = match what {
                What::Call(at) => &self.all()[at].name,
                What::Wasi(at) => PREVIEW_1[at].0,
                What::Spawn | What::Own | What::Hand => "",
            };
            if !LEFT_OUT.iter().any(|part| name.contains(part)) {
                return self.line_of(what);
            }
        }
    }

    fn line_of(&mut self, what: What) -> Line {
        let text = match what {
            What::Call(at) => self.call(&self.all()[at]),
            What::Wasi(at) => self.wasi(at),
            What::Spawn => self.spawn(),
            What::Own => self.own(),
            What::Hand => return self.line(),
        };
        Line { what, text }
    }

    fn spawn(&mut self) -> String {
        if self.is_compat {
            let link = self.one_of(&[0, 0, 7]);
            return format!(
                "(drop (call $process.spawn (i64.const {link}) (i64.const -1) (i64.const -1) (i32.const {TEXT}) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const {SCRATCH})))"
            );
        }
        let len = self.one_of(&[0, 0, 8, 60_000, 65_536]);
        let to = handle_at(self.one_of(&[2, 8]));
        if self.random.random_ratio(1, 3) {
            let options = self.one_of(&OPTIONS);
            return format!(
                "(drop (call $process.spawn (i32.const 1) (i32.const {ZEROS}) (i32.const {len}) (i32.const {options}) (i32.const {to})))"
            );
        }
        format!(
            "(drop (call $process.spawn_closure (i32.const 1) (i32.const {ZEROS}) (i32.const {len}) (i32.const {to})))"
        )
    }

    fn own(&mut self) -> String {
        match self.random.random_range(0..6) {
            0 => format!("(drop (memory.grow (i32.const {})))", self.one_of(&[1, 16, 64])),
            1 => format!("(drop (table.grow (ref.null func) (i32.const {})))", self.one_of(&[1000, 100_000])),
            2 => format!("(call $deep (i32.const {}))", self.one_of(&[100, 5_000, 10_000])),
            3 => "(memory.fill (i32.const 160000) (i32.const 7) (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 160000)))".into(),
            4 => "(drop (call $wasi_random_get (i32.const 160000) (i32.const 100000)))".into(),
            // Does nothing, so that a result stays in the buffer.
            _ => String::new(),
        }
    }

    fn call(&mut self, import: &Import) -> String {
        let mut arguments = String::new();
        let mut parameters = import.parameters.iter();
        let space = import.namespace.rsplit("::").next().unwrap_or_default();
        if import.takes_handle() {
            let at = handle_at(self.slot(space));
            let _ = write!(
                arguments,
                " (i64.load (i32.const {at})) (i64.load (i32.const {}))",
                at + 8
            );
            parameters.nth(1);
        }
        let mut len = 0;
        for parameter in parameters {
            let name = parameter.name.as_str();
            let value = match parameter.kind {
                Kind::Elements => {
                    let at;
                    (at, len) = self.text(space);
                    at
                }
                Kind::Word if name == "entry" => 1,
                // The number of elements that the previous argument points to.
                Kind::Word if name.contains("len") || name == "capacity" => len,
                Kind::Word => self.one_of(&[0, 1, 2, 3, 4, 16]),
                Kind::Place(_) if name == "options" => self.one_of(&OPTIONS),
                Kind::Place(_) if ["address", "group", "interface"].contains(&name) => ADDRESS,
                Kind::Place(16 | 24) if !self.is_compat => handle_at(self.slot(space)),
                Kind::Place(_) => SCRATCH,
                Kind::Long => {
                    let _ = write!(arguments, " {}", self.long(name));
                    continue;
                }
                Kind::Double => {
                    arguments += " (f64.const 1)";
                    continue;
                }
            };
            let _ = write!(arguments, " (i32.const {value})");
        }
        let call = format!("(call ${}{arguments})", import.label());
        if import.result.is_empty() {
            call
        } else {
            format!("(drop {call})")
        }
    }

    /// The address of handles of a namespace; sometimes of another.
    fn slot(&mut self, space: &str) -> u32 {
        let own: &[u32] = match space {
            "channel" => &[1, 1, 4],
            "net" => &[3, 6, 7],
            "module" => &[5],
            _ => &[0, 0, 2, 8],
        };
        let any = self.random.random_range(0..9);
        if self.random.random_ratio(1, 10) {
            any
        } else {
            self.one_of(own)
        }
    }

    /// Bytes to pass: address and length.
    fn text(&mut self, space: &str) -> (u32, u32) {
        let of_space: Vec<_> = (0..TEXTS.len()).filter(|&number| TEXTS[number].0 == space).collect();
        if !of_space.is_empty() && self.random.random_ratio(3, 4) {
            let number = self.one_of(&of_space);
            return (text_at(number), TEXTS[number].1.len() as u32);
        }
        self.one_of(&[
            (ZEROS, 0),
            (ZEROS, 8),
            (ZEROS, 1000),
            (ZEROS, 60_000),
            (ZEROS, 65_544),
            (ZEROS, 140_000),
            (NAME, 8),
            (NAME, 200),
        ])
    }

    fn long(&mut self, name: &str) -> String {
        if self.is_compat {
            return format!("(i64.const {})", self.one_of(&[0, 0, 1, 1, 2, 3, 7, 1_000_000, -1]));
        }
        if name == "tag" && self.random.random() {
            return "(global.get $number)".into();
        }
        if name == "config_id" || name == "config_key" || name == "to_id" || name == "to_key" {
            let at = handle_at(if name.starts_with("to") { 2 } else { 7 });
            return format!(
                "(i64.load (i32.const {}))",
                if name.ends_with("id") { at } else { at + 8 }
            );
        }
        format!(
            "(i64.const {})",
            self.one_of(&[0i64, 7, 1000, 1_000_000, 1_000_000_000_000, -1])
        )
    }

    fn wasi(&mut self, at: usize) -> String {
        let (name, parameters) = PREVIEW_1[at];
        let mut arguments = String::new();
        let mut len = 0;
        for kind in parameters.chars() {
            let value = match kind {
                'f' => self.random.random_range(0..8),
                'p' => {
                    let place;
                    (place, len) = match name.starts_with("path") {
                        true => self.text("preview1"),
                        false => self.one_of(&[(PARTS, 1), (PARTS + 8, 2), (SCRATCH, 1), (160_000, 100_000)]),
                    };
                    place
                }
                'l' => len,
                'i' => self.one_of(&[0, 1, 2, 3, 8, 16]),
                _ => {
                    let _ = write!(arguments, " (i64.const {})", self.one_of(&[0, 1000, 100_000, -1]));
                    continue;
                }
            };
            let _ = write!(arguments, " (i32.const {value})");
        }
        format!("(drop (call $wasi_{name}{arguments}))")
    }
}
