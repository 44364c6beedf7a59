//! `lunatic::node`: the nodes of a cluster.
//!
//! A *node* is a runtime that is connected to others. It is identified by a number that is never 0; a node that is
//! started again has another number. Handles of processes are valid on all nodes, and links, monitors, exit signals and
//! messages work between nodes. Functions that send a signal to a process of another node can return
//! [`codes::FULL`](crate::codes::FULL): then nothing was sent, and [`room`] waits until something can be.
//!
//! Global names and groups are those of the whole cluster, unlike those of [`registry`](crate::registry). A name has at
//! most [`codes::NAME_LEN_MAX`](crate::codes::NAME_LEN_MAX) bytes. An empty name or a longer one traps.

use crate::layout::{RawHandle, SpawnOptions, Spawned};

crate::imports! {
    namespace "lunatic::node";

    /// Writes the number of this node to `out`; 0 if it is in no cluster. Returns [`codes::OK`](crate::codes::OK).
    fn this(out: *mut u64) -> i32;

    /// Writes the number of the node of a process to `out`; 0 without a cluster. Returns
    /// [`codes::OK`](crate::codes::OK), [`codes::CLOSED`](crate::codes::CLOSED) if the node is not connected any more,
    /// or [`codes::INVALID`](crate::codes::INVALID).
    fn of(id: u64, key: u64, out: *mut u64) -> i32;

    /// Asks the node of a process whether the process has exited, and waits for the answer. Returns 1 if it has not, and 0
    /// if it has, or if its node is not connected or is lost before it answers; or
    /// [`codes::INVALID`](crate::codes::INVALID).
    fn is_alive(id: u64, key: u64) -> i32;

    /// Returns the number of nodes, and puts a list of them into the buffer, this one first: of each its number, the
    /// length of its name as a `u16`, and its name. Returns [`codes::DENIED`](crate::codes::DENIED) without the right
    /// `nodes`.
    fn list() -> i32;

    /// Returns the number of attributes of a node, and puts a list of them into the buffer, in the order of their keys: of
    /// each the length of its key as a `u16`, its key, the length of its value as a `u16`, and its value. Returns
    /// [`codes::CLOSED`](crate::codes::CLOSED) if the node is not connected, or
    /// [`codes::DENIED`](crate::codes::DENIED) without the right `nodes`.
    fn attributes(node: u64) -> i32;

    /// Sends the caller a message with this tag whenever a node is connected or lost: a byte that is 1 or 0, the number
    /// of the node, one of [`codes::loss`](crate::codes::loss) as an `i32`, and the name of the node. Returns
    /// [`codes::OK`](crate::codes::OK), [`codes::DENIED`](crate::codes::DENIED) or
    /// [`codes::LIMIT`](crate::codes::LIMIT).
    fn monitor(tag: u64) -> i32;

    /// Ends the messages of [`monitor`] with this tag.
    fn demonitor(tag: u64) -> i32;

    /// Spawns a process on a node like [`process::spawn`](crate::process::spawn), and waits until it exists. The child
    /// runs the module of the caller; it has no name, folders or captured output. Returns
    /// [`codes::OK`](crate::codes::OK), [`codes::DENIED`](crate::codes::DENIED),
    /// [`codes::LIMIT`](crate::codes::LIMIT), [`codes::BAD_CONFIG`](crate::codes::BAD_CONFIG),
    /// [`codes::REFUSED`](crate::codes::REFUSED), or [`codes::GONE`](crate::codes::GONE): the node is not connected, or
    /// was lost, and it is unknown whether there is a child.
    fn spawn(node: u64, entry: usize, captured: *const u8, captured_len: usize, options: *const SpawnOptions, out: *mut Spawned) -> i32;

    /// Waits until something can be sent to the node of a process. Returns [`codes::OK`](crate::codes::OK),
    /// [`codes::TIMED_OUT`](crate::codes::TIMED_OUT), [`codes::CLOSED`](crate::codes::CLOSED) if the process is on this
    /// node, or [`codes::INVALID`](crate::codes::INVALID).
    fn room(id: u64, key: u64, timeout_ns: u64) -> i32;

    /// Registers a process of this node under a global name until it exits. If it loses the name to a process of
    /// another node, it gets the name as a message with the tag, unless that is 0. Of two such processes, the one with
    /// the higher priority (0 to 255) keeps the name. Returns [`codes::OK`](crate::codes::OK),
    /// [`codes::NAME_TAKEN`](crate::codes::NAME_TAKEN), [`codes::CLOSED`](crate::codes::CLOSED) (the process has
    /// exited, or is on another node, or this node is in no cluster), [`codes::INVALID`](crate::codes::INVALID),
    /// [`codes::DENIED`](crate::codes::DENIED) or [`codes::LIMIT`](crate::codes::LIMIT).
    fn register(name: *const u8, len: usize, id: u64, key: u64, priority: i32, tag: u64) -> i32;

    /// Frees a global name of a process of this node. Returns [`codes::OK`](crate::codes::OK),
    /// [`codes::CLOSED`](crate::codes::CLOSED) if none has it, or [`codes::DENIED`](crate::codes::DENIED) if another
    /// process has it and the caller has no right to names.
    fn unregister(name: *const u8, len: usize) -> i32;

    /// Writes the handle of the process that has the global name to `out`, and returns
    /// [`codes::OK`](crate::codes::OK); or returns [`codes::CLOSED`](crate::codes::CLOSED) if no process has it.
    fn lookup(name: *const u8, len: usize, out: *mut RawHandle) -> i32;

    /// Adds a process of this node to a global group until it exits, once. Results are as for [`register`].
    fn join_group(name: *const u8, len: usize, id: u64, key: u64) -> i32;

    /// Removes a process of this node from a global group. Returns [`codes::OK`](crate::codes::OK),
    /// [`codes::CLOSED`](crate::codes::CLOSED) if it is not a member, [`codes::INVALID`](crate::codes::INVALID), or
    /// [`codes::DENIED`](crate::codes::DENIED) if it is another process than the caller, which has no right to names.
    fn leave_group(name: *const u8, len: usize, id: u64, key: u64) -> i32;

    /// Returns the number of members of a global group, and puts their handles into the buffer.
    fn members(name: *const u8, len: usize) -> i32;
}
