//! `lunatic::rights`: the rights of the calling process, and the resources that a subtree of processes uses.

use crate::layout::Usage;

crate::imports! {
    namespace "lunatic::rights";

    /// Returns 1 if the calling process has the right that the text names, else 0: `spawn`, `configure`, `names`,
    /// `compile`, `inspect`, `metrics`, `trace`, `upgrade`, `nodes`, `connect:HOST:PORT`, `bind:ADDRESS:PORT` or `resolve:HOST`.
    /// Returns [`codes::INVALID`](crate::codes::INVALID) for other texts.
    fn allows(question: *const u8, question_len: usize) -> i32;

    /// Writes the usage of the nearest budget of a process to `out`. Returns [`codes::OK`](crate::codes::OK);
    /// [`codes::EMPTY`](crate::codes::EMPTY) if neither the process nor an ancestor has a budget;
    /// [`codes::CLOSED`](crate::codes::CLOSED) if the process has exited; or [`codes::INVALID`](crate::codes::INVALID).
    fn usage(id: u64, key: u64, out: *mut Usage) -> i32;

    /// Puts the text that a child has written to standard output (`stream` 0) or standard error (1) since the last call
    /// into the buffer, if the caller spawned it with `stdout=capture` or `stderr=capture`. Returns
    /// [`codes::OK`](crate::codes::OK); [`codes::EMPTY`](crate::codes::EMPTY) if the text is not captured, or the child
    /// has exited and all text was taken; or [`codes::INVALID`](crate::codes::INVALID).
    fn take_output(id: u64, key: u64, stream: i32) -> i32;
}
