//! `lunatic::rights`: what the caller may do, and what a subtree of processes uses.

use crate::layout::Usage;

crate::imports! {
    namespace "lunatic::rights";

    /// 1 if the calling process may do what the text says, else 0: `spawn`, `configure`, `names`, `compile`, `inspect`,
    /// `metrics`, `trace`, `upgrade`, `connect:HOST:PORT`, `bind:ADDRESS:PORT`, `resolve:HOST`. [`codes::INVALID`](crate::codes::INVALID) for other texts.
    fn allows(question: *const u8, question_len: usize) -> i32;

    /// Writes what is used of the nearest budget of a process to `out`. [`codes::OK`](crate::codes::OK);
    /// [`codes::EMPTY`](crate::codes::EMPTY) if neither it nor an ancestor has one;
    /// [`codes::CLOSED`](crate::codes::CLOSED) if it has ended; [`codes::INVALID`](crate::codes::INVALID).
    fn usage(id: u64, key: u64, out: *mut Usage) -> i32;

    /// Leaves in the buffer what a child has written to standard output (`stream` 0) or error (1) since the last call, if
    /// the caller spawned it with `stdout=capture` or `stderr=capture`. [`codes::OK`](crate::codes::OK);
    /// [`codes::EMPTY`](crate::codes::EMPTY) if it is not kept, or all was taken after the child's end;
    /// [`codes::INVALID`](crate::codes::INVALID).
    fn take_output(id: u64, key: u64, stream: i32) -> i32;
}
