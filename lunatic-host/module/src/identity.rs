//! The identity of a module's code: its hash, and the name and version that its maker states.
//!
//! Two files with the same bytes are the same code, whatever their names and locations; two files that differ in one
//! byte are not. Name and version are for people. They are not reliable, because the file itself states them.

use std::fmt;

use serde::{Deserialize, Serialize};
use wasmparser::{Chunk, CustomSectionReader, KnownCustom, Name, Parser, Payload};

/// The name of the custom section that contains a module's version as UTF-8 text.
///
/// `wasm-tools metadata add --version` writes this section. In Rust:
///
/// ```
/// # #![cfg_attr(not(target_family = "wasm"), allow(unused))]
/// #[cfg_attr(target_family = "wasm", unsafe(link_section = "version"))]
/// #[used]
/// static VERSION: [u8; 5] = *b"1.2.3";
/// ```
pub const VERSION_SECTION: &str = "version";

/// Longer names and versions, in bytes, are left out, because they must fit into a line of a report.
const TEXT_LEN_MAX: usize = 256;

/// How many bytes of the hash are shown: enough to distinguish all versions that one person will ever see.
const SHOWN_BYTES: usize = 6;

/// The identity of a module's code.
///
/// Shown as `name 1.2 (1a2b3c4d5e6f)`, without the parts that are unknown.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CodeId {
    /// BLAKE3 of the file in the binary format, as the compiler wrote it.
    pub hash: [u8; 32],
    /// The module's name in its name section; linkers store the name of the file there.
    pub name: Option<String>,
    /// The contents of the first custom section named [`VERSION_SECTION`].
    pub version: Option<String>,
}

impl CodeId {
    /// Returns the identity of the module in `wasm`. A file that is not a module has a hash as well.
    pub fn of(wasm: &[u8]) -> Self {
        Self::with_hash(*blake3::hash(wasm).as_bytes(), wasm)
    }

    /// The same for a caller that already knows the hash. Reads the headers of the sections, and two of the sections.
    pub fn with_hash(hash: [u8; 32], wasm: &[u8]) -> Self {
        let mut id = Self {
            hash,
            name: None,
            version: None,
        };
        // The first section of each kind counts, even if it is invalid.
        let (mut name, mut version) = (None, None);
        for_custom_sections(wasm, |section| {
            if let KnownCustom::Name(names) = section.as_known() {
                name.get_or_insert(names);
            } else if section.name() == VERSION_SECTION {
                version.get_or_insert(section.data());
            }
        });
        id.name = name.and_then(|names| {
            let mut subsections = names.into_iter().map_while(Result::ok);
            subsections.find_map(|subsection| match subsection {
                Name::Module { name, .. } => text(name),
                _ => None,
            })
        });
        id.version = version.and_then(|version| text(str::from_utf8(version).ok()?));
        id
    }
}

/// Calls `f` with each custom section, up to the end or to where the file is damaged.
fn for_custom_sections<'a>(wasm: &'a [u8], mut f: impl FnMut(CustomSectionReader<'a>)) {
    let mut parser = Parser::new(0);
    let mut rest = wasm;
    while let Ok(Chunk::Parsed { mut consumed, payload }) = parser.parse(rest, true) {
        match payload {
            Payload::CustomSection(section) => f(section),
            // Most of a file is code, which is skipped as a whole, not function by function.
            Payload::CodeSectionStart { size, .. } => {
                parser.skip_section();
                consumed = consumed.saturating_add(size as usize);
            }
            // The sections of a component itself.
            Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
                consumed = consumed.saturating_add(unchecked_range.len());
            }
            Payload::End(_) => return,
            _ => {}
        }
        let Some(next) = rest.get(consumed..) else { return };
        rest = next;
    }
}

/// A text that can be shown in a line: not empty, not too long, without terminal control characters.
fn text(text: &str) -> Option<String> {
    let text = text.trim();
    let is_fit = !text.is_empty() && text.len() <= TEXT_LEN_MAX && !text.contains(char::is_control);
    is_fit.then(|| text.to_owned())
}

impl fmt::Display for CodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = [&self.name, &self.version];
        let mut known = known.into_iter().flatten().peekable();
        let is_hash_alone = known.peek().is_none();
        for text in known {
            write!(f, "{text} ")?;
        }
        if is_hash_alone {
            return hex(f, &self.hash[..SHOWN_BYTES]);
        }
        f.write_str("(")?;
        hex(f, &self.hash[..SHOWN_BYTES])?;
        f.write_str(")")
    }
}

/// Formatted as above, but with the whole hash.
impl fmt::Debug for CodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CodeId({:?}, {:?}, ", self.name, self.version)?;
        hex(f, &self.hash)?;
        f.write_str(")")
    }
}

/// Writes bytes as hexadecimal digits.
pub(crate) fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> CodeId {
        CodeId::of(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn name_and_version_are_shown_as_far_as_they_are_known() {
        let check = |text: &str, expected: &str| {
            let id = id(text);
            let shown = id.to_string();
            let hash: String = id.hash[..6].iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(shown, expected.replace("HASH", &hash), "{text}");
        };
        check("(module)", "HASH");
        check("(module $power)", "power (HASH)");
        check(r#"(module $power (@custom "version" "1.2"))"#, "power 1.2 (HASH)");
        check(r#"(module (func) (@custom "version" "1.2\n"))"#, "1.2 (HASH)");
        // The first one counts.
        let two = r#"(module (@custom "version" "1") (@custom "version" "2"))"#;
        check(two, "1 (HASH)");
    }

    #[test]
    fn texts_that_cannot_be_shown_are_left_out() {
        let check = |version: &str| {
            let id = id(&format!(r#"(module $m (func) (@custom "version" "{version}"))"#));
            assert_eq!((id.name.as_deref(), id.version), (Some("m"), None), "{version}");
        };
        check("");
        check(" ");
        check("1\\1b[2J");
        check("\\ff");
        check(&"1".repeat(TEXT_LEN_MAX + 1));
    }

    #[test]
    fn the_hash_is_of_all_bytes() {
        let (one, two) = (id("(module)"), id("(module (func))"));
        assert_ne!(one, two);
        assert_eq!(one, id("(module)"));
        assert_eq!(CodeId::of(b"no module").hash, *blake3::hash(b"no module").as_bytes());
    }

    #[test]
    fn a_copy_of_an_identity_is_the_same() {
        let id = id(r#"(module $power (@custom "version" "1.2"))"#);
        let bytes = postcard::to_stdvec(&id).unwrap();
        assert_eq!(postcard::from_bytes::<CodeId>(&bytes).unwrap(), id);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever is cut off or changed: no panic, and the hash is right.
        #[test]
        fn any_bytes_have_an_identity(cut in 0..100_usize, at in 0..100_usize, byte in any::<u8>()) {
            let text = r#"(module $power (func) (func $f) (@custom "version" "1.2") (data "abc"))"#;
            let mut wasm = wat::parse_str(text).unwrap();
            let len = wasm.len();
            wasm[at % len] = byte;
            wasm.truncate(cut % (len + 1));
            prop_assert_eq!(CodeId::of(&wasm).hash, *blake3::hash(&wasm).as_bytes());
        }
    }
}
