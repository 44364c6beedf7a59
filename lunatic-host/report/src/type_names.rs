//! Finds out of which types messages are, from their tags.
//!
//! A tag is the hash of a type's name ([`lunatic_sys::tag`]), and the program holds the name as a text among its data.
//! So the data of the module is searched for texts with this hash. This needs neither debug information nor anything
//! from the guest at run time. A type whose name the compiler has removed, a message with a topic, and a tag of a
//! program in another language are not found.

use std::collections::HashMap;

use lunatic_sys::tag;

/// The longest name that is found.
const NAME_LEN_MAX: usize = 512;

/// The most tags that are searched for at once.
pub const TAGS_MAX: usize = 16;

/// The most bytes that are hashed: the data of a hostile module can consist of long texts that might all be names.
const STEPS_MAX: usize = 32 << 20;

/// Returns the names of those types that belong to some of the tags, as far as the module in `wasm` contains them. Only
/// the first [`TAGS_MAX`] tags are considered.
pub fn find(wasm: &[u8], tags: &[u64]) -> HashMap<u64, String> {
    let mut search = Search::new(&tags[..tags.len().min(TAGS_MAX)], STEPS_MAX);
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        match payload {
            Ok(wasmparser::Payload::DataSection(section)) => {
                for data in section.into_iter().flatten() {
                    search.data(data.data);
                }
            }
            Ok(_) => {}
            // What could be read has been searched.
            Err(_) => break,
        }
    }
    search.found
}

struct Search<'a> {
    tags: &'a [u64],
    /// The lowest bits of the tags, as a set: nearly all hashes differ from all tags in these.
    low: [bool; 256],
    /// How many bytes may still be hashed.
    steps: usize,
    found: HashMap<u64, String>,
}

impl<'a> Search<'a> {
    fn new(tags: &'a [u64], steps: usize) -> Self {
        let mut low = [false; 256];
        tags.iter().for_each(|tag| low[usize::from(*tag as u8)] = true);
        Self {
            tags,
            low,
            steps,
            found: HashMap::new(),
        }
    }

    fn data(&mut self, data: &[u8]) {
        let starts = data.iter().enumerate().filter(|(_, byte)| begins_name(**byte));
        for (start, _) in starts {
            if self.found.len() == self.tags.len() || self.steps == 0 {
                return;
            }
            self.names_from(&data[start..]);
        }
    }

    /// Checks all texts that begin here.
    fn names_from(&mut self, data: &[u8]) {
        let mut hash = tag::BASIS;
        // Between the parts of `dyn A + B` and `<A as B>::C`, spaces follow any name.
        let mut has_spaces = data.starts_with(b"<");
        for (at, byte) in data.iter().take(NAME_LEN_MAX.min(self.steps)).enumerate() {
            self.steps -= 1;
            if *byte == b' ' {
                let before = &data[..at];
                has_spaces |= before.ends_with(b"dyn");
                if !has_spaces && !BEFORE_SPACE.iter().any(|word| before.ends_with(word)) {
                    return;
                }
            } else if !IN_NAME[usize::from(*byte)] {
                return;
            }
            hash = tag::step(hash, *byte);
            let tag = tag::finish(hash);
            if self.low[usize::from(tag as u8)] && self.tags.contains(&tag) {
                let name = String::from_utf8_lossy(&data[..=at]).into_owned();
                self.found.entry(tag).or_insert(name);
            }
        }
    }
}

/// Whether the name of a type can begin with this byte. All names of types in crates begin with that of the crate.
fn begins_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || matches!(byte, b'_' | b'(' | b'[' | b'&' | b'*' | b'<')
}

/// Where `type_name` writes spaces. Elsewhere they end a text, so that prose is skipped quickly.
const BEFORE_SPACE: [&[u8]; 10] = [b",", b";", b"+", b")", b"=", b"->", b"dyn", b"mut", b"const", b"as"];

/// The bytes of names of types, except the space.
const IN_NAME: [bool; 256] = {
    let mut is_in = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        is_in[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"+=-><()[]{}:,;&*#_'";
    let mut at = 0;
    while at < others.len() {
        is_in[others[at] as usize] = true;
        at += 1;
    }
    is_in
};

#[cfg(test)]
mod tests {
    use super::*;

    /// A module with these data segments.
    fn module(data: &[&str]) -> Vec<u8> {
        let segments: String = data.iter().map(|data| format!("(data {data:?})")).collect();
        wat::parse_str(format!("(module (memory 1) {segments})")).unwrap()
    }

    #[test]
    fn names_are_found_between_other_texts() {
        let names = [
            "u32",
            "alloc::string::String",
            "shop::stock::Order",
            "(u8, alloc::vec::Vec<&str>)",
            "core::option::Option<[u8; 4]>",
            "alloc::boxed::Box<dyn core::fmt::Debug + core::marker::Send>",
            "core::marker::PhantomData<fn(u8, &mut u8) -> u8>",
        ];
        let data = format!(
            "it is gone{}/src/main.rs:1{}",
            names[..3].concat(),
            names[3..].join("\n")
        );
        let wasm = module(&["nothing", &data]);
        let tags: Vec<u64> = names.iter().map(|name| tag::of(name, "")).collect();
        let found = find(&wasm, &tags);
        for (tag, name) in tags.iter().zip(names) {
            assert_eq!(found.get(tag).map(String::as_str), Some(name));
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let wasm = module(&["shop::Order"]);
        let (topic, other) = (tag::of("shop::Order", "urgent"), tag::of("shop::Orde", "r!"));
        assert_eq!(find(&wasm, &[topic, other, 0, u64::MAX]), HashMap::new());
        assert_eq!(find(&wasm, &[]), HashMap::new());
        assert_eq!(find(b"no module", &[topic]), HashMap::new());
        assert_eq!(find(&wasm[..wasm.len() - 3], &[topic]), HashMap::new());
    }

    #[test]
    fn a_hostile_module_takes_bounded_time() {
        let text = "a".repeat(1 << 20);
        let mut search = Search::new(&[1], 10_000);
        search.data(text.as_bytes());
        assert_eq!((search.steps, search.found.len()), (0, 0));
    }
}
