//! Readable backtraces of guests: demangled, with short paths, without the frames that are the same in all of them.

use crate::symbols::{CodePlace, Place, Symbol, Symbols, short};
use crate::untrusted;
use std::fmt::{self, Write};
use std::sync::Arc;
use wasmtime::{FrameInfo, Module, WasmBacktrace};

/// How many frames the engine records (`Config::wasm_backtrace_max_frames`). A panic of a Rust guest has about 20
/// frames of std alone; of a deep recursion, this shows the innermost part. More would make each trap slower.
pub const FRAMES_MAX: usize = 128;

/// The most lines of a backtrace, unless all are requested.
const SHOWN_MAX: usize = 40;

/// The longest cycle of functions that is recognised as a recursion.
const CYCLE_MAX: usize = 8;

/// How often a cycle must be repeated before it is folded.
const REPEATS_MIN: usize = 3;

/// Names are padded to at most this many columns, so that locations are aligned.
const NAME_WIDTH_MAX: usize = 48;

/// A function that was active when the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its demangled name, or `function 17` if only its index is known.
    pub function: String,
    /// The source file, shortened.
    pub file: Option<String>,
    /// From 1.
    pub line: Option<u32>,
    /// From 1; 0 or none if unknown.
    pub column: Option<u32>,
    /// Whether the source file belongs to Rust's own library.
    pub library: bool,
}

/// The functions that were active when a process ended, innermost first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backtrace {
    /// The frames; inlined functions have frames, too.
    pub frames: Vec<Frame>,
    /// Whether there were more frames than the engine records.
    pub cut: bool,
}

impl Backtrace {
    /// The backtrace of a trap or of a host function's error, if the engine recorded one.
    pub(crate) fn new(error: &wasmtime::Error, symbols: Option<&Symbols>) -> Self {
        let recorded = error.downcast_ref::<WasmBacktrace>();
        recorded.map_or_else(Self::default, |recorded| Self::of(recorded, symbols))
    }

    /// Adds names and lines to what the engine recorded. May read the debug information of the module, so workers must
    /// not call this.
    pub fn of(recorded: &WasmBacktrace, symbols: Option<&Symbols>) -> Self {
        let recorded: Vec<Recorded> = recorded.frames().iter().map(Recorded::of).collect();
        let cut = recorded.len() >= FRAMES_MAX;
        let resolved = resolve(&recorded.iter().collect::<Vec<_>>(), symbols);
        Self {
            frames: resolved.iter().flat_map(|frames| frames.iter().cloned()).collect(),
            cut,
        }
    }

    /// Whether neither a name nor a line is known for any frame.
    pub(crate) fn is_anonymous(&self) -> bool {
        !self.frames.is_empty()
            && self
                .frames
                .iter()
                .all(|f| f.file.is_none() && f.function.starts_with("function "))
    }

    /// Whether the innermost frames are a recursion as deep as was recorded.
    pub(crate) fn is_recursion(&self) -> bool {
        cycle(&self.frames[self.frames.len().min(1)..]).is_some_and(|(len, times)| len * times * 2 > self.frames.len())
    }

    /// Writes the lines of the report. With `all`, every frame is shown.
    pub(crate) fn write(&self, f: &mut fmt::Formatter<'_>, all: bool) -> fmt::Result {
        let shown = if all {
            0..self.frames.len()
        } else {
            interesting(&self.frames)
        };
        let hidden = self.frames.len() - shown.len();
        write_frames(f, &self.frames[shown], all)?;
        if self.cut {
            writeln!(f, "  … the frames that called these were not recorded")?;
        }
        if hidden > 0 {
            let frames = if hidden == 1 { "frame" } else { "frames" };
            writeln!(f, "  … {hidden} {frames} hidden; LUNATIC_BACKTRACE=full shows them")?;
        }
        Ok(())
    }
}

/// Formats the lines of a report, without those that are the same in each.
impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, crate::full_backtraces())
    }
}

/// Writes a line for each frame. Unless `all` is set, cycles are folded and a long list is cut.
fn write_frames(f: &mut fmt::Formatter<'_>, frames: &[Frame], all: bool) -> fmt::Result {
    let widths = frames.iter().map(|frame| frame.function.chars().count());
    let width = widths.max().unwrap_or(0).min(NAME_WIDTH_MAX);
    let mut at = 0;
    let mut lines = 0;
    while at < frames.len() {
        if !all && lines == SHOWN_MAX {
            writeln!(f, "  … {} more frames", frames.len() - at)?;
            break;
        }
        match cycle(&frames[at..]) {
            Some((len, times)) if !all => {
                for (index, frame) in frames.iter().enumerate().skip(at).take(len) {
                    write_frame(f, index, frame, width)?;
                }
                let more = (times - 1) * len;
                match len {
                    1 => writeln!(f, "  … {more} more like the last")?,
                    _ => writeln!(f, "  … {more} more like the last {len}")?,
                }
                at += times * len;
                lines += len + 1;
            }
            _ => {
                write_frame(f, at, &frames[at], width)?;
                at += 1;
                lines += 1;
            }
        }
    }
    Ok(())
}

fn write_frame(f: &mut fmt::Formatter<'_>, index: usize, frame: &Frame, width: usize) -> fmt::Result {
    let Frame {
        function,
        file,
        line,
        column,
        ..
    } = frame;
    let function = untrusted::line(function).to_string();
    let Some(file) = file.as_ref().map(untrusted::line) else {
        return writeln!(f, "{index:3}: {function}");
    };
    write!(f, "{index:3}: {function:width$}  {file}")?;
    if let Some(line) = line {
        write!(f, ":{line}")?;
        if let Some(column @ 1..) = column {
            write!(f, ":{column}")?;
        }
    }
    writeln!(f)
}

/// A place in a module as the engine recorded it, with what is needed to look it up later.
#[derive(Debug, Clone)]
pub struct Recorded {
    place: Place,
    /// The function's name in the module.
    name: Option<String>,
}

impl Recorded {
    /// Returns the place of a frame. Goes through all imports of the module.
    pub fn of(frame: &FrameInfo) -> Self {
        Self {
            place: place(frame),
            name: frame.func_name().map(short),
        }
    }

    /// Returns the index of a frame's function, and the offset in the function, which are unique within a module.
    pub fn place_of(frame: &FrameInfo) -> (u32, u32) {
        let offset = frame.func_offset().and_then(|offset| offset.try_into().ok());
        (frame.func_index(), offset.unwrap_or(0))
    }
}

/// Returns the functions at each of these places of one module: several, the innermost first, where functions were
/// inlined, and none in functions that the host has added to the module.
pub fn resolve(recorded: &[&Recorded], symbols: Option<&Symbols>) -> Vec<Arc<[Frame]>> {
    let shortener = Shortener::default();
    let make = |index: usize, symbols: &[Symbol]| shortener.frames(recorded[index], symbols);
    match symbols {
        Some(symbols) => {
            let places: Vec<Place> = recorded.iter().map(|recorded| recorded.place).collect();
            symbols.resolve(&places, make)
        }
        None => (0..recorded.len()).map(|index| make(index, &[]).into()).collect(),
    }
}

/// Returns where a process was that ended with `error`, the innermost place first, without functions that the host has
/// added.
pub fn places(error: &wasmtime::Error, symbols: &Symbols) -> Vec<CodePlace> {
    let frames = error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames);
    let frames = frames.unwrap_or_default().iter();
    frames.filter_map(|frame| symbols.in_file(&place(frame))).collect()
}

fn place(frame: &FrameInfo) -> Place {
    let (function, offset) = Recorded::place_of(frame);
    Place {
        function,
        offset,
        imports: imported_functions(frame.module()),
        in_file: frame.module_offset(),
    }
}

fn imported_functions(module: &Module) -> u32 {
    module.imports().filter(|import| import.ty().func().is_some()).count() as u32
}

/// The frames that interest a user: not what std does after a panic, and not what runs before `main`.
fn interesting(frames: &[Frame]) -> std::ops::Range<usize> {
    let mut start = frames
        .iter()
        .take_while(|frame| is_panic_machinery(&frame.function))
        .count();
    if start > 0 {
        // The panicking function belongs to the library: `Option::unwrap`, an index operator. The panic's location is
        // its caller.
        start += frames[start..].iter().take_while(|frame| frame.library).count();
    }
    let rest = &frames[start..];
    let mut end = rest
        .iter()
        .position(|frame| frame.function.contains("__rust_begin_short_backtrace"))
        .unwrap_or(rest.len());
    while end > 0 && is_start(&rest[end - 1].function) {
        end -= 1;
    }
    match end {
        // The idea of what is interesting does not apply here.
        0 => 0..frames.len(),
        end => start..start + end,
    }
}

fn is_panic_machinery(function: &str) -> bool {
    const EXACT: [&str; 4] = ["abort", "rust_begin_unwind", "rust_panic", "std::process::abort"];
    const STARTS: [&str; 18] = [
        "__rust_",
        "__rustc::",
        "alloc::alloc::handle_alloc_error",
        "alloc::raw_vec::capacity_overflow",
        "alloc::raw_vec::handle_error",
        "core::cell::panic_already",
        "core::option::expect_failed",
        "core::option::unwrap_failed",
        "core::panicking::",
        "core::result::unwrap_failed",
        "core::slice::index::slice_",
        "core::str::slice_error_fail",
        "std::alloc::",
        "std::panic::panic_any",
        "std::panicking::",
        "std::rt::",
        "std::sys::backtrace::__rust_end_short_backtrace",
        "std::sys::pal::",
    ];
    EXACT.contains(&function) || STARTS.iter().any(|start| function.starts_with(start))
}

/// Whether a function is between the host and the function that the user wrote.
fn is_start(function: &str) -> bool {
    const EXACT: [&str; 5] = [
        "_start",
        "__main_void",
        "__main_argc_argv",
        "__original_main",
        "__wasm_call_ctors",
    ];
    EXACT.contains(&function)
        // Functions that the host has added to the module have no name.
        || function.starts_with("function ")
        || function.ends_with(".command_export")
        || function.starts_with("core::ops::function::")
        || (function.starts_with('<') && function.contains(" as core::ops::function::Fn"))
        || function.starts_with("std::rt::lang_start")
        || function.starts_with("lunatic::")
        || function.starts_with("<lunatic::")
}

/// If `frames` begin with a repeated cycle: its length, and the number of repetitions.
fn cycle(frames: &[Frame]) -> Option<(usize, usize)> {
    (1..=CYCLE_MAX).find_map(|len| {
        let first = frames.get(..len)?;
        let times = frames.chunks_exact(len).take_while(|chunk| *chunk == first).count();
        (times >= REPEATS_MIN).then_some((len, times))
    })
}

/// Shortens names and paths.
struct Shortener {
    /// The current folder of the host, with a trailing slash: paths inside it become relative.
    here: Option<String>,
}

impl Default for Shortener {
    fn default() -> Self {
        let here = std::env::current_dir()
            .ok()
            .and_then(|path| path.into_os_string().into_string().ok());
        Self {
            here: here.map(|path| format!("{}/", path.trim_end_matches('/'))),
        }
    }
}

impl Shortener {
    fn frames(&self, recorded: &Recorded, found: &[Symbol]) -> Vec<Frame> {
        let own = || match &recorded.name {
            Some(name) => demangle(name),
            None => format!("function {}", recorded.place.function),
        };
        if found.is_empty() {
            return vec![Frame {
                function: own(),
                file: None,
                line: None,
                column: None,
                library: false,
            }];
        }
        let last = found.len() - 1;
        let frame = |(index, symbol): (usize, &Symbol)| {
            let path = symbol.file.as_deref().map(|path| path.replace('\\', "/"));
            Frame {
                function: match &symbol.name {
                    Some(name) => demangle(name),
                    None if index == last => own(),
                    None => "(inlined)".into(),
                },
                library: path.as_deref().is_some_and(|path| library(path).is_some()),
                file: path.map(|path| self.shorten(&path).to_owned()),
                line: symbol.line,
                column: symbol.column,
            }
        };
        found.iter().enumerate().map(frame).collect()
    }

    fn shorten<'a>(&self, path: &'a str) -> &'a str {
        let after = |what: &str| path.find(what).map(|at| &path[at + what.len()..]);
        let own = self.here.as_deref().and_then(|here| path.strip_prefix(here));
        own.or_else(|| library(path))
            // Crates: …/registry/src/INDEX/NAME-VERSION/src/… and …/git/checkouts/NAME-HASH/COMMIT/src/…
            .or_else(|| {
                after("/registry/src/")
                    .and_then(|rest| rest.split_once('/'))
                    .map(|(_, rest)| rest)
            })
            .or_else(|| after("/git/checkouts/"))
            .or_else(|| {
                path.starts_with("wasisdk://")
                    .then(|| after("/src/wasi-libc/"))
                    .flatten()
            })
            .unwrap_or(path)
    }
}

/// The path inside Rust's own library: of /rustc/HASH/library/std/src/…, or …/lib/rustlib/src/rust/library/std/src/…
fn library(path: &str) -> Option<&str> {
    let shipped = path
        .strip_prefix("/rustc/")
        .and_then(|rest| rest.split_once("/library/"))
        .map(|(_, rest)| rest);
    shipped.or_else(|| path.split_once("/rustlib/src/rust/library/").map(|(_, rest)| rest))
}

/// Longer names, in bytes, are cut before and after demangling. Guests choose names, and a few bytes of a mangled name
/// can stand for very many.
const NAME_LEN_MAX: usize = 1 << 10;

/// The name as the user wrote it: of Rust (both manglings, without the hash) or C++.
fn demangle(name: &str) -> String {
    let name = &name[..name.floor_char_boundary(NAME_LEN_MAX)];
    let mut short = Short::default();
    // Both fail only where the name is cut.
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        let _ = write!(short, "{rust:#}");
        return short.text;
    }
    let options = cpp_demangle::DemangleOptions::default();
    let cpp = cpp_demangle::Symbol::new(name).ok();
    let cpp = cpp.map(|symbol| symbol.structured_demangle(&mut short, &options).is_ok() || short.is_cut);
    if cpp == Some(true) { short.text } else { name.into() }
}

/// The first [`NAME_LEN_MAX`] bytes of a text, and a mark if there is more.
#[derive(Default)]
struct Short {
    text: String,
    is_cut: bool,
}

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.is_cut {
            return Err(fmt::Error);
        }
        let fits = text.floor_char_boundary(NAME_LEN_MAX - self.text.len());
        self.text.push_str(&text[..fits]);
        if fits == text.len() {
            return Ok(());
        }
        self.text.push('…');
        self.is_cut = true;
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(functions: &[&str]) -> Vec<Frame> {
        let frame = |function: &&str| Frame {
            function: function.to_string(),
            file: Some("a.rs".into()),
            line: Some(1),
            column: Some(2),
            library: function.starts_with("library::"),
        };
        functions.iter().map(frame).collect()
    }

    #[test]
    fn names_of_any_length_stay_short() {
        // Each `S_` doubles what the name becomes: 2^40 in all.
        let cpp = format!(
            "_Z1f{}",
            (0..40).fold("St4pairIiiE".to_owned(), |name, at| {
                let before = if at == 0 {
                    "S_".to_owned()
                } else {
                    format!("S{}_", base36(at - 1))
                };
                format!("{name}St4pairI{before}{before}E")
            })
        );
        for name in [
            cpp,
            "x".repeat(1 << 20),
            format!("_ZN{}E", "1a".repeat(1 << 16)),
            "ä".repeat(1 << 16),
        ] {
            let shown = demangle(&name);
            assert!(shown.len() <= NAME_LEN_MAX + "…".len(), "{} bytes", shown.len());
        }
        assert_eq!(demangle("_ZN1a1bEi"), "a::b(int)");
    }

    fn base36(number: usize) -> String {
        char::from_digit(number as u32 % 36, 36).map_or_else(String::new, |digit| {
            let rest = if number >= 36 {
                base36(number / 36)
            } else {
                String::new()
            };
            format!("{rest}{}", digit.to_ascii_uppercase())
        })
    }

    struct Show(Backtrace, bool);
    impl fmt::Display for Show {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.write(f, self.1)
        }
    }

    #[test]
    fn names() {
        #[track_caller]
        fn check(name: &str, expected: &str) {
            assert_eq!(demangle(name), expected);
        }
        check("_ZN5panic5inner7handler17h93fe97fc51e43065E", "panic::inner::handler");
        check(
            "_RNvNtCsdHhIpgkcIfN_4core9panicking9panic_fmt",
            "core::panicking::panic_fmt",
        );
        check(
            "_RNCNvNtCset5xJoy1xWQ_3std9panicking13panic_handler0B5_",
            "std::panicking::panic_handler::{closure#0}",
        );
        check(
            "_ZN3std2rt10lang_start28_$u7b$$u7b$closure$u7d$$u7d$17h6b28a3f0ac772e10E.llvm.151",
            "std::rt::lang_start::{{closure}}",
        );
        check("_ZN4Game4moveEi", "Game::move(int)");
        check("abort", "abort");
        check("_ZN", "_ZN");
    }

    #[test]
    fn paths() {
        #[track_caller]
        fn check(path: &str, expected: &str) {
            let here = Some("/home/ada/app/".into());
            assert_eq!(Shortener { here }.shorten(path), expected);
        }
        check("/home/ada/app/src/main.rs", "src/main.rs");
        check("/home/ada/other/src/main.rs", "/home/ada/other/src/main.rs");
        check("src/main.rs", "src/main.rs");
        check(
            "/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/std/src/rt.rs",
            "std/src/rt.rs",
        );
        check(
            "/usr/lib/rustlib/src/rust/library/core/src/ops/function.rs",
            "core/src/ops/function.rs",
        );
        check(
            "/home/ada/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/serde-1.0.228/src/lib.rs",
            "serde-1.0.228/src/lib.rs",
        );
        check(
            "/home/ada/.cargo/git/checkouts/thing-1949cf8c/12ab34c/src/lib.rs",
            "thing-1949cf8c/12ab34c/src/lib.rs",
        );
        check(
            "wasisdk://v30.0/build/x/wasisdk://v30.0/src/wasi-libc/libc-bottom-half/sources/abort.c",
            "libc-bottom-half/sources/abort.c",
        );
    }

    #[test]
    fn what_is_hidden() {
        #[track_caller]
        fn check(functions: &[&str], expected: &[&str]) {
            let frames = frames(functions);
            let shown: Vec<_> = frames[interesting(&frames)]
                .iter()
                .map(|frame| frame.function.as_str())
                .collect();
            assert_eq!(shown, expected);
        }
        check(
            &[
                "abort",
                "std::process::abort",
                "__rustc::rust_panic",
                "core::panicking::panic_fmt",
                "app::f",
                "app::main",
                "core::ops::function::FnOnce::call_once",
                "std::sys::backtrace::__rust_begin_short_backtrace",
                "std::rt::lang_start",
                "_start",
            ],
            &["app::f", "app::main"],
        );
        check(
            &["app::f", "<std::collections::HashMap as app::T>::g", "_start"],
            &["app::f", "<std::collections::HashMap as app::T>::g"],
        );
        check(
            &[
                "__rust_start_panic",
                "core::panicking::panic",
                "library::Option::expect",
                "app::f",
            ],
            &["app::f"],
        );
        check(&["library::fmt", "app::f"], &["library::fmt", "app::f"]);
        check(&["work", "main", "__main_void", "_start"], &["work", "main"]);
        check(&["app::entry", "lunatic::process::run"], &["app::entry"]);
        // Nothing would be left.
        check(&["_start"], &["_start"]);
        check(&["abort", "_start"], &["abort", "_start"]);
        check(&[], &[]);
    }

    #[test]
    fn layout() {
        #[track_caller]
        fn check(functions: &[&str], cut: bool, all: bool, expected: &str) {
            let backtrace = Backtrace {
                frames: frames(functions),
                cut,
            };
            assert_eq!(Show(backtrace, all).to_string(), expected);
        }
        check(
            &["f", "long_name"],
            false,
            false,
            "  0: f          a.rs:1:2\n  1: long_name  a.rs:1:2\n",
        );
        check(
            &["f", "_start"],
            false,
            false,
            "  0: f  a.rs:1:2\n  … 1 frame hidden; LUNATIC_BACKTRACE=full shows them\n",
        );
        check(
            &["f", "_start"],
            false,
            true,
            "  0: f       a.rs:1:2\n  1: _start  a.rs:1:2\n",
        );
        check(
            &["f", "g", "g", "g", "g", "h"],
            false,
            false,
            "  0: f  a.rs:1:2\n  1: g  a.rs:1:2\n  … 3 more like the last\n  5: h  a.rs:1:2\n",
        );
        check(
            &["f", "g", "f", "g", "f", "g"],
            true,
            false,
            "  0: f  a.rs:1:2\n  1: g  a.rs:1:2\n  … 4 more like the last 2\n  … the frames that called these were not recorded\n",
        );
        let many: Vec<String> = (0..50).map(|index| format!("f{index}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let text = Show(
            Backtrace {
                frames: frames(&many),
                cut: false,
            },
            false,
        )
        .to_string();
        assert!(text.ends_with(" 39: f39  a.rs:1:2\n  … 10 more frames\n"), "{text}");
    }

    #[test]
    fn recursion() {
        let deep = Backtrace {
            frames: frames(&["f"; 50]),
            cut: true,
        };
        assert!(deep.is_recursion());
        let flat = Backtrace {
            frames: frames(&["f", "g", "h", "i"]),
            cut: false,
        };
        assert!(!flat.is_recursion());
        assert!(!Backtrace::default().is_recursion());
    }
}
