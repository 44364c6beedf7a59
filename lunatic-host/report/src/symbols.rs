//! Names, files and lines for places in a module, looked up on demand.
//!
//! Wasmtime can do this when a trap happens (`Config::wasm_backtrace_details`), but reads the debug information again
//! for each frame of each trap: 15 to 35 ms for one trap of a small program, while the trap itself takes 0.07 ms. This
//! is too slow for a system in which processes are meant to crash. So it is disabled in the engine, and crash reports
//! use this module: nothing is read before the first report, and each place is looked up once.
//!
//! A place is a function index and an offset in that function, both in the module *as the user built it*. If the host
//! adds imports when it loads a module, `Symbols::resolve` subtracts them; adding functions, globals or exports at the
//! end changes nothing. Inserting instructions into existing functions would make lines inexact, but not wrong for
//! other functions.
//!
//! Debug information can stand for very much more than its own bytes: a line program of one byte makes a row of 24 bytes, and each file
//! of a unit gets a copy of the unit's folder. So lines are read only of programs that the host was started with. Of modules that
//! guests bring, functions have the names of the name section ([`Symbols::names_only`]).

use crate::Frame;
use addr2line::gimli;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// How many frames are cached. Beyond this, all are dropped and looked up again.
const FRAMES_KNOWN_MAX: usize = 4096;

/// The most functions at one place that were inlined into each other.
const INLINED_MAX: usize = 64;

/// Longer texts in the debug information, which guests choose, are cut to this many bytes.
const TEXT_LEN_MAX: usize = 4 << 10;

/// A function, or one that was inlined into it, and the place in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Symbol {
    /// The mangled name.
    pub(crate) name: Option<String>,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
    pub(crate) column: Option<u32>,
}

/// A place in a compiled module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The index of the function, where imports come first.
    pub(crate) function: u32,
    /// The offset in bytes from the beginning of the function's body.
    pub(crate) offset: u32,
    /// How many functions the compiled module imports.
    pub(crate) imports: u32,
}

/// A place in a module as the user built it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CodePlace {
    /// The index of the function, where imports come first.
    pub function: u32,
    /// The offset in bytes from the beginning of the function's body.
    pub offset: u32,
}

/// The debug information of a module. Cheap to make; read on first use.
pub struct Symbols {
    wasm: Arc<[u8]>,
    layout: OnceLock<Layout>,
    /// The frames of each place that was in an earlier backtrace.
    places: Mutex<Places>,
    advised: AtomicBool,
    /// Whether debug information is read.
    reads_lines: bool,
}

/// Frames by place.
#[derive(Default)]
struct Places {
    frames: HashMap<Place, Arc<[Frame]>>,
    /// The number of frames of all places, plus the number of places.
    len: usize,
}

/// The positions of parts of the module's file.
#[derive(Default)]
struct Layout {
    /// The number of imported functions.
    imports: u32,
    /// The start of each function's body, counted from the start of the code section, as in DWARF.
    bodies: Vec<u32>,
    /// Custom sections with DWARF, by name.
    sections: HashMap<String, Range<usize>>,
}

impl Symbols {
    /// Returns the symbols of the module in `wasm`, as the user built it.
    pub fn new(wasm: impl Into<Arc<[u8]>>) -> Self {
        Self {
            wasm: wasm.into(),
            layout: OnceLock::new(),
            places: Mutex::default(),
            advised: AtomicBool::new(false),
            reads_lines: true,
        }
    }

    /// Returns the symbols of a module that a stranger may have made: its debug information is not read, so its functions have
    /// names, but neither files nor lines.
    pub fn names_only(wasm: impl Into<Arc<[u8]>>) -> Self {
        Self {
            // It cannot be built with something that is not read.
            advised: AtomicBool::new(true),
            reads_lines: false,
            ..Self::new(wasm)
        }
    }

    /// Returns the frames at each place; none for a place in a function that the host has added. `frames` converts the
    /// symbols of the place with an index (the innermost first where functions were inlined, none if nothing is known);
    /// its result is cached.
    pub(crate) fn resolve(
        &self,
        places: &[Place],
        frames: impl Fn(usize, &[Symbol]) -> Vec<Frame>,
    ) -> Vec<Arc<[Frame]>> {
        let layout = self.layout();
        // Made at most once per backtrace, and only if it contains places that were not in an earlier one.
        let mut context = None;
        let mut look_up = |place: &Place| {
            let context = context.get_or_insert_with(|| {
                let lines = self.reads_lines.then(|| layout.context(&self.wasm));
                lines.flatten()
            });
            context
                .as_ref()
                .and_then(|context| Some(symbols(context, layout.address(place)?)))
                .unwrap_or_default()
        };
        let mut known = self.places.lock();
        if known.len > FRAMES_KNOWN_MAX {
            *known = Places::default();
        }
        let Places { frames: known, len } = &mut *known;
        let mut resolve = |(index, place): (usize, &Place)| {
            let frames = || {
                let frames: Arc<[Frame]> = match layout.is_added(place) {
                    true => Arc::from([]),
                    false => frames(index, &look_up(place)).into(),
                };
                *len += frames.len() + 1;
                frames
            };
            known.entry(*place).or_insert_with(frames).clone()
        };
        places.iter().enumerate().map(&mut resolve).collect()
    }

    /// The place in the module as the user built it; `None` in a function that the host has added.
    pub(crate) fn in_file(&self, place: &Place) -> Option<CodePlace> {
        let layout = self.layout();
        let index = layout.index(place).filter(|_| !layout.is_added(place))?;
        Some(CodePlace {
            function: u32::try_from(index).ok()?.checked_add(layout.imports)?,
            offset: place.offset,
        })
    }

    /// True the first time only: advice about debug information is given once.
    pub(crate) fn advise(&self) -> bool {
        !self.advised.swap(true, Ordering::Relaxed)
    }

    fn layout(&self) -> &Layout {
        // A module that cannot be read has no symbols; the error is reported where the module is loaded.
        self.layout.get_or_init(|| Layout::read(&self.wasm).unwrap_or_default())
    }
}

impl Layout {
    fn read(wasm: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        use wasmparser::{Payload, TypeRef};
        let mut layout = Self::default();
        let mut code_start = 0;
        for payload in wasmparser::Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        layout.imports += u32::from(matches!(import?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)));
                    }
                }
                Payload::CodeSectionStart { range, .. } => code_start = range.start,
                Payload::CodeSectionEntry(body) => layout.bodies.push((body.range().start - code_start) as u32),
                Payload::CustomSection(section) if section.name().starts_with(".debug_") => {
                    layout
                        .sections
                        .insert(section.name().into(), section.data_offset()..section.range().end);
                }
                _ => {}
            }
        }
        Ok(layout)
    }

    /// The index of the body that contains a place, in the order of the module as the user built it.
    fn index(&self, place: &Place) -> Option<usize> {
        let added = place.imports.checked_sub(self.imports)?;
        let index = place.function.checked_sub(added)?.checked_sub(self.imports)?;
        Some(index as usize)
    }

    /// Whether the function does not exist in the module as the user built it; false if the module cannot be read.
    fn is_added(&self, place: &Place) -> bool {
        !self.bodies.is_empty() && self.index(place).is_some_and(|index| index >= self.bodies.len())
    }

    /// The address of a place as DWARF counts.
    fn address(&self, place: &Place) -> Option<u64> {
        let body = self.bodies.get(self.index(place)?)?;
        Some(u64::from(*body) + u64::from(place.offset))
    }

    fn context<'a>(&self, wasm: &'a [u8]) -> Option<Context<'a>> {
        if self.sections.is_empty() {
            return None;
        }
        let section = |id: gimli::SectionId| -> Result<_, gimli::Error> {
            let data = self
                .sections
                .get(id.name())
                .and_then(|range| wasm.get(range.clone()))
                .unwrap_or(&[]);
            Ok(gimli::EndianSlice::new(data, gimli::LittleEndian))
        };
        addr2line::Context::from_dwarf(gimli::Dwarf::load(section).ok()?).ok()
    }
}

type Context<'a> = addr2line::Context<gimli::EndianSlice<'a, gimli::LittleEndian>>;

fn symbols(context: &Context<'_>, address: u64) -> Vec<Symbol> {
    let Ok(mut frames) = context.find_frames(address).skip_all_loads() else {
        return Vec::new();
    };
    let mut symbols = Vec::new();
    while let Ok(Some(frame)) = frames.next()
        && symbols.len() < INLINED_MAX
    {
        let name = frame.function.as_ref().and_then(|function| function.raw_name().ok());
        let location = frame.location.as_ref();
        symbols.push(Symbol {
            name: name.map(|name| short(&name)),
            file: location.and_then(|location| location.file).map(short),
            line: location.and_then(|location| location.line),
            column: location.and_then(|location| location.column),
        });
    }
    symbols
}

/// The beginning of a text that a guest chose.
pub(crate) fn short(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_LEN_MAX)].to_owned()
}
