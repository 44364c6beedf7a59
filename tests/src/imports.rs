//! The functions that guests can import, read from the source of `lunatic-sys`. So a function cannot be added without
//! the tests that iterate over all of them.

use std::sync::OnceLock;

use lunatic_sys::compat::{FUNCTIONS, Function};
use lunatic_sys::layout::{
    HEADER_SIZE, RAW_HANDLE_SIZE, SOCKET_ADDRESS_SIZE, SPAWN_OPTIONS_SIZE, SPAWNED_SIZE, USAGE_SIZE,
};

/// A function of the contract.
#[derive(Debug)]
pub struct Import {
    /// Such as `lunatic::channel`.
    pub namespace: String,
    pub name: String,
    pub parameters: Vec<Parameter>,
    /// The type of the result in the text format; empty if there is none.
    pub result: &'static str,
}

/// A parameter: its name and kind.
#[derive(Debug)]
pub struct Parameter {
    pub name: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A pointer to bytes, or other elements of one size; the next parameter is their number.
    Elements,
    /// A pointer to one value of this size in bytes.
    Place(u32),
    /// `usize` or `i32`.
    Word,
    /// `u64`.
    Long,
    /// `f64`.
    Double,
}

impl Kind {
    /// The type in the text format.
    pub fn wat(self) -> &'static str {
        match self {
            Self::Long => "i64",
            Self::Double => "f64",
            Self::Elements | Self::Place(_) | Self::Word => "i32",
        }
    }
}

impl Import {
    /// The declaration in the text format; the function is named `$` and the [label](Self::label).
    pub fn wat(&self) -> String {
        let Import { namespace, name, .. } = self;
        let parameters: String = self
            .parameters
            .iter()
            .map(|parameter| format!(" {}", parameter.kind.wat()))
            .collect();
        let result = match self.result {
            "" => String::new(),
            result => format!(" (result {result})"),
        };
        format!(
            "(import \"{namespace}\" \"{name}\" (func ${} (param{parameters}){result}))\n",
            self.label()
        )
    }

    /// The name of the function in the text format: `channel.new`.
    pub fn label(&self) -> String {
        let last = self.namespace.rsplit("::").next().unwrap_or_default();
        format!("{last}.{}", self.name)
    }

    /// Whether the first two parameters are a handle.
    pub fn takes_handle(&self) -> bool {
        let names: Vec<_> = self
            .parameters
            .iter()
            .take(2)
            .map(|parameter| parameter.name.as_str())
            .collect();
        names == ["id", "key"]
    }
}

/// All functions of all namespaces.
pub fn all() -> &'static [Import] {
    static ALL: OnceLock<Vec<Import>> = OnceLock::new();
    ALL.get_or_init(|| {
        let folder = crate::workspace().join("lunatic-sys/src");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
            .iter()
            .flat_map(|file| parse(&std::fs::read_to_string(file).unwrap()))
            .collect()
    })
}

/// The declarations of all functions, for the beginning of a module.
pub fn declarations() -> String {
    declarations_of(all())
}

/// The functions of the interface of Lunatic 0.13. A module cannot import functions of both interfaces.
pub fn compat() -> &'static [Import] {
    static ALL: OnceLock<Vec<Import>> = OnceLock::new();
    ALL.get_or_init(|| FUNCTIONS.iter().map(compat_import).collect())
}

fn compat_import(function: &Function) -> Import {
    let parameters = function.parameters.chars().enumerate();
    let parameter = |(number, letter)| Parameter {
        // The names of parameters tell the tests which of them are lengths.
        name: if "lc".contains(letter) {
            format!("len{number}")
        } else {
            format!("{letter}{number}")
        },
        kind: match letter {
            'p' | 't' => Kind::Elements,
            '8' => Kind::Place(8),
            'a' | '4' => Kind::Place(4),
            '2' => Kind::Place(2),
            'I' => Kind::Long,
            'f' => Kind::Double,
            _ => Kind::Word,
        },
    };
    Import {
        namespace: format!("lunatic::{}", function.namespace),
        name: function.name.to_owned(),
        parameters: parameters.map(parameter).collect(),
        result: match function.result {
            "i" => "i32",
            "I" => "i64",
            _ => "",
        },
    }
}

/// The declarations of functions, for the beginning of a module.
pub fn declarations_of(imports: &[Import]) -> String {
    imports.iter().map(Import::wat).collect()
}

/// Parses the contents of `imports! { namespace "…"; fn …; }`.
fn parse(source: &str) -> Vec<Import> {
    let Some((_, block)) = source.split_once("crate::imports! {") else {
        return Vec::new();
    };
    let (_, block) = block
        .split_once("namespace \"")
        .expect("the block begins with the namespace");
    let (namespace, block) = block.split_once("\";").expect("the namespace ends");
    // The text after the block contains no declarations.
    let (block, _) = block.split_once("\n}").expect("the block ends");
    let code: String = block
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let functions = code.split("fn ").skip(1);
    functions.map(|function| import(namespace, function)).collect()
}

fn import(namespace: &str, function: &str) -> Import {
    let (name, rest) = function.split_once('(').expect("a function has parameters");
    let (parameters, rest) = rest.split_once(')').expect("the parameters end");
    let (result, _) = rest.split_once(';').expect("the declaration ends");
    let result = result.trim();
    assert!(
        ["", "-> i32", "-> usize"].contains(&result),
        "{namespace}::{name} returns {result:?}: teach the test"
    );
    let parameters = parameters.split(',').map(str::trim).filter(|text| !text.is_empty());
    Import {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        parameters: parameters.map(parameter).collect(),
        result: if result.is_empty() { "" } else { "i32" },
    }
}

fn parameter(text: &str) -> Parameter {
    let (name, ty) = text.split_once(": ").expect("a parameter has a type");
    let kind = match ty {
        "*const u8" | "*mut u8" | "*const u64" | "*const f64" | "*const Source" => Kind::Elements,
        "*mut u64" => Kind::Place(8),
        "*mut RawHandle" => Kind::Place(RAW_HANDLE_SIZE as u32),
        "*const SpawnOptions" => Kind::Place(SPAWN_OPTIONS_SIZE as u32),
        "*mut Usage" => Kind::Place(USAGE_SIZE as u32),
        "*mut Spawned" => Kind::Place(SPAWNED_SIZE as u32),
        "*const SocketAddress" | "*mut SocketAddress" => Kind::Place(SOCKET_ADDRESS_SIZE as u32),
        "*mut Header" => Kind::Place(HEADER_SIZE as u32),
        "usize" | "i32" => Kind::Word,
        "u64" | "i64" => Kind::Long,
        "f64" => Kind::Double,
        _ => panic!("a parameter of type {ty}: teach the test"),
    };
    Parameter {
        name: name.to_owned(),
        kind,
    }
}

#[test]
fn the_contract_is_read_in_full() {
    let labels: Vec<_> = all().iter().map(Import::label).collect();
    for known in [
        "buffer.take",
        "channel.receive",
        "channel.send",
        "process.join",
        "process.spawn_closure",
        "process.this",
    ] {
        assert!(
            labels.iter().any(|label| label == known),
            "{known} is missing in {labels:?}"
        );
    }
    let documented = std::fs::read_to_string(crate::workspace().join("docs/abi.md")).unwrap();
    for import in all() {
        assert!(
            documented.contains(&format!("`{}(", import.name)),
            "docs/abi.md says nothing of {}",
            import.label()
        );
    }
}
