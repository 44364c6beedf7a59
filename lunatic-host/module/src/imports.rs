//! The functions that a module imports.
//!
//! They show for which interface a module was built, and so with which implementation it must be linked. This crate
//! only records them: the embedder knows which interfaces there are.

use serde::{Deserialize, Serialize};
use wasmparser::{FuncType, ValType};

/// The functions that a module imports, in the module's order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imports {
    /// Functions refer to types by their index here. A type that many functions share is stored once: a file can refer
    /// to the same long type a million times, with a few bytes each.
    types: Vec<FunctionType>,
    functions: Vec<Function>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Function {
    namespace: String,
    name: String,
    ty: u32,
}

/// An imported function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Import<'a> {
    /// The first part of its name, such as `lunatic::process`.
    pub namespace: &'a str,
    /// The second part of its name, such as `next`.
    pub name: &'a str,
    /// Its type.
    pub ty: &'a FunctionType,
}

/// The parameters and results of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionType {
    /// The parameters.
    pub parameters: Vec<ValueType>,
    /// The results.
    pub results: Vec<ValueType>,
}

/// The type of a value, of those that [`features`](crate::rewrite::features) allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValueType {
    /// An integer of 32 bits.
    I32,
    /// An integer of 64 bits.
    I64,
    /// A floating point number of 32 bits.
    F32,
    /// A floating point number of 64 bits.
    F64,
    /// A vector of 128 bits.
    V128,
    /// A reference to a function, or null.
    FuncRef,
    /// Any other reference.
    Reference,
}

impl Imports {
    /// Iterates over all of them.
    pub fn iter(&self) -> impl Iterator<Item = Import<'_>> {
        self.functions.iter().filter_map(|function| {
            // A function without a type can come only from a damaged copy, and is left out.
            let ty = self.types.get(function.ty as usize)?;
            Some(Import {
                namespace: &function.namespace,
                name: &function.name,
                ty,
            })
        })
    }

    /// Adds a type and returns its index, for [`add`](Self::add).
    pub(crate) fn add_type(&mut self, ty: &FuncType) -> u32 {
        self.types.push(FunctionType::from(ty));
        (self.types.len() - 1) as u32
    }

    pub(crate) fn add(&mut self, namespace: &str, name: &str, ty: u32) {
        self.functions.push(Function {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ty,
        });
    }
}

impl FunctionType {
    /// Returns a type with these parameters and results.
    pub fn new(parameters: impl Into<Vec<ValueType>>, results: impl Into<Vec<ValueType>>) -> Self {
        Self {
            parameters: parameters.into(),
            results: results.into(),
        }
    }
}

impl From<&FuncType> for FunctionType {
    fn from(ty: &FuncType) -> Self {
        let values = |types: &[ValType]| types.iter().map(|ty| ValueType::from(*ty)).collect::<Vec<_>>();
        Self::new(values(ty.params()), values(ty.results()))
    }
}

impl From<ValType> for ValueType {
    fn from(ty: ValType) -> Self {
        match ty {
            ValType::I32 => Self::I32,
            ValType::I64 => Self::I64,
            ValType::F32 => Self::F32,
            ValType::F64 => Self::F64,
            ValType::V128 => Self::V128,
            ValType::Ref(ty) if ty == wasmparser::RefType::FUNCREF => Self::FuncRef,
            ValType::Ref(_) => Self::Reference,
        }
    }
}
