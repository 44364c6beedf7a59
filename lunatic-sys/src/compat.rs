//! The interface that guests of Lunatic 0.13 and 0.14 were built for: the names and types of its functions.
//!
//! The host uses it to recognise which interface a module needs, and tests iterate over all of it. Guests of this
//! version do not import any of these functions; `docs/compatibility.md` describes them.

/// A function of that interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// The namespace, without `lunatic::`.
    pub namespace: &'static str,
    /// The name within the namespace.
    pub name: &'static str,
    /// One letter for each parameter:
    ///
    /// | letter | wasm type | meaning |
    /// |---|---|---|
    /// | `p` | i32 | a pointer to bytes; the next parameter, `l`, is their number |
    /// | `t` | i32 | a pointer to values of 8 bytes; the next parameter, `c`, is their number |
    /// | `l`, `c` | i32 | such a number |
    /// | `8`, `4`, `2` | i32 | a pointer to this many bytes, which the host writes |
    /// | `a` | i32 | a pointer to an IP address of 4 or 16 bytes |
    /// | `i` | i32 | a number |
    /// | `I` | i64 | a number |
    /// | `f` | f64 | a number |
    pub parameters: &'static str,
    /// `i` for i32, `I` for i64, or nothing.
    pub result: &'static str,
}

macro_rules! functions {
    ($($namespace:literal: $($name:ident $parameters:literal $result:literal,)*;)*) => {
        /// All functions of the interface.
        pub const FUNCTIONS: &[Function] = &[$($(
            Function {
                namespace: $namespace,
                name: stringify!($name),
                parameters: $parameters,
                result: $result,
            },
        )*)*];
    };
}

functions! {
    "error":
        string_size "I" "i",
        to_string "I2" "",
        drop "I" "",
    ;
    "message":
        create_data "II" "",
        write_data "pl" "i",
        read_data "pl" "i",
        seek_data "I" "",
        get_tag "" "I",
        get_process_id "" "I",
        data_size "" "I",
        push_module "I" "I",
        take_module "I" "I",
        push_tcp_stream "I" "I",
        take_tcp_stream "I" "I",
        push_tls_stream "I" "I",
        take_tls_stream "I" "I",
        push_udp_socket "I" "I",
        take_udp_socket "I" "I",
        send "I" "i",
        send_receive_skip_search "III" "i",
        receive "tcI" "i",
    ;
    "timer":
        send_after "II" "I",
        cancel_timer "I" "i",
    ;
    "networking":
        resolve "plI8" "i",
        drop_dns_iterator "I" "",
        resolve_next "I4a244" "i",
        tcp_bind "iaiii8" "i",
        drop_tcp_listener "I" "",
        tcp_local_addr "I8" "i",
        tcp_accept "I88" "i",
        tcp_connect "iaiiiI8" "i",
        tcp_peer_addr "I8" "i",
        drop_tcp_stream "I" "",
        clone_tcp_stream "I" "I",
        tcp_write_vectored "Itc8" "i",
        tcp_read "Ipl8" "i",
        tcp_peek "Ipl8" "i",
        tcp_flush "I8" "i",
        set_read_timeout "II" "",
        set_write_timeout "II" "",
        set_peek_timeout "II" "",
        get_read_timeout "I" "I",
        get_write_timeout "I" "I",
        get_peek_timeout "I" "I",
        tls_bind "iaiii8plpl" "i",
        drop_tls_listener "I" "",
        tls_local_addr "I8" "i",
        tls_accept "I88" "i",
        tls_connect "pliI8tc" "i",
        drop_tls_stream "I" "",
        clone_tls_stream "I" "I",
        tls_write_vectored "Itc8" "i",
        tls_read "Ipl8" "i",
        tls_flush "I8" "i",
        set_tls_read_timeout "II" "",
        set_tls_write_timeout "II" "",
        get_tls_read_timeout "I" "I",
        get_tls_write_timeout "I" "I",
        udp_bind "iaiii8" "i",
        drop_udp_socket "I" "",
        clone_udp_socket "I" "I",
        udp_local_addr "I8" "i",
        udp_peer_addr "I8" "i",
        udp_connect "IiaiiiI8" "i",
        udp_send "Ipl8" "i",
        udp_send_to "Ipliaiii8" "i",
        udp_receive "Ipl8" "i",
        udp_receive_from "Ipl88" "i",
        set_udp_socket_broadcast "Ii" "",
        get_udp_socket_broadcast "I" "i",
        set_udp_socket_ttl "Ii" "",
        get_udp_socket_ttl "I" "i",
    ;
    "process":
        compile_module "pl8" "i",
        drop_module "I" "",
        create_config "" "I",
        drop_config "I" "",
        config_set_max_memory "II" "",
        config_get_max_memory "I" "I",
        config_set_max_fuel "II" "",
        config_get_max_fuel "I" "I",
        config_can_compile_modules "I" "i",
        config_set_can_compile_modules "Ii" "",
        config_can_create_configs "I" "i",
        config_set_can_create_configs "Ii" "",
        config_can_spawn_processes "I" "i",
        config_set_can_spawn_processes "Ii" "",
        spawn "IIIplpl8" "i",
        get_or_spawn "plIIIplpl88" "i",
        sleep_ms "I" "",
        die_when_link_dies "i" "",
        process_id "" "I",
        environment_id "" "I",
        link "II" "",
        unlink "I" "",
        monitor "I" "",
        stop_monitoring "I" "",
        kill "I" "",
        exists "I" "i",
    ;
    "registry":
        put "plII" "",
        get "pl88" "i",
        remove "pl" "",
    ;
    "wasi":
        config_add_environment_variable "Iplpl" "",
        config_add_command_line_argument "Ipl" "",
        config_preopen_dir "Ipl" "",
    ;
    "distributed":
        nodes_count "" "i",
        get_nodes "tc" "i",
        exec_lookup_nodes "pl848" "i",
        copy_lookup_nodes_results "Itc8" "i",
        node_id "" "I",
        module_id "" "I",
        spawn "IIIplpl8" "i",
        send "II" "i",
        send_receive_skip_search "IIII" "i",
        test_root_cert "4" "i",
        default_server_certificates "plpl4" "i",
        sign_node "plplpl4" "i",
    ;
    "sqlite":
        open "pl8" "I",
        execute "Ipl" "i",
        query_prepare "Ipl" "I",
        bind_value "Ipl" "",
        sqlite3_step "I" "i",
        read_row "I4" "i",
        read_column "Ii4" "i",
        column_count "I" "i",
        column_name "Ii4" "i",
        column_names "I4" "i",
        statement_reset "I" "",
        sqlite3_finalize "I" "",
        sqlite3_changes "I" "i",
        last_error "I4" "i",
    ;
    "metrics":
        counter "plI" "",
        increment_counter "pl" "",
        gauge "plf" "",
        increment_gauge "plf" "",
        decrement_gauge "plf" "",
        histogram "plf" "",
    ;
    "trap":
        catch "ii" "i",
    ;
    "version":
        major "" "i",
        minor "" "i",
        patch "" "i",
    ;
}

/// The code that means that a timeout has passed.
pub const TIMED_OUT: i32 = 9027;

/// The largest number of milliseconds means no timeout.
pub const NO_TIMEOUT: u64 = u64::MAX;
