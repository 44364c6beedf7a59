//! The interface that a module was built for, recognised by its imports.

use lunatic_module::imports::{FunctionType, Import, Imports, ValueType};
use lunatic_sys::compat::{FUNCTIONS, Function};

/// The namespaces in which both interfaces have functions.
const SHARED: [&str; 4] = ["process", "timer", "registry", "metrics"];

/// Whether a module with these imports was built for the interface of Lunatic 0.13 and 0.14.
pub(crate) fn is_ours(imports: &Imports) -> bool {
    imports.iter().any(|import| is_of_013(&import))
}

/// Whether an imported function belongs to the interface of Lunatic 0.13 and 0.14.
fn is_of_013(import: &Import<'_>) -> bool {
    let Some(namespace) = import.namespace.strip_prefix("lunatic::") else {
        return false;
    };
    let mut own = FUNCTIONS.iter().filter(|function| function.namespace == namespace);
    match SHARED.contains(&namespace) {
        true => own.any(|function| function.name == import.name && has_type(function, import.ty)),
        false => own.next().is_some(),
    }
}

fn has_type(function: &Function, ty: &FunctionType) -> bool {
    fn types(letters: &str) -> impl Iterator<Item = ValueType> {
        letters.chars().map(|letter| match letter {
            'I' => ValueType::I64,
            'f' => ValueType::F64,
            _ => ValueType::I32,
        })
    }
    types(function.parameters).eq(ty.parameters.iter().copied())
        && types(function.result).eq(ty.results.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::ValueType::{I32, I64};
    use super::*;

    #[test]
    fn functions_of_one_name_are_told_apart_by_their_types() {
        let check = |namespace: &str, name: &str, parameters: &[ValueType], results: &[ValueType], expected: bool| {
            let ty = &FunctionType::new(parameters, results);
            assert_eq!(
                is_of_013(&Import { namespace, name, ty }),
                expected,
                "{namespace} {name}"
            );
        };
        check("lunatic::process", "link", &[I64, I64], &[I32], false);
        check("lunatic::process", "link", &[I64, I64], &[], true);
        check("lunatic::process", "next", &[], &[I32], false);
        check("lunatic::metrics", "add", &[I32, I64], &[I32], false);
        check("lunatic::metrics", "counter", &[I32, I32, I64], &[], true);
        check("lunatic::message", "unknown", &[I64, I64], &[I32], true);
        check("wasi_snapshot_preview1", "fd_write", &[I64, I64], &[I32], false);
    }

    /// The whole way: from a file to the interface that it is linked with.
    #[test]
    fn one_import_of_the_old_interface_decides() {
        let check = |imports: &str, expected: bool| {
            let wasm = wat::parse_str(format!("(module {imports})")).unwrap();
            let facts = lunatic_module::rewrite::rewrite(&wasm).unwrap().facts;
            assert_eq!(is_ours(&facts.imports), expected, "{imports}");
        };
        let wasi = r#"(import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))"#;
        let ours = r#"(import "lunatic::process" "next" (func (result i32)))"#;
        let old = r#"(import "lunatic::message" "data_size" (func (result i64)))"#;
        check("", false);
        check(&[wasi, ours].concat(), false);
        check(&[wasi, ours, old].concat(), true);
    }
}
