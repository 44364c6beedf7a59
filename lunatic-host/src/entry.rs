//! How a process begins: with a closure, with an exported function, with a part of a component, or with a request to
//! answer.

use std::sync::Arc;

use lunatic_module::entries::EntryName;
use smallvec::SmallVec;

use crate::request::{self, Request};

/// The values that a spawned closure captured, as bytes.
pub(crate) type Captured = SmallVec<[u8; 48]>;

/// What a process calls first.
#[derive(Debug)]
pub enum Entry {
    /// An index into the function table, of type `() -> ()`, and the captured values.
    Closure(u32, Captured),
    /// An exported function of type `() -> ()`.
    Export(Box<str>),
    /// An exported function with arguments.
    Call(Box<Call>),
    /// A part of a component, which it chooses by the name.
    Named(Box<Named>),
    /// The handler of a component, with the request that it answers.
    Request(Box<Request>),
}

/// The entry of a process without the values that came with it.
#[derive(Debug, Clone)]
pub(crate) enum Began {
    /// An index into the function table.
    Closure(u32),
    /// An exported function.
    Export(Arc<str>),
    /// A function of a former version, by its name.
    Former(Option<Box<EntryName>>),
}

impl Entry {
    /// The bytes that it takes up in addition to the record of its process. The name of an export is kept for the life
    /// of the process.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Closure(_, captured) if captured.spilled() => captured.capacity(),
            Self::Closure(..) => 0,
            Self::Export(name) => 2 * name.len(),
            Self::Call(call) => 2 * call.name.len() + call.arguments.capacity() * size_of::<Argument>(),
            Self::Named(named) => 2 * named.name.len() + named.argument.capacity(),
            Self::Request(request) => request.size(),
        }
    }

    /// The part that is kept for the life of the process.
    pub(crate) fn began(&self) -> Began {
        match self {
            Self::Closure(index, _) => Began::Closure(*index),
            Self::Export(name) => Began::Export((**name).into()),
            Self::Call(call) => Began::Export((*call.name).into()),
            Self::Named(named) => Began::Export((*named.name).into()),
            Self::Request(_) => Began::Export(request::ENTRY.into()),
        }
    }
}

/// An exported function with arguments.
#[derive(Debug)]
pub struct Call {
    /// The name of the export.
    pub name: Box<str>,
    /// Its arguments.
    pub arguments: Vec<Argument>,
}

/// What a component is given in a process that one of its processes has spawned.
#[derive(Debug)]
pub struct Named {
    /// The name of the part.
    pub name: Box<str>,
    /// The bytes for it.
    pub argument: Vec<u8>,
}

/// A number as its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// An `i32` or the bits of an `f32`.
    I32(i32),
    /// An `i64` or the bits of an `f64`.
    I64(i64),
    /// A vector.
    V128(u128),
}
