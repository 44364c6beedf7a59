//! Reads the functions in a module's table, and their names.

use std::collections::BTreeMap;

use wasmparser::{
    CompositeInnerType, ConstExpr, Element, ElementItems, ElementKind, KnownCustom, Name, NameSectionReader, Operator,
    Parser, Payload, Result, TypeRef, TypeSectionReader,
};

use super::{EntriesError, Symbol, symbol};

/// The largest total size of all names in bytes. Demangled names can be much longer than a file; functions beyond this
/// are named by their bodies.
const NAMES_SIZE_MAX: usize = 16 << 20;

/// Returns the functions of type `() -> ()` in table 0, each with its symbol and its indexes in the table.
pub(super) fn functions(wasm: &[u8], places_max: usize) -> Result<Vec<(Symbol, Vec<u32>)>, EntriesError> {
    let module = Module::read(wasm, places_max)?;
    let mut indexes = BTreeMap::<u32, Vec<u32>>::new();
    for (index, function) in module.table() {
        if module.is_entry(function) {
            indexes.entry(function).or_default().push(index);
        }
    }
    let mut names = module.names(|function| indexes.contains_key(&function));
    let named = indexes.into_iter().filter_map(|(function, indexes)| {
        let name = names.remove(&function).map(Symbol::Name);
        Some((name.or_else(|| module.body(function))?, indexes))
    });
    Ok(named.collect())
}

/// The parsed parts of a module, which need not be valid.
#[derive(Default)]
struct Module<'a> {
    /// For each type, whether it is `() -> ()`.
    void_types: Vec<bool>,
    /// The names of the imported functions.
    imports: Vec<(&'a str, &'a str)>,
    /// The type of each function, imported ones first.
    functions: Vec<u32>,
    /// The bodies of the functions that are not imported.
    bodies: Vec<&'a [u8]>,
    /// The contents that segments write to table 0, in order; `None` for an empty reference.
    segments: Vec<(u32, Option<u32>)>,
    names: Option<NameSectionReader<'a>>,
    /// The most places that segments may fill.
    places_max: usize,
}

impl<'a> Module<'a> {
    fn read(wasm: &'a [u8], places_max: usize) -> Result<Self, EntriesError> {
        let mut module = Self {
            places_max,
            ..Self::default()
        };
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::TypeSection(types) => module.read_types(types)?,
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        if let TypeRef::Func(ty) | TypeRef::FuncExact(ty) = import.ty {
                            module.imports.push((import.module, import.name));
                            module.functions.push(ty);
                        }
                    }
                }
                Payload::FunctionSection(functions) => {
                    for function in functions {
                        module.functions.push(function?);
                    }
                }
                Payload::ElementSection(segments) => {
                    for segment in segments {
                        module.read_segment(segment?)?;
                    }
                }
                Payload::CodeSectionEntry(body) => module.bodies.push(body.as_bytes()),
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(names) = section.as_known() {
                        module.names.get_or_insert(names);
                    }
                }
                _ => {}
            }
        }
        Ok(module)
    }

    fn read_types(&mut self, types: TypeSectionReader<'a>) -> Result<()> {
        for group in types {
            for ty in group?.types() {
                let is_void = match &ty.composite_type.inner {
                    CompositeInnerType::Func(ty) => ty.params().is_empty() && ty.results().is_empty(),
                    _ => false,
                };
                self.void_types.push(is_void);
            }
        }
        Ok(())
    }

    fn read_segment(&mut self, segment: Element<'a>) -> Result<(), EntriesError> {
        // Passive segments are written by code, if at all; some active ones are for other tables.
        let ElementKind::Active {
            table_index: None | Some(0),
            offset_expr,
        } = segment.kind
        else {
            return Ok(());
        };
        // A place that is not a plain number is known only in an instance.
        let Some(Operator::I32Const { value }) = single(&offset_expr)? else {
            return Ok(());
        };
        let places = value as u32..=u32::MAX;
        match segment.items {
            ElementItems::Functions(functions) => {
                for (place, function) in places.zip(functions) {
                    self.put(place, Some(function?))?;
                }
            }
            ElementItems::Expressions(_, expressions) => {
                for (place, expression) in places.zip(expressions) {
                    let function = match single(&expression?)? {
                        Some(Operator::RefFunc { function_index }) => Some(function_index),
                        _ => None,
                    };
                    self.put(place, function)?;
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, place: u32, function: Option<u32>) -> Result<(), EntriesError> {
        if self.segments.len() == self.places_max {
            return Err(EntriesError::TooMany { max: self.places_max });
        }
        self.segments.push((place, function));
        Ok(())
    }

    /// The contents of the table when an instance begins: where segments overlap, the last one counts.
    fn table(&self) -> BTreeMap<u32, u32> {
        let mut table = BTreeMap::new();
        for (place, function) in &self.segments {
            match function {
                Some(function) => table.insert(*place, *function),
                None => table.remove(place),
            };
        }
        table
    }

    /// Whether a process can begin with the function: whether it is of type `() -> ()`.
    fn is_entry(&self, function: u32) -> bool {
        let ty = self.functions.get(function as usize);
        ty.and_then(|ty| self.void_types.get(*ty as usize)) == Some(&true)
    }

    /// The names of the functions for which `is_wanted` returns true, if they have any.
    fn names(&self, is_wanted: impl Fn(u32) -> bool) -> BTreeMap<u32, String> {
        // Imported functions have their own names, which the name section cannot change.
        let imports = (0..).zip(&self.imports).filter(|(function, _)| is_wanted(*function));
        let mut names: BTreeMap<_, _> = imports
            .map(|(function, (namespace, name))| (function, format!("{namespace}::{name}")))
            .collect();

        // The name section is not validated: it is read up to the first error.
        let subsections = self.names.clone().into_iter().flatten().map_while(Result::ok);
        let namings = subsections.filter_map(|subsection| match subsection {
            Name::Function(namings) => Some(namings.into_iter().map_while(Result::ok)),
            _ => None,
        });
        let mut size_left = NAMES_SIZE_MAX;
        for naming in namings.flatten() {
            if !is_wanted(naming.index) || names.contains_key(&naming.index) {
                continue;
            }
            let Some(name) = symbol::stable(naming.name) else {
                continue;
            };
            let Some(rest) = size_left.checked_sub(name.len()) else {
                break;
            };
            size_left = rest;
            names.insert(naming.index, name);
        }
        names
    }

    fn body(&self, function: u32) -> Option<Symbol> {
        let index = (function as usize).checked_sub(self.imports.len())?;
        let body = self.bodies.get(index)?;
        Some(Symbol::Body(*blake3::hash(body).as_bytes()))
    }
}

/// The instruction of an expression that has only one.
fn single<'a>(expression: &ConstExpr<'a>) -> Result<Option<Operator<'a>>> {
    let mut operators = expression.get_operators_reader();
    let (operator, end) = (operators.read()?, operators.read()?);
    Ok(matches!(end, Operator::End).then_some(operator))
}
