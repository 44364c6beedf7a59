//! Prints the contract as a header for C and C++.

use std::fmt::Write;

use super::contract::{Constant, Contract, Function, Layout, Namespace};

/// The longest line of documentation, in characters.
const WIDTH: usize = 118;

const HEAD: &str = r#"/// The contract between Lunatic guests and the Lunatic host, for C and C++: codes, layouts and imports.
///
/// Include `lunatic.h`, which includes this file and adds functions that are easier to call. This file is generated from
/// the sources of `lunatic-sys` by its test `header`. `docs/abi.md` describes the rules for all functions: pointers,
/// handles, timeouts, and what traps.

#ifndef LUNATIC_ABI_H
#define LUNATIC_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define LUNATIC_SIZE_IS(type, size) static_assert(sizeof(type) == (size), #type)
extern "C" {
#else
#define LUNATIC_SIZE_IS(type, size) _Static_assert(sizeof(type) == (size), #type)
#endif

/// A function of the host. Linkers import it only into a program that calls it.
#define LUNATIC_IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

/// The function that a process calls first: an index of the function table.
typedef void (*lunatic_entry)(void);
"#;

const TAIL: &str = "
#ifdef __cplusplus
}
#endif

#endif
";

/// The text of the header.
pub(crate) fn header(contract: &Contract) -> String {
    let mut text = HEAD.to_owned();
    let mut group = None;
    for constant in &contract.constants {
        let this = (&constant.file, &constant.module);
        if group.replace(this) != Some(this) {
            text.push('\n');
        }
        print_constant(&mut text, constant);
    }
    contract
        .layouts
        .iter()
        .for_each(|layout| print_layout(&mut text, layout));
    for namespace in &contract.namespaces {
        let short = short(namespace);
        let _ = write!(text, "\n// {}\n", namespace.name);
        namespace
            .functions
            .iter()
            .for_each(|function| print_function(&mut text, namespace, short, function));
    }
    text + TAIL
}

/// `process` of `lunatic::process`.
fn short(namespace: &Namespace) -> &str {
    namespace.name.rsplit("::").next().unwrap()
}

fn print_constant(text: &mut String, constant: &Constant) {
    print_docs(text, "", &constant.docs, &constant.file);
    let value = match (constant.ty.as_str(), constant.value) {
        ("u64", value) => format!("UINT64_C({value})"),
        ("u32", value) => format!("{value}u"),
        (_, value) if value < 0 => format!("({value})"),
        (_, value) => value.to_string(),
    };
    let _ = writeln!(text, "#define LUNATIC_{} {value}", constant.name());
}

fn print_layout(text: &mut String, layout: &Layout) {
    let name = c_type(&layout.rust_name);
    text.push('\n');
    print_docs(text, "", &layout.docs, "");
    let _ = writeln!(text, "typedef struct {name} {{");
    for field in &layout.fields {
        print_docs(text, "    ", &field.docs, "");
        let _ = match field.ty.strip_prefix("[u8; ") {
            Some(len) => writeln!(text, "    uint8_t {}[{len};", field.name),
            None => writeln!(text, "    {} {};", c_type(&field.ty), field.name),
        };
    }
    let _ = writeln!(text, "}} {name};\nLUNATIC_SIZE_IS({name}, {});", layout.size);
}

fn print_function(text: &mut String, namespace: &Namespace, short: &str, function: &Function) {
    text.push('\n');
    print_docs(text, "", &function.docs, short);
    let parameters: Vec<_> = function
        .parameters
        .iter()
        .map(|(name, ty)| parameter(name, ty))
        .collect();
    let parameters = match parameters.is_empty() {
        true => "void".to_owned(),
        false => parameters.join(", "),
    };
    let result = match function.result.as_str() {
        "" => "void".to_owned(),
        ty => c_type(ty),
    };
    let (name, attributes) = (
        &function.name,
        format!("LUNATIC_IMPORT(\"{}\", \"{}\")", namespace.name, function.name),
    );
    let _ = writeln!(text, "{attributes}\n{result} lunatic_{short}_{name}({parameters});");
}

fn parameter(name: &str, ty: &str) -> String {
    if (name, ty) == ("entry", "usize") {
        return "lunatic_entry entry".to_owned();
    }
    // `export` is a keyword of C++.
    let name = if name == "export" { "export_name" } else { name };
    let (constant, target) = match (ty.strip_prefix("*const "), ty.strip_prefix("*mut ")) {
        (Some(target), _) => ("const ", target),
        (_, Some(target)) => ("", target),
        _ => return format!("{} {name}", c_type(ty)),
    };
    match target {
        "u8" => format!("{constant}void *{name}"),
        _ => format!("{constant}{} *{name}", c_type(target)),
    }
}

fn c_type(rust: &str) -> String {
    match rust {
        "usize" => "size_t".to_owned(),
        "f64" => "double".to_owned(),
        "RawHandle" => "lunatic_handle".to_owned(),
        "i32" | "i64" => format!("int{}_t", &rust[1..]),
        "u32" | "u64" => format!("uint{}_t", &rust[1..]),
        _ => format!("lunatic_{}", snake(rust)),
    }
}

/// `SpawnOptions` as `spawn_options`.
pub(crate) fn snake(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// Prints paragraphs. They are filled again, because names have other lengths in C. Tables stay as they are.
fn print_docs(text: &mut String, indent: &str, docs: &[String], file: &str) {
    for (number, paragraph) in docs.split(|line| line.is_empty()).enumerate() {
        if number > 0 {
            let _ = writeln!(text, "{indent}///");
        }
        if paragraph.iter().all(|line| line.starts_with('|')) {
            for row in paragraph {
                let _ = writeln!(text, "{indent}/// {}", links(row, file));
            }
            continue;
        }
        let mut line = format!("{indent}///");
        for word in links(&paragraph.join(" "), file).split(' ') {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                let _ = writeln!(text, "{line}");
                line = format!("{indent}///");
            }
            line = line + " " + word;
        }
        let _ = writeln!(text, "{line}");
    }
}

/// Replaces links, `[TEXT]` and `[TEXT](TARGET)`, by the C names of their targets.
fn links(text: &str, file: &str) -> String {
    let Some((before, rest)) = text.split_once('[') else {
        return text.to_owned();
    };
    let (label, rest) = rest.split_once(']').unwrap();
    let (target, rest) = match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some(link) => link,
        None => (label.trim_matches('`'), rest),
    };
    let name = c_name(target, file).unwrap_or_else(|| label.to_owned());
    format!("{before}{name}{}", links(rest, file))
}

/// The C name of the target of a link; `None` if it has none.
fn c_name(path: &str, file: &str) -> Option<String> {
    let is_local = !path.contains("::");
    let parts: Vec<_> = path
        .split("::")
        .filter(|part| !["crate", "codes", "layout", "super", "record"].contains(part))
        .collect();
    let last = *parts.last()?;
    let is_type = |part: &str| part.starts_with(char::is_uppercase) && part.contains(char::is_lowercase);
    if parts.first() == Some(&"Self") || path.starts_with("crate::reason") || path.starts_with("crate::certificates") {
        return None;
    }
    if let [ty, field] = parts[..]
        && is_type(ty)
    {
        return Some(format!("`{}.{field}`", c_type(ty)));
    }
    let local = if is_local && !["codes", "record", ""].contains(&file) {
        vec![file]
    } else {
        Vec::new()
    };
    let name = [local, parts.clone()].concat().join("_");
    Some(match last {
        last if is_type(last) => format!("`{}`", c_type(last)),
        last if last.contains(char::is_lowercase) && path.starts_with("crate::codes") => {
            format!("`LUNATIC_{}_…`", name.to_uppercase())
        }
        last if last.contains(char::is_lowercase) => format!("`lunatic_{name}`"),
        _ => format!("`LUNATIC_{}`", name.to_uppercase()),
    })
}
