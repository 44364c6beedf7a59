//! The contract between Lunatic guests and the Lunatic host.
//!
//! A guest (the crate `lunatic`, or any program that uses this interface) imports the functions of this crate; the host
//! (`lunatic-host`) provides them. Both compile the same [`codes`] and [`layout`], and encode and decode the data that
//! crosses the boundary with the same codecs ([`layout`], [`reason`], [`record`], [`certificates`]), so they cannot
//! diverge. This crate has no other logic. `docs/abi.md` describes each function.
//!
//! | module | wasm namespace | purpose |
//! |---|---|---|
//! | [`process`] | `lunatic::process` | spawning, joining and killing processes; exit signals, links and monitors; sleeping and yielding |
//! | [`channel`] | `lunatic::channel` | queues of messages that processes share by handle |
//! | [`mailbox`] | `lunatic::mailbox` | the queue of each process: messages with tags, notifications of exits, answers |
//! | [`registry`] | `lunatic::registry` | names of processes, and groups of processes |
//! | [`rights`] | `lunatic::rights` | what a process may do, and what a subtree of processes uses |
//! | [`module`] | `lunatic::module` | modules that guests compile at run time |
//! | [`code`] | `lunatic::code` | moving a process to another version of its code |
//! | [`inspect`] | `lunatic::inspect` | inspection of other processes |
//! | [`net`] | `lunatic::net` | sockets |
//! | [`node`] | `lunatic::node` | the nodes of a cluster: spawning on them, global names |
//! | [`timer`] | `lunatic::timer` | messages that are sent later |
//! | [`log`] | `lunatic::log` | log records |
//! | [`metrics`] | `lunatic::metrics` | numbers that a program counts for its operators |
//! | [`trace`] | `lunatic::trace` | trace contexts and spans |
//! | [`buffer`] | `lunatic::buffer` | results of calls whose size is not known beforehand |
//!
//! # Calling conventions
//!
//! - Pointers are offsets into the exported memory `memory`; lengths are in bytes. A range outside the memory, or a
//!   string that is not UTF-8, is a fault of the guest: the calling process traps.
//! - A handle is two `u64`s, an id and a key ([`layout::RawHandle`]). The id identifies the process, channel or socket;
//!   the key proves that the host gave the handle out. A wrong key gives [`codes::INVALID`], and never reaches
//!   another's process or channel.
//! - Results of zero or more mean success; negative results are [`codes`].
//! - Timeouts are in nanoseconds. [`codes::NO_TIMEOUT`] waits for ever; with 0 a call does not wait.
//! - A function that waits blocks only the calling process.
//!
//! # On targets other than wasm32
//!
//! Everything compiles, for documentation, rust-analyzer and `trybuild`. Calling an import panics with a message that
//! says what to do.

#![warn(missing_docs)]

mod address;
pub mod buffer;
pub mod certificates;
pub mod channel;
pub mod code;
mod codec;
pub mod codes;
pub mod compat;
pub mod inspect;
pub mod layout;
pub mod log;
pub mod mailbox;
pub mod metrics;
pub mod module;
pub mod net;
pub mod node;
pub mod process;
pub mod reason;
pub mod record;
pub mod registry;
pub mod rights;
pub mod tag;
pub mod timer;
pub mod trace;

/// The same functions for components, in WIT: the package `lunatic:process`, in the file `wit/process.wit` of this crate.
pub const WIT: &str = include_str!("../wit/process.wit");

/// What a component can wait for together with pollables of WASI: the package `lunatic:poll`, in the file `wit/poll/poll.wit`.
pub const POLL_WIT: &str = include_str!("../wit/poll/poll.wit");

/// Declares the imports of one wasm namespace; on other targets, functions that panic with a message that says what to
/// do.
macro_rules! imports {
    (namespace $namespace:literal; $($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)?;)*) => {
        #[cfg(target_arch = "wasm32")]
        #[link(wasm_import_module = $namespace)]
        unsafe extern "C" {
            $(
                $(#[$doc])*
                ///
                /// # Safety
                ///
                /// Each pointer must be valid for the length that belongs to it, or for the type that it points to.
                pub fn $name($($arg: $type),*) $(-> $result)?;
            )*
        }

        $(
            $(#[$doc])*
            ///
            /// # Safety
            ///
            /// Each pointer must be valid for the length that belongs to it, or for the type that it points to.
            #[allow(clippy::too_many_arguments, reason = "wasm has no other way to pass them")]
            #[cfg(not(target_arch = "wasm32"))]
            pub unsafe fn $name($($arg: $type),*) $(-> $result)? {
                $(let _ = $arg;)*
                crate::not_a_guest(concat!($namespace, "::", stringify!($name)))
            }
        )*
    };
}
use imports;

#[cfg(not(target_arch = "wasm32"))]
#[cold]
#[track_caller]
fn not_a_guest(import: &str) -> ! {
    panic!("{import} exists only inside a Lunatic process: start this program with `cargo lunatic run`")
}
