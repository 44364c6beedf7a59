//! Writes a module with the sections of another, some of them extended.

use std::ops::Range;

use wasm_encoder::Encode;

/// The first eight bytes of every core module.
const HEADER: &[u8; 8] = b"\0asm\x01\0\0\0";

/// The number before a section that says what it contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SectionId(pub(super) u8);

impl SectionId {
    pub(super) const TYPE: Self = Self(1);
    pub(super) const FUNCTION: Self = Self(3);
    pub(super) const TABLE: Self = Self(4);
    pub(super) const GLOBAL: Self = Self(6);
    pub(super) const EXPORT: Self = Self(7);
    pub(super) const ELEMENT: Self = Self(9);
    pub(super) const CODE: Self = Self(10);

    /// The rank of a section among the others; `None` for custom sections, which can be anywhere.
    fn rank(self) -> Option<usize> {
        // Sections that were added to the standard later come between older ones: tags (13), data count (12).
        const ORDER: [u8; 13] = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];
        ORDER.iter().position(|id| *id == self.0)
    }
}

/// A section of the original module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) id: SectionId,
    /// The bytes after its length.
    pub(super) content: &'a [u8],
}

impl<'a> Section<'a> {
    pub(super) fn new(id: u8, wasm: &'a [u8], range: Range<usize>) -> Self {
        Self {
            id: SectionId(id),
            content: wasm.get(range).unwrap_or_default(),
        }
    }
}

/// Items to append to one section.
#[derive(Debug)]
pub(super) struct Growth {
    id: SectionId,
    count: u32,
    items: Vec<u8>,
}

impl Growth {
    pub(super) fn of(id: SectionId) -> Self {
        Self {
            id,
            count: 0,
            items: Vec::new(),
        }
    }

    /// Appends the item that `write` adds to the end of its argument.
    pub(super) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.items);
        self.count += 1;
    }

    /// Returns the contents of the section with the items appended.
    ///
    /// If possible, the number of items takes as many bytes as before, so that the rest does not move.
    fn apply(&self, content: &[u8]) -> Vec<u8> {
        let (count, width) = read_leb(content);
        let mut out = Vec::with_capacity(content.len() + self.items.len() + 1);
        write_leb(&mut out, count.saturating_add(self.count), width);
        out.extend(&content[width..]);
        out.extend(&self.items);
        out
    }
}

/// Writes the sections with the appended items; missing sections are added.
pub(super) fn write<const N: usize>(sections: &[Section<'_>], growths: [Growth; N]) -> Vec<u8> {
    let mut all: Vec<(SectionId, std::borrow::Cow<'_, [u8]>)> = sections
        .iter()
        .map(|section| (section.id, section.content.into()))
        .collect();
    for growth in growths.iter().filter(|growth| growth.count > 0) {
        match all.iter_mut().find(|(id, _)| *id == growth.id) {
            Some((_, content)) => *content = growth.apply(content).into(),
            None => all.insert(place(&all, growth.id), (growth.id, growth.apply(&[0]).into())),
        }
    }

    let size: usize = all.iter().map(|(_, content)| content.len() + 6).sum();
    let mut out = Vec::with_capacity(HEADER.len() + size);
    out.extend(HEADER);
    for (id, content) in &all {
        out.push(id.0);
        content.encode(&mut out);
    }
    out
}

/// The place of a section that does not exist yet: after the last one that must precede it.
fn place(sections: &[(SectionId, std::borrow::Cow<'_, [u8]>)], id: SectionId) -> usize {
    sections
        .iter()
        .rposition(|(other, _)| other.rank().is_some_and(|rank| Some(rank) < id.rank()))
        .map_or(0, |last| last + 1)
}

/// Reads a number in LEB128, such as the number of items at the start of a validated section: returns the number, and
/// its length in bytes (1 to 5).
pub(super) fn read_leb(content: &[u8]) -> (u32, usize) {
    let mut value = 0u32;
    for (i, byte) in content.iter().enumerate().take(5) {
        value |= u32::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return (value, i + 1);
        }
    }
    (value, content.len().min(5))
}

/// Writes `value` in LEB128 with `width` bytes, or as many more as necessary.
pub(super) fn write_leb(out: &mut Vec<u8>, mut value: u32, width: usize) {
    for written in 1.. {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 && written >= width {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keep_their_width_where_they_can() {
        let check = |before: &[u8], added: u32, after: &[u8]| {
            let growth = Growth {
                id: SectionId::TYPE,
                count: added,
                items: Vec::new(),
            };
            assert_eq!(growth.apply(before), after, "{before:x?} + {added}");
        };
        check(&[0], 0, &[0]);
        check(&[0], 1, &[1]);
        check(&[126], 1, &[127]);
        check(&[127], 1, &[0x80, 1]);
        check(&[0x80, 0], 1, &[0x81, 0]);
        check(&[0xff, 0x80, 0x80, 0x80, 0], 1, &[0x80, 0x81, 0x80, 0x80, 0]);
        check(&[0xff, 0x7f], 2, &[0x81, 0x80, 1]);
        check(&[0x80, 0x80, 0x80, 0x80, 1, 42], 1, &[0x81, 0x80, 0x80, 0x80, 1, 42]);
    }

    #[test]
    fn new_sections_stand_where_they_belong() {
        let check = |ids: &[u8], id: u8, expected: usize| {
            let sections: Vec<_> = ids.iter().map(|id| (SectionId(*id), [].as_slice().into())).collect();
            assert_eq!(place(&sections, SectionId(id)), expected, "{id} into {ids:?}");
        };
        check(&[], 7, 0);
        check(&[0], 7, 0);
        check(&[1, 2, 0], 3, 2);
        check(&[1, 5, 6, 9, 11], 7, 3);
        check(&[1, 2, 4, 9, 12, 11, 0], 10, 5);
        check(&[0, 1, 0, 5, 11], 3, 2);
    }
}
