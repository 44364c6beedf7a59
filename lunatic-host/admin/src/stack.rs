//! Views of stacks, as JSON: the stack of a process, and those of a profile.

use lunatic_host::profile::Profile;
use lunatic_host::report::Frame;
use lunatic_host::report::untrusted::line;
use lunatic_host::{Stack, Unseen};
use serde::{Deserialize, Serialize};

/// The stack of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StackView {
    /// The functions, the innermost first.
    pub frames: Vec<FrameView>,
    /// Whether further callers are missing.
    pub is_cut: bool,
    /// Why the stack could not be read, in words.
    pub unseen: Option<String>,
}

/// A function that is active, or inlined into one that is.
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

/// The result of profiling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfileView {
    /// The number of samples.
    pub samples: u64,
    /// The number of samples that were left out, because there were too many distinct stacks or because sampling took
    /// too long.
    pub left_out: u64,
    /// How long processes were seen waiting, all together, in milliseconds, if that was requested.
    #[serde(default)]
    pub waited_ms: u64,
    /// One line per stack: its functions, the outermost first, separated by `;`, then the number of samples, each of a
    /// millisecond. The innermost one begins with `[host]` in a host function, and with `[waits]` in a wait.
    pub folded: String,
}

impl ProfileView {
    pub(crate) fn of(profile: Profile) -> Self {
        Self {
            samples: profile.samples,
            left_out: profile.left_out,
            waited_ms: profile.waited_ms,
            // Names are made safe to show, line by line.
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
        Unseen::NotBegun => "the process has not started",
        Unseen::InCall => "the process is in a call of WASI or of an extension that does not show it",
        _ => "the process waits for a core, or is in a call of the host",
    }
}
