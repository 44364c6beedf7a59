//! Extracts functions, constants and layouts from the sources of this crate.

use std::path::Path;

/// The contents of the header.
pub(crate) struct Contract {
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) constants: Vec<Constant>,
    pub(crate) layouts: Vec<Layout>,
}

/// The imports of one WebAssembly namespace.
pub(crate) struct Namespace {
    /// Such as `lunatic::process`.
    pub(crate) name: String,
    pub(crate) functions: Vec<Function>,
}

pub(crate) struct Function {
    pub(crate) docs: Vec<String>,
    pub(crate) name: String,
    /// Names with their Rust types.
    pub(crate) parameters: Vec<(String, String)>,
    /// The Rust type; empty for none.
    pub(crate) result: String,
}

pub(crate) struct Constant {
    pub(crate) docs: Vec<String>,
    /// The source file, without `.rs`.
    pub(crate) file: String,
    /// The module within the file, or nothing.
    pub(crate) module: String,
    pub(crate) rust_name: String,
    pub(crate) ty: String,
    pub(crate) value: i128,
}

/// A type that crosses the boundary as bytes.
pub(crate) struct Layout {
    pub(crate) docs: Vec<String>,
    pub(crate) rust_name: String,
    /// In bytes.
    pub(crate) size: i128,
    pub(crate) fields: Vec<Field>,
}

pub(crate) struct Field {
    pub(crate) docs: Vec<String>,
    pub(crate) name: String,
    pub(crate) ty: String,
}

/// The files whose constants guests need.
const FILES: [&str; 5] = ["codes", "log", "metrics", "record", "trace"];

impl Constant {
    /// The name in C, without `LUNATIC_`: `EXIT_KILLED`.
    pub(crate) fn name(&self) -> String {
        let file = match self.file.as_str() {
            "codes" | "record" => "",
            file => file,
        };
        let parts = [file, &self.module, &self.rust_name];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("_").to_uppercase()
    }
}

impl Contract {
    pub(crate) fn read(folder: &Path) -> Contract {
        let source = |file: &str| {
            let text = std::fs::read_to_string(folder.join(file).with_extension("rs")).unwrap();
            match text.split_once("#[cfg(test)]") {
                Some((before, _)) => before.to_owned(),
                None => text,
            }
        };
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .filter(|file| file != "lib" && file != "compat")
            .collect();
        files.sort();
        Contract {
            namespaces: files.iter().filter_map(|file| namespace(&source(file))).collect(),
            constants: FILES.iter().flat_map(|file| constants(file, &source(file))).collect(),
            layouts: layouts(&source("layout")),
        }
    }
}

fn namespace(source: &str) -> Option<Namespace> {
    let (_, block) = source.split_once("crate::imports! {")?;
    let (block, _) = block.split_once("\n}").unwrap();
    let (_, block) = block.split_once("namespace \"").unwrap();
    let (name, block) = block.split_once("\";").unwrap();
    let (mut functions, mut docs, mut code) = (Vec::new(), Vec::new(), String::new());
    for line in block.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("///") {
            docs.push(doc.trim().to_owned());
            continue;
        }
        code += line;
        if code.ends_with(';') {
            functions.push(function(std::mem::take(&mut docs), &std::mem::take(&mut code)));
        }
    }
    Some(Namespace {
        name: name.to_owned(),
        functions,
    })
}

fn function(docs: Vec<String>, code: &str) -> Function {
    let (name, rest) = code.strip_prefix("fn ").unwrap().split_once('(').unwrap();
    let (parameters, result) = rest.split_once(')').unwrap();
    let parameters = parameters.split(',').map(str::trim).filter(|text| !text.is_empty());
    Function {
        docs,
        name: name.to_owned(),
        parameters: parameters.map(pair).collect(),
        result: result.trim_end_matches(';').trim().trim_start_matches("-> ").to_owned(),
    }
}

/// `NAME: TYPE`.
fn pair(text: &str) -> (String, String) {
    let (name, ty) = text.split_once(": ").unwrap();
    (name.to_owned(), ty.to_owned())
}

fn constants(file: &str, source: &str) -> Vec<Constant> {
    let (mut constants, mut docs, mut module) = (Vec::new(), Vec::new(), String::new());
    for line in source.lines() {
        let text = line.trim();
        if let Some(doc) = text.strip_prefix("///") {
            docs.push(doc.trim().to_owned());
            continue;
        }
        if let Some(name) = line.strip_prefix("pub mod ") {
            module = name.trim_end_matches(" {").to_owned();
        }
        if line == "}" {
            module.clear();
        }
        if let Some((name, rest)) = text.strip_prefix("pub const ").and_then(|text| text.split_once(": ")) {
            let (ty, value) = rest.trim_end_matches(';').split_once(" = ").unwrap();
            constants.push(Constant {
                docs: std::mem::take(&mut docs),
                file: file.to_owned(),
                module: module.clone(),
                rust_name: name.to_owned(),
                ty: ty.to_owned(),
                value: evaluate(value),
            });
        }
        docs.clear();
    }
    constants
}

/// A number, `u64::MAX`, or one number shifted by another.
fn evaluate(text: &str) -> i128 {
    if text == "u64::MAX" {
        return u64::MAX.into();
    }
    match text.split_once(" << ") {
        Some((number, by)) => evaluate(number) << evaluate(by),
        None => text
            .replace('_', "")
            .parse()
            .unwrap_or_else(|_| panic!("{text}: teach the test")),
    }
}

fn layouts(source: &str) -> Vec<Layout> {
    let mut layouts = Vec::new();
    for part in source.split("#[repr(C)]").skip(1) {
        let (code, _) = part.split_once("\n}").unwrap();
        let (_, code) = code.split_once("pub struct ").unwrap();
        let (name, fields) = code.split_once(" {").unwrap();
        let before = &source[..source.find(&format!("pub struct {name}")).unwrap()];
        let size = format!("pub const {}_SIZE: usize = ", super::print::snake(name).to_uppercase());
        let (_, size) = source.split_once(&size).unwrap();
        let (size, _) = size.split_once(';').unwrap();
        layouts.push(Layout {
            docs: docs_before(before),
            rust_name: name.to_owned(),
            size: evaluate(size),
            fields: layout_fields(fields),
        });
    }
    layouts
}

/// The doc comment at the end of the text, skipping attributes.
fn docs_before(text: &str) -> Vec<String> {
    let lines = text.lines().rev().skip_while(|line| line.starts_with("#["));
    let docs = lines.map_while(|line| line.strip_prefix("///"));
    let mut docs: Vec<_> = docs.map(|doc| doc.trim().to_owned()).collect();
    docs.reverse();
    docs
}

fn layout_fields(code: &str) -> Vec<Field> {
    let (mut fields, mut docs) = (Vec::new(), Vec::new());
    for line in code.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(doc) = line.strip_prefix("///") {
            docs.push(doc.trim().to_owned());
        } else {
            let (name, ty) = pair(line.strip_prefix("pub ").unwrap().trim_end_matches(','));
            let docs = std::mem::take(&mut docs);
            fields.push(Field { docs, name, ty });
        }
    }
    fields
}
