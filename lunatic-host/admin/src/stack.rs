//! What the door shows of stacks, as JSON: that of a process, and those that a profile has counted.

use lunatic_host::profile::Profile;
use lunatic_host::report::Frame;
use lunatic_host::report::untrusted::line;
use lunatic_host::{Stack, Unseen};
use serde::{Deserialize, Serialize};

/// The functions that a process is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StackView {
    /// Innermost first.
    pub frames: Vec<FrameView>,
    /// Whether there are more, which called these.
    pub is_cut: bool,
    /// Why none is seen, in words.
    pub unseen: Option<String>,
}

/// A function that is active, or that is inlined into one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FrameView {
    /// Its name, or `function 17`.
    pub function: String,
    /// The file of its source.
    pub file: Option<String>,
    /// From 1.
    pub line: Option<u32>,
    /// From 1; 0 or none if unknown.
    pub column: Option<u32>,
}

/// Where processes have computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfileView {
    /// How often a stack was counted.
    pub samples: u64,
    /// How often one was not, because there were too many, or it took too long.
    pub left_out: u64,
    /// A line for each stack: its functions, outermost first, with `;` between them, and how often it was counted.
    pub folded: String,
}

impl ProfileView {
    pub(crate) fn of(profile: Profile) -> Self {
        Self {
            samples: profile.samples,
            left_out: profile.left_out,
            // Names as they may be shown, line by line.
            folded: profile.folded.lines().map(|text| format!("{}\n", line(text))).collect(),
        }
    }
}

impl StackView {
    pub(crate) fn of(stack: &Stack) -> Self {
        Self {
            frames: stack.backtrace.frames.iter().map(FrameView::of).collect(),
            is_cut: stack.backtrace.cut,
            unseen: stack.unseen.map(|why| unseen(why).to_owned()),
        }
    }
}

impl FrameView {
    fn of(frame: &Frame) -> Self {
        Self {
            // The author of the module chooses names, and a terminal may show them.
            function: line(&frame.function).to_string(),
            file: frame.file.as_deref().map(|file| line(file).to_string()),
            line: frame.line,
            column: frame.column,
        }
    }
}

fn unseen(why: Unseen) -> &'static str {
    match why {
        Unseen::NotBegun => "the process has not begun",
        Unseen::InCall => "the process is in a call of WASI or of an extension that does not show it",
        _ => "the process waits for a core, or is in a call of the host",
    }
}
