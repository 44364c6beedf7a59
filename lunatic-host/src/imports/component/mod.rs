//! The functions for components: those of `wasi:cli/command` and `wasi:http/proxy` of WASI 0.2, implemented by wasmtime-wasi
//! and wasmtime-wasi-http, with the rights, the charges and the waits of processes; and those of Lunatic.
//!
//! | module | purpose |
//! |---|---|
//! | `state` | the WASI state of a process, and how its handles are counted and charged |
//! | `held` | what an open file is charged |
//! | `aside` | operations on threads that may block |
//! | `files`, `file_streams`, `listing` | files and folders |
//! | `io`, `cli` | streams and pollables; arguments, standard streams, clocks, random numbers |
//! | `network`, `tcp`, `udp` | sockets |
//! | `lunatic` | the functions of Lunatic itself |
//! | `http` | the request that a process answers |

mod aside;
mod cli;
mod file_streams;
mod files;
mod held;
mod http;
mod io;
mod listing;
mod lunatic;
mod network;
mod state;
mod tcp;
mod udp;

use wasmtime::component::Linker;
use wasmtime_wasi::p2::bindings::{LinkOptions, cli as wasi_cli, clocks, filesystem, random, sockets};
use wasmtime_wasi_io::bindings::wasi::io as wasi_io;

pub(crate) use self::http::REQUESTS;
use self::state::{Wasi02, view};
use crate::instance::Ctx;

/// Defines everything that a component can import.
pub(crate) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    // Calls `add_to_linker` of each interface; with options where there are some.
    macro_rules! add {
        ($($interface:path $(, $options:expr)?;)*) => {$({
            use $interface as interface;
            interface::add_to_linker::<Ctx, Wasi02>(linker, $($options,)? view)?;
        })*};
    }
    let mut options = LinkOptions::default();
    // Unstable in name only: libraries need it to tell why a stream of a socket has failed.
    options.network_error_code(true);
    add! {
        wasi_io::error;
        wasi_io::poll;
        wasi_io::streams;
        wasi_cli::environment;
        wasi_cli::exit;
        wasi_cli::stdin;
        wasi_cli::stdout;
        wasi_cli::stderr;
        wasi_cli::terminal_input;
        wasi_cli::terminal_output;
        wasi_cli::terminal_stdin;
        wasi_cli::terminal_stdout;
        wasi_cli::terminal_stderr;
        clocks::wall_clock;
        clocks::monotonic_clock;
        random::random;
        random::insecure;
        random::insecure_seed;
        filesystem::preopens;
        filesystem::types;
        sockets::instance_network;
        sockets::network, &(&options).into();
        sockets::ip_name_lookup;
        sockets::tcp;
        sockets::tcp_create_socket;
        sockets::udp;
        sockets::udp_create_socket;
    }
    http::add(linker)?;
    linker.allow_shadowing(true);
    cli::in_pieces(linker, "wasi:random/random@0.2.12", "wasi:random/insecure@0.2.12")?;
    network::add_lookups(linker, "wasi:sockets/ip-name-lookup@0.2.12")?;
    linker.allow_shadowing(false);
    lunatic::add(linker)
}
