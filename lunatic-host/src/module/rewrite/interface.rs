//! Which interface a module was built for: what it imports tells.

use lunatic_sys::compat::{FUNCTIONS, Function};
use wasmparser::{FuncType, ValType};

/// Namespaces of the interface of Lunatic 0.13 in which this one has functions, too.
const SHARED: [&str; 3] = ["process", "timer", "registry"];

/// Whether an imported function belongs to the interface of Lunatic 0.13 and 0.14.
pub(super) fn is_of_013(namespace: &str, name: &str, ty: &FuncType) -> bool {
    let Some(namespace) = namespace.strip_prefix("lunatic::") else {
        return false;
    };
    let mut own = FUNCTIONS.iter().filter(|function| function.namespace == namespace);
    match SHARED.contains(&namespace) {
        true => own.any(|function| function.name == name && has_type(function, ty)),
        false => own.next().is_some(),
    }
}

fn has_type(function: &Function, ty: &FuncType) -> bool {
    fn types(letters: &str) -> impl Iterator<Item = ValType> {
        letters.chars().map(|letter| match letter {
            'I' => ValType::I64,
            'f' => ValType::F64,
            _ => ValType::I32,
        })
    }
    types(function.parameters).eq(ty.params().iter().copied())
        && types(function.result).eq(ty.results().iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_one_name_are_told_apart_by_their_types() {
        use ValType::{I32, I64};
        let ours = FuncType::new([I64, I64], [I32]);
        assert!(!is_of_013("lunatic::process", "link", &ours));
        assert!(is_of_013("lunatic::process", "link", &FuncType::new([I64, I64], [])));
        assert!(!is_of_013("lunatic::process", "next", &FuncType::new([], [I32])));
        assert!(is_of_013("lunatic::message", "unknown", &ours));
        assert!(!is_of_013("wasi_snapshot_preview1", "fd_write", &ours));
    }
}
