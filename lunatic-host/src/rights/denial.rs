//! The log of what was denied, for the user who writes the list of what a program needs (`--log-denials`).

use crate::ending;
use crate::log::Level;
use crate::report::untrusted;
use crate::wasm::Process;

/// What the records are about.
const TARGET: &str = "lunatic::rights";

/// Something was denied to the process: `what` it may not do, to which `target`, and with which `flag` of the command line
/// the main process could; either may be empty.
pub fn log(process: &Process, what: &str, target: &str, flag: &str) {
    let system = &process.system;
    if !system.data.config.log_denials {
        return;
    }
    let name = ending::name(system, process.id);
    let mut line = format!("denied: process {name} {what}");
    if !target.is_empty() {
        line += &format!(" {target:?}");
    }
    if !flag.is_empty() {
        line += &format!(" ({flag} would allow it)");
    }
    // What is denied may be said in words of the guest's configuration.
    let line = untrusted::line(line).to_string();
    let (id, title) = (process.id.to_string(), ending::called(process));
    let said = system
        .data
        .said(Level::Warn, TARGET, (&id, &title), &line, format!("{line}\n"));
    system.data.reports().report(&said);
}
