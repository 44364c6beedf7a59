//! Names of entries, by which the same entry can be found in another version of a module.
//!
//! A process begins with an exported function, or with a function of the module's table, as closures do. An export has
//! a name. A function of the table has an index, and indexes change with every change of the program: entry 7 of one
//! build is something else in the next. So [`Entries`] gives each of them an [`EntryName`].
//!
//! # How functions of the table are named
//!
//! 1. An imported function by its two names.
//! 2. A function that the name section names by that name, demangled, without what a compiler adds to distinguish
//!    builds: the hash of Rust's legacy mangling (`h0123456789abcdef`), and the disambiguators of crates in its v0
//!    mangling.
//! 3. Any other function by the hash of its body.
//!
//! Functions that share a name are distinguished by the order of their indexes ([`EntryName::Function::ordinal`]).
//!
//! # What is guaranteed, and what is not
//!
//! Within a module, names and indexes correspond one to one. In another version of the module:
//!
//! - A name that is not shared is found wherever it is now. The programmer must ensure that its function still does the
//!   same, and reads captured values in the same layout.
//! - A name that is shared is found only if the same number of functions share it there. If one was added and another
//!   removed, the wrong one is found.
//! - Rust numbers the closures of a function in their order. If one is inserted before it, `{closure#1}` becomes
//!   `{closure#2}`, and its old name finds the new one.
//! - With the legacy mangling, which is the default of stable Rust as of 1.95, names do not contain the types of
//!   generic functions. Since all closures are entered through one generic function of the SDK, they all share one
//!   name. With `-Csymbol-mangling-version=v0`, the name contains the path of the closure.
//! - Optimisers merge functions with the same code. Then one name stands for several closures, and which of their names
//!   that is may change.
//! - The hash of a body changes with the index of any function that it calls, so it finds an entry again only in nearly
//!   identical builds. Do not strip the name section (`strip = "symbols"`).

mod read;
mod symbol;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::identity::hex;

/// The most places of a table that [`Entries::of`] names.
pub const PLACES_MAX: usize = 1 << 20;

/// The name of an entry: a function of type `() -> ()` with which a process begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EntryName {
    /// An exported function, by the name of the export, which is looked up in every version of a module.
    Export(String),
    /// A function of the table.
    Function {
        /// Its symbol.
        symbol: Symbol,
        /// How many functions with lower indexes share the symbol.
        ordinal: u32,
        /// How many functions share the symbol.
        count: u32,
    },
}

/// The identification of a function, independent of its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Symbol {
    /// Its name, without what differs between builds.
    Name(String),
    /// BLAKE3 of its body, if it has no name.
    Body([u8; 32]),
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Export(name) => f.write_str(name),
            Self::Function { symbol, count: 1, .. } => write!(f, "{symbol}"),
            Self::Function { symbol, ordinal, count } => {
                write!(f, "{symbol} ({} of {count})", u64::from(*ordinal) + 1)
            }
        }
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Body(hash) => {
                f.write_str("function ")?;
                hex(f, &hash[..6])
            }
        }
    }
}

/// Why the entries of a module could not be named.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntriesError {
    /// The file is damaged, or not a module.
    Malformed {
        /// The offset of the error.
        offset: usize,
        /// The error.
        message: String,
    },
    /// More places of the table are filled than can be named.
    TooMany {
        /// The most places that can be named.
        max: usize,
    },
}

impl fmt::Display for EntriesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { offset, message } => {
                write!(f, "the module is not valid: {message} (at offset {offset:#x})")
            }
            Self::TooMany { max } => write!(f, "the module's table has more than {max} functions"),
        }
    }
}

impl std::error::Error for EntriesError {}

impl From<wasmparser::Error> for EntriesError {
    fn from(error: wasmparser::Error) -> Self {
        Self::Malformed {
            offset: error.offset(),
            message: error.message().to_owned(),
        }
    }
}

/// The functions of type `() -> ()` in a module's table, with their names.
///
/// These are the functions that the table contains when an instance begins. Functions that code adds later have no
/// name.
#[derive(Debug, Clone, Default)]
pub struct Entries {
    /// Each symbol with the indexes of its functions in the table; both in ascending order.
    symbols: Vec<(Symbol, Vec<u32>)>,
    /// The functions by their index in the table: the index of the symbol, and the ordinal.
    by_index: HashMap<u32, (u32, u32)>,
}

impl Entries {
    /// Reads the entries of a module.
    ///
    /// # Errors
    ///
    /// If the file is not a module, or its table is larger than compilers produce. Nothing in `wasm` can cause a panic.
    pub fn of(wasm: &[u8]) -> Result<Self, EntriesError> {
        Self::of_at_most(wasm, PLACES_MAX)
    }

    /// Like [`of`](Self::of), if at most `places_max` places of the table are filled.
    ///
    /// # Errors
    ///
    /// Those of [`of`](Self::of), and [`EntriesError::TooMany`] if more are filled.
    pub fn of_at_most(wasm: &[u8], places_max: usize) -> Result<Self, EntriesError> {
        let mut symbols = BTreeMap::<Symbol, Vec<u32>>::new();
        for (symbol, indexes) in read::functions(wasm, places_max)? {
            symbols.entry(symbol).or_default().extend(indexes);
        }
        let mut symbols: Vec<_> = symbols.into_iter().collect();
        let mut by_index = HashMap::new();
        for (place, (_, indexes)) in (0..).zip(&mut symbols) {
            indexes.sort_unstable();
            by_index.extend((0..).zip(&*indexes).map(|(ordinal, index)| (*index, (place, ordinal))));
        }
        Ok(Self { symbols, by_index })
    }

    /// Returns the name of the entry at `table_index`; `None` if there is no function of type `() -> ()`.
    pub fn name_of(&self, table_index: u32) -> Option<EntryName> {
        let (place, ordinal) = *self.by_index.get(&table_index)?;
        let (symbol, indexes) = self.symbols.get(place as usize)?;
        Some(EntryName::Function {
            symbol: symbol.clone(),
            ordinal,
            count: indexes.len() as u32,
        })
    }

    /// Returns the table index of the entry with this name.
    ///
    /// `None` if there is no such function, or if it cannot be distinguished from others: the same number of functions
    /// must share its symbol here and where the name comes from. Always `None` for an export, which has no index:
    /// instances find it by its name.
    pub fn find(&self, name: &EntryName) -> Option<u32> {
        let EntryName::Function { symbol, ordinal, count } = name else {
            return None;
        };
        let place = self.symbols.binary_search_by(|(other, _)| other.cmp(symbol)).ok()?;
        let (_, indexes) = self.symbols.get(place)?;
        let is_as_shared = indexes.len() == *count as usize;
        indexes.get(*ordinal as usize).copied().filter(|_| is_as_shared)
    }

    /// Returns its approximate size in memory in bytes.
    pub fn size(&self) -> usize {
        // The map is at least half full.
        const BY_INDEX: usize = 2 * (size_of::<(u32, (u32, u32))>() + 1);
        let names = self.symbols.iter().map(|(symbol, indexes)| {
            let name = match symbol {
                Symbol::Name(name) => name.len(),
                Symbol::Body(_) => 0,
            };
            size_of::<(Symbol, Vec<u32>)>() + name + indexes.capacity() * size_of::<u32>()
        });
        names.sum::<usize>() + self.by_index.len() * BY_INDEX
    }

    /// Returns the table indexes of all entries, in no particular order.
    pub fn indexes(&self) -> impl Iterator<Item = u32> {
        self.by_index.keys().copied()
    }
}
