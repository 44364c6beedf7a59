//! The command line of Lunatic: flags, the test runner, and the program `lunatic`.
//!
//! `cargo lunatic` uses the same flags ([`HostArgs`], [`TestArgs`]) and runs what it has built with [`run()`], [`test()`]
//! and [`bench()`].
//!
//! | module | purpose |
//! |---|---|
//! | `host_args`, `dump_args`, `log_args`, `test_args` | flags, and how they configure the host and the test runner |
//! | `run` | runs a program as a system |
//! | `serve` | answers HTTP requests with a component |
//! | `node` | connects the runtime to other nodes |
//! | `stop`, `reload` | react to signals |
//! | `manager` | notifies systemd |
//! | `voice` | reports of the host: to standard error or to the log |
//! | `test_runner` | runs the tests in a module, and benchmarks |
//! | [`cargo_runner`] | recognises test programs when cargo calls `lunatic` as its `runner` |
//! | [`init`] | `lunatic init`: writes that configuration of cargo |
//! | `compat`, `no_compat` | guests of Lunatic 0.13, or none |
//! | `advice` | what to do if the operating system refuses something |
//! | `shell` | what the shell gets: text and exit codes |
//! | `sign` | `lunatic sign`: signs modules |
//! | `conformance` | `lunatic conformance`: tests programs in other languages |
//! | `confine` | the rights that the program `lunatic` gives up |
//! | [`doctor`] | `lunatic doctor`: reports how far this machine enforces that |
//! | `trust` | the rights of a native program |
//! | `platform` | the operating system and the processor, and how far Lunatic is tested there |
//!
//! # What this crate may not know
//!
//! How processes run. It uses [`lunatic_host`] as any embedder does: it makes a runtime, loads a module, starts systems
//! and waits for them to end.
//!
//! # Invariants
//!
//! - Only flags grant a program rights: without them it has no folder, no variable and no network. The exceptions are
//!   `--trust`, tests, and programs of Lunatic 0.13 that cargo runs.
//! - No input from a user or a program makes this crate panic: an error is a text on standard error and an exit code.
//! - Each test is a system of its own: it can fail, hang or exhaust its memory without affecting another test.

#[cfg_attr(not(unix), path = "no_admin.rs")]
mod admin;
#[cfg_attr(not(unix), path = "no_advice.rs")]
mod advice;
pub mod cargo_runner;
#[cfg_attr(not(feature = "compat"), path = "no_compat.rs")]
mod compat;
mod confine;
mod conformance;
#[cfg_attr(not(unix), path = "no_dashboard.rs")]
mod dashboard;
pub mod doctor;
mod dump_args;
mod host_args;
pub mod init;
mod log_args;
#[cfg_attr(not(unix), path = "no_manager.rs")]
mod manager;
#[cfg_attr(not(unix), path = "no_node.rs")]
mod node;
#[cfg(unix)]
mod operate;
#[cfg_attr(not(feature = "otlp"), path = "no_otlp.rs")]
mod otlp;
mod platform;
#[cfg(unix)]
mod reload;
mod run;
mod serve;
mod shell;
mod sign;
#[cfg_attr(not(unix), path = "no_stop.rs")]
mod stop;
mod test_args;
mod test_runner;
mod trust;
mod voice;

pub use lunatic_host::report::untrusted;
pub use lunatic_host::{CompileHelper, cache_folder};

pub use self::confine::Confine;
pub use self::conformance::{ConformanceArgs, conformance};
pub use self::dump_args::{DumpArgs, Part};
pub use self::host_args::HostArgs;
pub use self::log_args::{LogArgs, LogFormat};
#[cfg(unix)]
pub use self::node::NodeArgs;
#[cfg(unix)]
pub use self::operate::{Operate, operate};
pub use self::otlp::OtlpArgs;
pub use self::platform::platform;
#[cfg(unix)]
pub use self::reload::Configuration;
pub use self::run::run;
#[cfg(unix)]
pub use self::run::run_node;
pub use self::serve::{ServeArgs, serve};
pub use self::shell::{put, shell_code};
pub use self::sign::{Sign, sign};
pub use self::test_args::{TestArgs, TestColor, TestFormat};
pub use self::test_runner::{Junit, bench, test};
