//! The contract between Lunatic guests and the Lunatic host.
//!
//! A guest (the `lunatic` crate, or any program that speaks this interface) imports the functions of this crate; the
//! host (`lunatic-host`) provides them. Both compile the same [`codes`] and [`layout`], and write and read what crosses
//! with the same codecs ([`layout`], [`reason`], [`record`], [`certificates`]), so neither can drift. There is no other logic here:
//! `docs/abi.md` says what each function does.
//!
//! | module | wasm namespace | what it is about |
//! |---|---|---|
//! | [`process`] | `lunatic::process` | spawn, wait for, kill processes; sleep and yield |
//! | [`channel`] | `lunatic::channel` | queues of messages that processes share by handle |
//! | [`mailbox`] | `lunatic::mailbox` | the queue of each process: messages with tags, exits, replies |
//! | [`registry`] | `lunatic::registry` | names of processes, and groups of them |
//! | [`code`] | `lunatic::code` | going on in another version of the code |
//! | [`inspect`] | `lunatic::inspect` | a look at other processes |
//! | [`net`] | `lunatic::net` | sockets |
//! | [`timer`] | `lunatic::timer` | messages that come later |
//! | [`log`] | `lunatic::log` | records for the people who run the program |
//! | [`metrics`] | `lunatic::metrics` | what a program counts, for the same |
//! | [`trace`] | `lunatic::trace` | which request a process works for, and pieces of that work, for the same |
//! | [`buffer`] | `lunatic::buffer` | fetches what a call left behind because its size was not known beforehand |
//!
//! # Calling habits
//!
//! - Pointers are offsets into the exported memory `memory`, lengths count bytes. A range outside the memory, or a
//!   string that is not UTF-8, is a fault of the guest: the calling process ends with a trap.
//! - A handle is two `u64`s, an id and a key ([`layout::RawHandle`]). The id says which, the key proves that it was
//!   given and not guessed. A wrong key is [`codes::INVALID`], never another's process or channel.
//! - Results at or above zero are success; negative ones are [`codes`].
//! - Timeouts are nanoseconds, [`codes::NO_TIMEOUT`] waits for ever, 0 looks once.
//! - Functions that may wait block the calling process only.
//!
//! # On other targets than wasm32
//!
//! Everything compiles (for documentation, rust-analyzer and `trybuild`), and calling an import panics with a sentence
//! that says what to do.

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
pub mod process;
pub mod reason;
pub mod record;
pub mod registry;
pub mod rights;
pub mod timer;
pub mod trace;

/// Declares imports of one wasm namespace, and on other targets functions that panic with what to do instead.
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
                /// Each pointer is valid for the length that goes with it, or for the type it points to.
                pub fn $name($($arg: $type),*) $(-> $result)?;
            )*
        }

        $(
            $(#[$doc])*
            ///
            /// # Safety
            ///
            /// Each pointer is valid for the length that goes with it, or for the type it points to.
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
