//! `lunatic/abi.h` has the functions of the contract with their names and types, as a compiler of C sees them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use lunatic_tests::host::Host;
use lunatic_tests::imports;
use wasmparser::{Parser, Payload, TypeRef, ValType};

use crate::toolchains::clang;

/// Namespace and name of each import, and its type in words.
type Imports = BTreeMap<(String, String), String>;

/// Calls each function of the contract by the name that it has in C.
fn program() -> String {
    let mut code = "#include <lunatic.h>\nvoid (*volatile all[])(void) = {\n".to_owned();
    for import in imports::all() {
        let name = import.label().replace('.', "_");
        let _ = writeln!(code, "    (void (*)(void))lunatic_{name},");
    }
    code + "};\nint main(void) { return all[0] == 0; }\n"
}

fn compiled(folder: &Path) -> Vec<u8> {
    let (source, program_file) = (folder.join("all.c"), folder.join("all.wasm"));
    std::fs::write(&source, program()).unwrap();
    let mut compiler = clang();
    // Functions of any type are put into one list.
    let done = compiler
        .arg("-Wno-cast-function-type")
        .arg(&source)
        .arg("-o")
        .arg(&program_file);
    let done = done.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    std::fs::read(&program_file).unwrap()
}

fn imports_of(wasm: &[u8]) -> Imports {
    let (mut types, mut found) = (Vec::new(), Imports::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.unwrap() {
            Payload::TypeSection(section) => {
                types.extend(section.into_iter_err_on_gc_types().map(|ty| {
                    let ty = ty.unwrap();
                    words(ty.params().iter().copied(), ty.results().iter().copied())
                }));
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.unwrap();
                    let TypeRef::Func(ty) = import.ty else {
                        panic!("{import:?} is no function")
                    };
                    let name = (import.module.to_owned(), import.name.to_owned());
                    found.insert(name, types[ty as usize].clone());
                }
            }
            _ => {}
        }
    }
    found.retain(|(module, _), _| module.starts_with("lunatic::"));
    found
}

fn words(parameters: impl Iterator<Item = ValType>, results: impl Iterator<Item = ValType>) -> String {
    let list = |types: &mut dyn Iterator<Item = ValType>| types.map(|ty| ty.to_string()).collect::<Vec<_>>().join(" ");
    let (mut parameters, mut results) = (parameters, results);
    format!("{} -> {}", list(&mut parameters), list(&mut results))
}

#[test]
fn the_header_has_each_function_of_the_contract_with_its_type() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = compiled(folder.path());
    let expected: Imports = imports::all()
        .iter()
        .map(|import| {
            let parameters: Vec<_> = import.parameters.iter().map(|parameter| parameter.kind.wat()).collect();
            let name = (import.namespace.clone(), import.name.clone());
            (name, format!("{} -> {}", parameters.join(" "), import.result))
        })
        .collect();
    assert_eq!(imports_of(&wasm), expected);
    // And the host offers all of them.
    let program = Host::shared().program(&wasm);
    program.run().normal();
}
