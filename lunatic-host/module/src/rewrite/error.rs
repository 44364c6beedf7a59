//! Errors of files that are not modules that Lunatic can run.

use std::fmt;

use wasmparser::{Parser, Validator, WasmFeatures};

use super::{MODULE_SIZE_MAX, RESERVED_PREFIX};

/// Why a module cannot be run.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RewriteError {
    /// The file is something else.
    NotWasm {
        /// What it looks like, with advice.
        looks_like: Option<&'static str>,
    },
    /// It is a WebAssembly file of an unknown version.
    Version {
        /// The version in the file; the only known one is 1.
        version: u32,
    },
    /// It is a component where a core module is expected.
    Component,
    /// It is a component of a kind that cannot be run.
    NoProgram {
        /// Why, with advice.
        why: String,
    },
    /// The file is larger than [`MODULE_SIZE_MAX`].
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// It has too many items of one kind.
    TooMany {
        /// The kind.
        what: &'static str,
        /// The limit.
        max: u32,
    },
    /// Compiling a function would take disproportionately long.
    TooComplex {
        /// Its index.
        function: u32,
        /// The quantity that is too large.
        what: &'static str,
        /// Its value.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// The file is truncated.
    Truncated {
        /// Its size in bytes.
        size: usize,
        /// The offset of the incomplete section.
        section: usize,
    },
    /// It uses a WebAssembly feature that guests may not use.
    Unsupported {
        /// The offset.
        offset: usize,
        /// The feature.
        message: String,
    },
    /// It is not a valid module.
    Malformed {
        /// The offset.
        offset: usize,
        /// The error.
        message: String,
    },
    /// It exports a name that is reserved for the host.
    ReservedExport {
        /// The name.
        name: String,
    },
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWasm { looks_like: None } => write!(f, "this is not a WebAssembly module"),
            Self::NotWasm { looks_like: Some(what) } => write!(f, "this is not a WebAssembly module but {what}"),
            Self::Version { version } => {
                write!(
                    f,
                    "this is WebAssembly of version {version}, but Lunatic supports only version 1"
                )
            }
            Self::Component => write!(f, "this is a component, but a core module is expected here"),
            Self::NoProgram { why } => write!(f, "the component cannot be run: {why}"),
            Self::TooLarge { size } => {
                write!(
                    f,
                    "the module has {size} bytes, more than the {MODULE_SIZE_MAX} that are allowed"
                )
            }
            Self::TooMany { what, max } => write!(f, "the module has more than {max} {what}"),
            Self::TooComplex {
                function,
                what,
                found,
                max,
            } => write!(
                f,
                "the function {function} would take too long to compile: it has {found} {what}, more than the {max} that \
                 are possible; split it, or build with optimisation"
            ),
            Self::Truncated { size, section } => write!(
                f,
                "the module is truncated: the section at offset {section:#x} goes on behind the end at {size:#x}, \
                 so build or copy it again"
            ),
            Self::Unsupported { offset, message } => write!(
                f,
                "the module uses a feature that Lunatic does not offer: {message} (at offset {offset:#x}); \
                 build it for the target wasm32-wasip1 without that feature"
            ),
            Self::Malformed { offset, message } => {
                write!(f, "the module is not valid: {message} (at offset {offset:#x})")
            }
            Self::ReservedExport { name } => write!(
                f,
                "the module exports {name:?}, and names that begin with {RESERVED_PREFIX:?} belong to Lunatic: \
                 choose another one, or use the file as it came from the compiler"
            ),
        }
    }
}

impl std::error::Error for RewriteError {}

/// Refuses a file that does not begin like a core module.
pub(super) fn check_header(wasm: &[u8]) -> Result<(), RewriteError> {
    check_size(wasm)?;
    if wasm.is_empty() || !b"\0asm".starts_with(&wasm[..wasm.len().min(4)]) {
        return Err(RewriteError::NotWasm {
            looks_like: looks_like(wasm),
        });
    }
    let Some(version) = wasm.get(4..8) else {
        return Err(RewriteError::Truncated {
            size: wasm.len(),
            section: 0,
        });
    };
    match version {
        [1, 0, 0, 0] => Ok(()),
        _ if Parser::is_component(wasm) => Err(RewriteError::Component),
        _ => Err(RewriteError::Version {
            version: u32::from_le_bytes([version[0], version[1], version[2], version[3]]),
        }),
    }
}

/// Refuses a file that is larger than any module.
pub(super) fn check_size(wasm: &[u8]) -> Result<(), RewriteError> {
    match wasm.len() > MODULE_SIZE_MAX {
        true => Err(RewriteError::TooLarge { size: wasm.len() }),
        false => Ok(()),
    }
}

/// Recognises files that people run by mistake.
fn looks_like(file: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 8] = [
        (b"\x7fELF", "a native program: build it for the target wasm32-wasip1"),
        (b"MZ", "a native program: build it for the target wasm32-wasip1"),
        (
            b"\xcf\xfa\xed\xfe",
            "a native program: build it for the target wasm32-wasip1",
        ),
        (
            b"\xca\xfe\xba\xbe",
            "a native program: build it for the target wasm32-wasip1",
        ),
        (b"#!", "a script: give the .wasm file it would start"),
        (b"PK", "an archive: unpack it first"),
        (b"\x1f\x8b", "a compressed file: unpack it first"),
        (b"!<arch>", "a library: give the .wasm file of a program"),
    ];
    if file.is_empty() {
        return Some("an empty file: build it again");
    }
    KNOWN
        .iter()
        .find(|(begin, _)| file.starts_with(begin))
        .map(|(_, what)| *what)
}

/// Determines what a validation error means for the person who built the module. Slow: for modules that are refused.
pub(super) fn diagnose(wasm: &[u8], error: wasmparser::Error) -> RewriteError {
    if let Some(section) = cut_section(wasm) {
        return RewriteError::Truncated {
            size: wasm.len(),
            section,
        };
    }
    let message = error.message().to_owned();
    let offset = error.offset();
    if Validator::new_with_features(WasmFeatures::all())
        .validate_all(wasm)
        .is_ok()
    {
        RewriteError::Unsupported { offset, message }
    } else {
        RewriteError::Malformed { offset, message }
    }
}

/// The offset of a section whose declared length exceeds the rest of the file.
fn cut_section(wasm: &[u8]) -> Option<usize> {
    let mut at = 8;
    while at < wasm.len() {
        let section = at;
        let mut size = 0usize;
        let mut shift = 0;
        at += 1;
        loop {
            let Some(byte) = wasm.get(at) else { return Some(section) };
            at += 1;
            size |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 28 {
                return None;
            }
        }
        at = at.checked_add(size)?;
        if at > wasm.len() {
            return Some(section);
        }
    }
    None
}
