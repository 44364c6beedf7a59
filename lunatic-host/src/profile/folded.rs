//! Stacks as lines of text, from which flame graphs can be drawn.

use lunatic_report::{FRAMES_MAX, Frame};

/// The longest names of the functions that are inlined at one place, in bytes.
const NAMES_LEN_MAX: usize = 2 << 10;

/// The functions at one place, the outermost first: inlined functions are inside.
pub(super) fn folded(frames: &[Frame]) -> String {
    let names = frames
        .iter()
        .rev()
        .map(|frame| frame.function.replace([';', '\n'], ","));
    let mut names = names.collect::<Vec<_>>().join(";");
    names.truncate(names.floor_char_boundary(NAMES_LEN_MAX));
    names
}

/// A stack as text, without its count; it begins with its process if that is given.
pub(super) fn line(process: Option<&String>, stack: &[u32], functions: &[String]) -> String {
    let cut = if stack.len() >= FRAMES_MAX { "…" } else { "" };
    let names = stack.iter().rev().map(|number| &*functions[*number as usize]);
    let before = process.map(String::as_str).into_iter().chain([cut]);
    let names = before.chain(names).filter(|name| !name.is_empty());
    names.collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_a_line_with_what_was_inlined() {
        let frame = |function: &str| Frame {
            function: function.into(),
            file: None,
            line: None,
            column: None,
            library: false,
        };
        let functions = [
            folded(&[frame("<[u8; 2]>::inner"), frame("outer")]),
            folded(&[]),
            folded(&[frame("main")]),
        ];
        let process = "#3 shop".to_owned();
        assert_eq!(line(Some(&process), &[2], &functions), "#3 shop;main");
        assert_eq!(line(None, &[0, 1, 2], &functions), "main;outer;<[u8, 2]>::inner");
        let long = line(None, &vec![2; FRAMES_MAX], &functions);
        assert!(long.starts_with("…;main;main"), "{long}");
    }
}
