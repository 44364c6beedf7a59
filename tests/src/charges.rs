//! What each function of the interface may make the host keep, and who therefore must pay: the list against which a new
//! function is held.
//!
//! A function that is added must be named here; whoever adds it says with that what it leaves behind in the host after it
//! has returned, and that a budget counts it. docs/security.md ("Resources") says how each kind is counted.

/// What a function may leave behind in the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// It leaves nothing behind, or gives something back.
    Nothing,
    /// Messages and signals in mailboxes and channels.
    Messages,
    /// Channels themselves.
    Channels,
    /// Links, monitors, references, names, groups.
    Relations,
    Timers,
    /// What waits to be fetched, and captured values.
    Buffers,
    /// Processes, their memory, and what is kept with them: configurations, message drafts, resources by number.
    Memory,
    /// Sockets, certificates, and what is on its way in them.
    Sockets,
    Databases,
    /// Compiled code.
    Code,
    /// What was printed, metrics, what is told about processes that end.
    Output,
}

use Charge::*;

/// Each function of a namespace, `lunatic::` left out, and all that it may charge.
type Row = (&'static str, &'static str, &'static [Charge]);

/// The functions of `lunatic-sys`.
pub const CHARGES: &[Row] = &[
    ("buffer", "len take", &[Nothing]),
    ("buffer", "put", &[Buffers]),
    ("channel", "new", &[Channels]),
    ("channel", "try_send send", &[Messages]),
    ("channel", "try_receive receive", &[Buffers]),
    ("mailbox", "send", &[Messages]),
    ("mailbox", "reference", &[Relations]),
    ("mailbox", "close", &[Nothing]),
    ("mailbox", "receive", &[Buffers]),
    ("mailbox", "call", &[Messages, Relations, Buffers]),
    ("mailbox", "select", &[Nothing]),
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
    ("registry", "register join_group", &[Relations]),
    ("registry", "unregister leave_group lookup", &[Nothing]),
    ("registry", "members", &[Buffers]),
    ("registry", "broadcast", &[Messages]),
    ("rights", "allows usage", &[Nothing]),
    ("rights", "take_output", &[Buffers]),
    ("timer", "send_after", &[Timers, Messages]),
    ("timer", "cancel pause", &[Nothing]),
];

/// Those of the interface of Lunatic 0.13.
pub const COMPAT_CHARGES: &[Row] = &[
    ("error", "string_size to_string drop", &[Nothing]),
    ("message", "create_data write_data", &[Memory]),
    (
        "message",
        "read_data seek_data get_tag get_process_id data_size",
        &[Nothing],
    ),
    (
        "message",
        "push_module push_tcp_stream push_tls_stream push_udp_socket",
        &[Memory],
    ),
    (
        "message",
        "take_module take_tcp_stream take_tls_stream take_udp_socket",
        &[Memory],
    ),
    ("message", "send send_receive_skip_search", &[Messages]),
    ("message", "receive", &[Memory]),
    ("timer", "send_after", &[Timers, Messages]),
    ("timer", "cancel_timer", &[Nothing]),
    ("networking", "resolve", &[Memory]),
    ("networking", "drop_dns_iterator resolve_next", &[Nothing]),
    (
        "networking",
        "tcp_bind tcp_accept tcp_connect clone_tcp_stream",
        &[Sockets, Memory],
    ),
    (
        "networking",
        "tls_bind tls_accept tls_connect clone_tls_stream",
        &[Sockets, Memory],
    ),
    (
        "networking",
        "udp_bind udp_connect clone_udp_socket",
        &[Sockets, Memory],
    ),
    (
        "networking",
        "tcp_local_addr tcp_peer_addr tls_local_addr udp_local_addr udp_peer_addr",
        &[Memory],
    ),
    ("networking", "udp_receive_from", &[Memory]),
    (
        "networking",
        "tcp_write_vectored tls_write_vectored udp_send udp_send_to",
        &[Sockets],
    ),
    (
        "networking",
        "tcp_read tcp_peek tls_read udp_receive tcp_flush tls_flush",
        &[Nothing],
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
    ("process", "compile_module", &[Code, Memory]),
    ("process", "drop_module drop_config", &[Nothing]),
    ("process", "create_config", &[Memory]),
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
    ("process", "spawn get_or_spawn", &[Memory, Relations]),
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
        &[Memory],
    ),
    (
        "distributed",
        "nodes_count get_nodes exec_lookup_nodes copy_lookup_nodes_results",
        &[Memory],
    ),
    ("distributed", "node_id module_id", &[Nothing]),
    ("distributed", "spawn", &[Memory, Relations]),
    ("distributed", "send send_receive_skip_search", &[Messages]),
    (
        "distributed",
        "test_root_cert default_server_certificates sign_node",
        &[Memory],
    ),
    (
        "sqlite",
        "open execute query_prepare bind_value sqlite3_step",
        &[Databases],
    ),
    (
        "sqlite",
        "read_row read_column column_name column_names last_error",
        &[Memory],
    ),
    (
        "sqlite",
        "column_count statement_reset sqlite3_finalize sqlite3_changes",
        &[Nothing],
    ),
    (
        "metrics",
        "counter increment_counter gauge increment_gauge decrement_gauge histogram",
        &[Output],
    ),
    ("trap", "catch", &[Nothing]),
    ("version", "major minor patch", &[Nothing]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::imports::{self, Import};

    /// What is missing in the rows, or no function, or named twice, or charges nothing and something.
    fn wrong(rows: &[Row], all: &[Import]) -> Vec<String> {
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
        let declared: BTreeSet<_> = all.iter().map(Import::label).collect();
        wrong.extend(declared.difference(&named).map(|label| format!("{label} is missing")));
        wrong.extend(
            named
                .difference(&declared)
                .map(|label| format!("{label} is no function")),
        );
        wrong
    }

    #[test]
    fn each_function_says_what_it_may_charge() {
        assert_eq!(wrong(CHARGES, imports::all()), [""; 0]);
        assert_eq!(wrong(COMPAT_CHARGES, imports::compat()), [""; 0]);
    }

    #[test]
    fn a_function_without_an_entry_is_found() {
        let without_timers: Vec<Row> = CHARGES.iter().filter(|row| row.0 != "timer").copied().collect();
        let missing = ["timer.cancel", "timer.pause", "timer.send_after"].map(|label| format!("{label} is missing"));
        assert_eq!(wrong(&without_timers, imports::all()), missing);
        let twice: Vec<Row> = CHARGES
            .iter()
            .chain(&[("timer", "pause", &[Timers, Nothing][..])])
            .copied()
            .collect();
        assert_eq!(
            wrong(&twice, imports::all()),
            ["timer: pause charge [Timers, Nothing]", "timer.pause is named twice"]
        );
    }
}
