//! What each function of the interface can make the host keep, and so who must pay for it: the list against which a new
//! function is checked.
//!
//! A function that is added must be listed here. The entry states what the function leaves behind in the host after it
//! has returned, and thereby that a budget counts it. docs/security.md ("Resources") describes how each kind is
//! counted.

/// What a function can leave behind in the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// Nothing; or the function frees something.
    Nothing,
    /// Messages and signals in mailboxes and channels.
    Messages,
    /// The channels themselves.
    Channels,
    /// Links, monitors, references, names, groups.
    Relations,
    Timers,
    /// Results that wait to be fetched, and captured values.
    Buffers,
    /// Processes, their memories, and what is kept with them.
    Memory,
    /// Resources that a process of the interface of Lunatic 0.13 refers to by number: errors, configurations, modules,
    /// addresses, handles of sockets and databases. Each call that can fail leaves an error.
    Numbers,
    /// Sockets, certificates, and data in transit.
    Sockets,
    /// Open files and folders. They are counted; their bytes are not charged.
    Files,
    Databases,
    /// Compiled code.
    Code,
    /// Printed text, metrics, and reports about processes that exit.
    Output,
}

use Charge::*;

/// Functions of a namespace (without `lunatic::`), and everything that they can charge.
type Row = (&'static str, &'static str, &'static [Charge]);

/// The functions of `lunatic-sys`.
pub const CHARGES: &[Row] = &[
    ("buffer", "len take", &[Nothing]),
    ("buffer", "put", &[Buffers]),
    // The state is paid for until only one of the two instances has it.
    ("code", "offer accept refuse decline version current", &[Nothing]),
    ("code", "change", &[Memory, Buffers]),
    // The module in another layout. An upgrade's notes about the processes that it changes are kept until it is over.
    ("code", "upgrade", &[Code, Buffers]),
    ("code", "report", &[Buffers]),
    ("code", "wait cancel", &[Nothing]),
    ("channel", "new", &[Channels]),
    ("channel", "try_send send", &[Messages]),
    // While it waits for the answer of another node, and for a message that has come from there.
    ("channel", "try_receive", &[Buffers]),
    ("channel", "receive", &[Messages, Buffers]),
    // At most 256 KiB for a system, as for all output that waits to be written.
    ("log", "level", &[Nothing]),
    ("log", "record", &[Output, Buffers]),
    // Names are kept until the system ends.
    ("metrics", "open", &[Output, Buffers]),
    ("metrics", "add change set observe", &[Nothing]),
    // Open spans are charged. Ended spans wait for their exporter, within a total limit and a share for each group.
    ("trace", "open record fail", &[Memory]),
    ("trace", "close", &[Output]),
    // The one context of a process is part of its record.
    ("trace", "recorded set enter leave", &[Nothing]),
    ("trace", "current", &[Buffers]),
    ("mailbox", "send", &[Messages]),
    ("mailbox", "reference", &[Relations]),
    ("mailbox", "close", &[Nothing]),
    ("mailbox", "receive", &[Buffers]),
    ("mailbox", "call", &[Messages, Relations, Buffers]),
    // While it waits for channels of other nodes.
    ("mailbox", "select", &[Messages]),
    ("module", "compile", &[Code, Buffers]),
    ("module", "drop", &[Nothing]),
    ("module", "spawn_export", &[Memory, Relations, Buffers]),
    ("net", "resolve", &[Buffers]),
    ("net", "tcp_listen tcp_connect tcp_connect_host accept", &[Sockets]),
    ("net", "udp_bind unix_listen unix_connect unix_pair clone", &[Sockets]),
    ("net", "read peek receive_from", &[Nothing]),
    ("net", "try_write write send_to", &[Sockets]),
    ("net", "udp_connect multicast set_option", &[Sockets]),
    ("net", "shutdown close tls_drop", &[Nothing]),
    ("net", "local_address peer_address get_option", &[Nothing]),
    ("net", "tls_config tls_replace tls_start", &[Sockets, Buffers]),
    ("net", "tls_info", &[Buffers]),
    ("net", "hand_over claim", &[Sockets]),
    ("process", "spawn_closure spawn", &[Memory, Relations, Buffers]),
    ("process", "captured captured_len next", &[Nothing]),
    ("process", "this is_alive kill_handle parent", &[Nothing]),
    ("process", "join", &[Buffers]),
    ("process", "sleep_ns yield_now", &[Nothing]),
    ("process", "exit", &[Messages, Output]),
    ("process", "exit_signal", &[Messages]),
    ("process", "link", &[Relations, Messages]),
    ("process", "monitor", &[Relations, Messages]),
    ("process", "unlink demonitor trap_exit", &[Nothing]),
    ("inspect", "processes process", &[Buffers]),
    (
        "node",
        "this of demonitor room unregister lookup leave_group",
        &[Nothing],
    ),
    // While it waits for the answer.
    ("node", "is_alive", &[Messages]),
    ("node", "list attributes members", &[Buffers]),
    // Kept by the cluster until the process that has them ends.
    ("node", "monitor register join_group", &[Relations, Buffers]),
    // What the child keeps is charged on its node. The module stays within the limit of all that is kept for other nodes.
    ("node", "spawn", &[Relations, Buffers]),
    ("registry", "register join_group", &[Relations]),
    ("registry", "unregister leave_group lookup", &[Nothing]),
    ("registry", "members", &[Buffers]),
    ("registry", "broadcast", &[Messages]),
    ("rights", "allows usage", &[Nothing]),
    ("rights", "take_output", &[Buffers]),
    ("timer", "send_after", &[Timers, Messages]),
    ("timer", "cancel pause", &[Nothing]),
];

/// The functions of the interface of Lunatic 0.13.
pub const COMPAT_CHARGES: &[Row] = &[
    ("error", "string_size to_string drop", &[Nothing]),
    ("message", "create_data write_data", &[Messages]),
    (
        "message",
        "read_data seek_data get_tag get_process_id data_size",
        &[Nothing],
    ),
    (
        "message",
        "push_module push_tcp_stream push_tls_stream push_udp_socket",
        &[Messages],
    ),
    (
        "message",
        "take_module take_tcp_stream take_tls_stream take_udp_socket",
        &[Numbers],
    ),
    ("message", "send send_receive_skip_search receive", &[Messages]),
    ("timer", "send_after", &[Timers, Messages, Numbers]),
    ("timer", "cancel_timer", &[Nothing]),
    // Also the names for which the last 1,024 addresses were resolved.
    ("networking", "resolve", &[Numbers]),
    ("networking", "drop_dns_iterator resolve_next", &[Nothing]),
    (
        "networking",
        "tcp_bind tcp_accept tcp_connect tls_bind tls_accept tls_connect udp_bind",
        &[Sockets, Numbers],
    ),
    (
        "networking",
        "udp_connect tcp_flush tls_flush tcp_read tcp_peek tls_read udp_receive udp_receive_from",
        &[Numbers],
    ),
    (
        "networking",
        "clone_tcp_stream clone_tls_stream clone_udp_socket",
        &[Numbers],
    ),
    (
        "networking",
        "tcp_local_addr tcp_peer_addr tls_local_addr udp_local_addr udp_peer_addr",
        &[Numbers],
    ),
    (
        "networking",
        "tcp_write_vectored tls_write_vectored udp_send udp_send_to",
        &[Sockets, Numbers],
    ),
    (
        "networking",
        "set_read_timeout set_write_timeout set_peek_timeout",
        &[Nothing],
    ),
    (
        "networking",
        "get_read_timeout get_write_timeout get_peek_timeout",
        &[Nothing],
    ),
    ("networking", "set_tls_read_timeout set_tls_write_timeout", &[Nothing]),
    ("networking", "get_tls_read_timeout get_tls_write_timeout", &[Nothing]),
    (
        "networking",
        "set_udp_socket_broadcast get_udp_socket_broadcast",
        &[Nothing],
    ),
    ("networking", "set_udp_socket_ttl get_udp_socket_ttl", &[Nothing]),
    (
        "networking",
        "drop_tcp_listener drop_tcp_stream drop_tls_listener drop_tls_stream drop_udp_socket",
        &[Nothing],
    ),
    ("process", "compile_module", &[Code, Numbers]),
    ("process", "drop_module drop_config", &[Nothing]),
    ("process", "create_config", &[Numbers]),
    ("process", "config_set_max_memory config_set_max_fuel", &[Nothing]),
    ("process", "config_get_max_memory config_get_max_fuel", &[Nothing]),
    (
        "process",
        "config_can_compile_modules config_can_create_configs config_can_spawn_processes",
        &[Nothing],
    ),
    (
        "process",
        "config_set_can_compile_modules config_set_can_create_configs config_set_can_spawn_processes",
        &[Nothing],
    ),
    ("process", "spawn get_or_spawn", &[Memory, Relations, Buffers, Numbers]),
    (
        "process",
        "sleep_ms die_when_link_dies process_id environment_id exists kill",
        &[Nothing],
    ),
    ("process", "link monitor", &[Relations, Messages]),
    ("process", "unlink stop_monitoring", &[Nothing]),
    ("registry", "put", &[Relations]),
    ("registry", "get remove", &[Nothing]),
    (
        "wasi",
        "config_add_environment_variable config_add_command_line_argument config_preopen_dir",
        &[Numbers],
    ),
    ("distributed", "nodes_count get_nodes node_id", &[Nothing]),
    ("distributed", "exec_lookup_nodes copy_lookup_nodes_results", &[Numbers]),
    // The environment keeps a module that has a number.
    ("distributed", "module_id", &[Code]),
    ("distributed", "spawn", &[Memory, Relations, Buffers, Numbers]),
    ("distributed", "send send_receive_skip_search", &[Messages]),
    // The result goes into the guest's own memory.
    ("distributed", "test_root_cert", &[Nothing]),
    ("distributed", "default_server_certificates sign_node", &[Buffers]),
    ("sqlite", "open query_prepare", &[Databases, Numbers]),
    ("sqlite", "execute bind_value sqlite3_step", &[Databases]),
    (
        "sqlite",
        "read_row read_column column_name column_names last_error",
        &[Nothing],
    ),
    (
        "sqlite",
        "column_count statement_reset sqlite3_finalize sqlite3_changes",
        &[Nothing],
    ),
    // At most 4,096 names of 256 bytes each for a system.
    (
        "metrics",
        "counter increment_counter gauge increment_gauge decrement_gauge histogram",
        &[Output],
    ),
    ("trap", "catch", &[Nothing]),
    ("version", "major minor patch", &[Nothing]),
];

/// The functions of WASI preview 1.
pub const WASI_CHARGES: &[Row] = &[
    (
        "wasi",
        "args_get args_sizes_get environ_get environ_sizes_get",
        &[Nothing],
    ),
    (
        "wasi",
        "clock_res_get clock_time_get random_get sched_yield",
        &[Nothing],
    ),
    ("wasi", "proc_exit proc_raise", &[Messages]),
    ("wasi", "path_open", &[Files]),
    ("wasi", "fd_close fd_renumber", &[Nothing]),
    // To standard output; captured text is kept until it is fetched. The contents of files are on disk.
    ("wasi", "fd_write", &[Output]),
    (
        "wasi",
        "fd_read fd_pread fd_pwrite fd_seek fd_tell fd_sync fd_datasync",
        &[Nothing],
    ),
    ("wasi", "fd_advise fd_allocate fd_filestat_set_size", &[Nothing]),
    (
        "wasi",
        "fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights",
        &[Nothing],
    ),
    ("wasi", "fd_filestat_get fd_filestat_set_times", &[Nothing]),
    ("wasi", "fd_prestat_get fd_prestat_dir_name fd_readdir", &[Nothing]),
    (
        "wasi",
        "path_create_directory path_link path_symlink path_rename",
        &[Nothing],
    ),
    (
        "wasi",
        "path_remove_directory path_unlink_file path_readlink",
        &[Nothing],
    ),
    ("wasi", "path_filestat_get path_filestat_set_times", &[Nothing]),
    // While it waits, for at most 4,096 subscriptions.
    ("wasi", "poll_oneoff", &[Memory]),
    // No guest ever gets a socket of WASI.
    ("wasi", "sock_accept sock_recv sock_send sock_shutdown", &[Nothing]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fuzz::PREVIEW_1;
    use crate::imports::{self, Import};

    /// The number of functions of WASI preview 1, which is final.
    const WASI_FUNCTIONS: usize = 46;

    fn labels(all: &[Import]) -> BTreeSet<String> {
        all.iter().map(Import::label).collect()
    }

    fn wasi() -> BTreeSet<String> {
        // Functions that the fuzzer does not call, because they end the process.
        let ends = ["proc_exit", "proc_raise"];
        let called = PREVIEW_1.iter().map(|(name, _)| *name);
        let all: BTreeSet<_> = called.chain(ends).map(|name| format!("wasi.{name}")).collect();
        assert_eq!(all.len(), WASI_FUNCTIONS);
        all
    }

    /// The errors in the rows: functions that are missing, unknown or listed twice, or that charge both nothing and
    /// something.
    fn wrong(rows: &[Row], declared: &BTreeSet<String>) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut named = BTreeSet::new();
        for (space, names, charges) in rows {
            if charges.is_empty() || (charges.contains(&Nothing) && charges.len() > 1) {
                wrong.push(format!("{space}: {names} charge {charges:?}"));
            }
            for name in names.split(' ') {
                if !named.insert(format!("{space}.{name}")) {
                    wrong.push(format!("{space}.{name} is named twice"));
                }
            }
        }
        wrong.extend(declared.difference(&named).map(|label| format!("{label} is missing")));
        wrong.extend(
            named
                .difference(declared)
                .map(|label| format!("{label} is no function")),
        );
        wrong
    }

    #[test]
    fn each_function_says_what_it_may_charge() {
        assert_eq!(wrong(CHARGES, &labels(imports::all())), [""; 0]);
        assert_eq!(wrong(COMPAT_CHARGES, &labels(imports::compat())), [""; 0]);
        assert_eq!(wrong(WASI_CHARGES, &wasi()), [""; 0]);
    }

    /// The host provides each of these functions, so none is listed by mistake.
    #[test]
    fn each_function_of_wasi_is_one_of_the_host() {
        let declare = |label: &String| {
            let name = label.trim_start_matches("wasi.");
            let parameters = match PREVIEW_1.iter().find(|(known, _)| *known == name) {
                Some((_, parameters)) => crate::fuzz::types(parameters),
                None => " i32".into(),
            };
            let result = if name == "proc_exit" { "" } else { "(result i32)" };
            format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func (param{parameters}) {result}))")
        };
        let all: String = wasi().iter().map(declare).collect();
        let text = format!("(module {all} (func (export \"_start\")))");
        crate::host::Host::shared().load(text.as_bytes()).map(drop).unwrap();
    }

    #[test]
    fn a_function_of_wasi_without_an_entry_is_found() {
        let without: Vec<Row> = WASI_CHARGES
            .iter()
            .filter(|row| row.1 != "path_open")
            .copied()
            .collect();
        assert_eq!(wrong(&without, &wasi()), ["wasi.path_open is missing"]);
    }

    #[test]
    fn a_function_without_an_entry_is_found() {
        let without_timers: Vec<Row> = CHARGES.iter().filter(|row| row.0 != "timer").copied().collect();
        let missing = ["timer.cancel", "timer.pause", "timer.send_after"].map(|label| format!("{label} is missing"));
        assert_eq!(wrong(&without_timers, &labels(imports::all())), missing);
        let twice: Vec<Row> = CHARGES
            .iter()
            .chain(&[("timer", "pause", &[Timers, Nothing][..])])
            .copied()
            .collect();
        assert_eq!(
            wrong(&twice, &labels(imports::all())),
            ["timer: pause charge [Timers, Nothing]", "timer.pause is named twice"]
        );
    }
}
