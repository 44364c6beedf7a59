//! Logs denied operations, for users who find out which rights a program needs (`--log-denials`).

use crate::ending;
use crate::log::Level;
use crate::report::untrusted;
use crate::wasm::Process;

/// The target of the records.
const TARGET: &str = "lunatic::rights";

/// How much of what a process names is logged, in bytes.
const NAMED_LEN_MAX: usize = 1024;

/// Logs that the process was denied something: `what` it tried to do, with which `target`, and which `flag` of the
/// command line would allow it to the main process. The latter two may be empty.
pub fn log(process: &Process, what: &str, target: &str, flag: &str) {
    let system = &process.system;
    if !system.data.config.log_denials {
        return;
    }
    let name = ending::name(system, process.id);
    // Each of them may contain a name or path of the guest, of any length.
    let [what, target, flag] = [what, target, flag].map(|text| &text[..text.floor_char_boundary(NAMED_LEN_MAX)]);
    let mut line = format!("denied: process {name} {what}");
    if !target.is_empty() {
        line += &format!(" {target:?}");
    }
    if !flag.is_empty() {
        line += &format!(" ({flag} would allow it)");
    }
    // The text may contain words of the guest's configuration.
    let line = untrusted::line(line).to_string();
    let (id, title) = (process.id.to_string(), ending::called(process));
    let said = system
        .data
        .said(Level::Warn, TARGET, (&id, &title), &line, format!("{line}\n"));
    system.data.reports().report_denial(&said);
}
