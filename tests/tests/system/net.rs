//! Sockets. The scenarios are in `guests/net/`.

use lunatic_host::rights::net::Rule;
use lunatic_tests::folders;
use lunatic_tests::guests::{self, Profile};
use lunatic_tests::host::{Host, Program};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

pub(crate) fn rules(rules: &[&str]) -> Vec<Rule> {
    rules.iter().map(|rule| rule.parse().unwrap()).collect()
}

fn run(program: Program<'_>) {
    program.net(rules(&["*"])).run().normal();
}

/// With a certificate for `localhost` that `ROOT` has signed, and one that `other.example` has made for itself.
fn with_certificates(program: Program<'_>) {
    let mut root = CertificateParams::new([]).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate().unwrap();
    let root_certificate = root.self_signed(&root_key).unwrap();
    let issuer = Issuer::new(root, root_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &issuer).unwrap();
    let other = rcgen::generate_simple_self_signed(["other.example".to_owned()]).unwrap();
    let program = program
        .env("ROOT", &root_certificate.pem())
        .env("CERTIFICATE", &certificate.pem())
        .env("KEY", &key.serialize_pem())
        .env("OTHER_CERTIFICATE", &other.cert.pem())
        .env("OTHER_KEY", &other.signing_key.serialize_pem());
    run(program);
}

crate::scenarios! {
    "net":
    an_echo_server => |program| run(program),
    a_read_that_times_out_takes_nothing => |program| run(program),
    a_write_that_times_out_says_how_much_was_written => |program| run(program),
    each_side_of_a_stream_ends_by_itself => |program| run(program),
    a_reset_is_an_error => |program| run(program),
    errors_have_the_kinds_of_std => |program| run(program),
    options => |program| run(program),
    peeking => |program| run(program),
    version_six => |program| run(program),
    a_socket_goes_with_a_message => |program| run(program),
    a_socket_goes_with_a_spawn => |program| run(program),
    a_socket_goes_with_mail => |program| run(program),
    a_failed_send_gives_the_socket_back => |program| run(program),
    a_call_that_times_out_has_handed_its_socket_over => |program| run(program),
    a_socket_that_is_never_received_closes_with_its_receiver => |program| run(program),
    sockets_close_with_their_process => |program| run(program),
    a_process_that_waits_for_a_socket_can_be_killed => |program| run(program),
    several_accept_from_one_listener => |program| run(program),
    futures_wait_for_sockets_beside_other_things => |program| run(program),
    connections_need_a_right => |program| {
        let ended = program.log_denials().net(rules(&["127.0.0.1", "bind:127.0.0.1"])).run().normal();
        for line in [
            "(main) may not connect or send to \"127.0.0.2:1\" (--allow-net 127.0.0.2:1 would allow it)\n",
            "may not listen or receive on \"0.0.0.0:0\" (--allow-net bind:0.0.0.0:0 would allow it)\n",
            "may not look up \"example.com\" (--allow-net resolve:example.com would allow it)\n",
        ] {
            ended.reports(line);
        }
    },
    sockets_count_in_a_budget => |program| run(program),
    sockets_are_limited => |program| run(program),
    a_flood_is_slowed_down => |program| run(program),
    many_waits_are_frozen => |_| {
        let host = Host::with(|builder| builder.resident_max(0));
        run(host.program(&guests::bytes("net", Profile::Debug)).args(["many_waits_are_frozen"]));
    },
    datagrams => |program| run(program),
    a_datagram_that_does_not_come_times_out => |program| run(program),
    datagrams_need_a_right => |program| {
        _ = program.net(rules(&["127.0.0.1", "bind:127.0.0.1"])).run().normal();
    },
    multicast => |program| run(program),
    unix_streams => |program| folders::with_folders(|data, _| _ = program.dir(data, "/data", false).run().normal()),
    unix_paths_are_in_the_folders_of_the_process => |program| folders::with_folders(|data, ro| {
        let outside = tempfile::tempdir().unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(outside.path().join("socket")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("socket"), data.join("socket-outside")).unwrap();
        std::os::unix::fs::symlink(outside.path(), data.join("folder-outside")).unwrap();
        program.dir(data, "/data", false).dir(ro, "/ro", true).run().normal();
    }),
    names_are_looked_up => |program| {
        _ = program.net(rules(&["localhost", "name.localhost.test", "bind:*"])).run().normal();
    },
    tls_both_ways => |program| with_certificates(program),
    tls_agrees_on_a_protocol => |program| with_certificates(program),
    tls_picks_a_certificate_by_name => |program| with_certificates(program),
    tls_trusts_nobody_else => |program| with_certificates(program),
    tls_client_certificates => |program| with_certificates(program),
    tls_certificates_are_replaced => |program| with_certificates(program),
    tls_ends_are_told_from_losses => |program| with_certificates(program),
    tls_streams_are_handed_over => |program| with_certificates(program),
    tls_write_timeouts_lose_nothing => |program| with_certificates(program),
    tls_with_what_is_no_tls => |program| with_certificates(program),
}
