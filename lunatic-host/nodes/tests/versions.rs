//! Nodes that speak different versions of the wire format, and the trace contexts of messages, which are since version 2.

#[path = "../../kernel/tests/closures/mod.rs"]
mod closures;
mod cluster;

use std::sync::Arc;
use std::time::Duration;

use cluster::Kernels;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::mail::Content;
use lunatic_kernel::relations::mailbox::Kind;
use lunatic_nodes::cluster::Told;
use lunatic_nodes::node::Refusal;
use lunatic_sys::layout::RawHandle;
use lunatic_sys::trace::Context;
use parking_lot::Mutex;

const SECOND: Duration = Duration::from_secs(1);
const COUNT: usize = 3;

/// The messages of all servers: the number in the message, and its trace.
type Log = Arc<Mutex<Vec<(u8, Option<Arc<Context>>)>>>;

fn context() -> Arc<Context> {
    Arc::new(Context::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1").unwrap())
}

/// Starts a server on each node, which writes down its messages.
fn servers(kernels: &Kernels, log: &Log) -> Vec<RawHandle> {
    let servers = (0..COUNT).map(|node| {
        let log = log.clone();
        let server = kernels.start(node, move |me| async move {
            loop {
                let mail = me.receive(&[1]).await;
                let trace = match mail.kind {
                    Kind::Traced(_, context) => Some(context),
                    _ => None,
                };
                log.lock().push((mail.body[0], trace));
            }
        });
        kernels.address(node, server)
    });
    servers.collect()
}

/// A process of one node sends a message with a trace, and one without, to the server of another.
fn sends(kernels: &mut Kernels, from: usize, to: RawHandle) {
    let ended = kernels.run_client(from, move |me, _| async move {
        let to = me.kernel.process_named(to).expect("its node was connected");
        for (number, trace) in [(1, Some(context())), (2, None)] {
            let body = [number];
            let content = Content::from(&body).traced(trace);
            me.kernel.send_mail(me.id(), to, 1, content).unwrap();
        }
        Ok(())
    });
    assert_eq!(ended, ExitReason::Normal);
}

/// All nodes reach all others, in the newest version that both speak.
fn all_talk(kernels: &mut Kernels, servers: &[RawHandle], log: &Log, newest: &[u16]) {
    for from in 0..COUNT {
        let members = kernels.cluster(from).members();
        let up: Vec<_> = members.iter().filter(|member| member.is_up).collect();
        assert_eq!(up.len(), COUNT - 1);
        for to in (0..COUNT).filter(|to| *to != from) {
            let version = newest[from].min(newest[to]);
            let name = format!("node-{to}");
            let member = up.iter().find(|member| *member.identity.name == *name);
            assert_eq!(member.map(|member| member.version), Some(version));
            sends(kernels, from, servers[to]);
            let trace = (version >= 2).then(context);
            assert_eq!(*log.lock(), [(1, trace), (2, None)], "from {from} to {to}");
            log.lock().clear();
        }
    }
}

#[test]
fn a_cluster_is_upgraded_node_by_node_and_no_others_are_lost() {
    let log = Log::default();
    let mut kernels = Kernels::with_versions(1, COUNT, (1, 1));
    let servers = servers(&kernels, &log);
    let mut newest = [1; COUNT];
    all_talk(&mut kernels, &servers, &log, &newest);
    // First to nodes that speak both versions, then to such as speak the new one only.
    for versions in [(1, 2), (2, 2)] {
        for node in 0..COUNT {
            let before: Vec<_> = (0..COUNT).map(|node| kernels.told(node).len()).collect();
            kernels.upgrade(node, versions);
            newest[node] = versions.1;
            kernels.run(SECOND);
            for other in (0..COUNT).filter(|other| *other != node) {
                let told = kernels.told(other);
                let changes: Vec<_> = told[before[other]..].iter().map(in_words).collect();
                let name = format!("node-{node}");
                assert_eq!(changes, [format!("down {name}"), format!("up {name}")]);
            }
            all_talk(&mut kernels, &servers, &log, &newest);
        }
    }
}

fn in_words(told: &Told) -> String {
    match told {
        Told::Up(_, identity) => format!("up {identity}"),
        Told::Down(_, identity, _) => format!("down {identity}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn nodes_without_a_common_version_refuse_each_other_and_say_so_once() {
    let mut kernels = Kernels::with_versions(2, 2, (1, 1));
    kernels.upgrade(1, (2, 2));
    kernels.run(30 * SECOND);
    for node in [0, 1] {
        let members = kernels.cluster(node).members();
        assert!(members.iter().all(|member| !member.is_up));
        let told = kernels.told(node);
        let refused = told
            .iter()
            .filter(|told| matches!(told, Told::Refused(_, Refusal::Version)));
        assert_eq!(refused.count(), 1);
    }
    // Until one of them speaks both.
    kernels.upgrade(0, (1, 2));
    kernels.run(SECOND);
    let members = kernels.cluster(1).members();
    assert!(members.iter().any(|member| member.is_up && member.version == 2));
}

#[test]
fn a_call_of_another_node_works_for_the_request_of_its_caller() {
    let log = Log::default();
    let mut kernels = Kernels::new(3, COUNT);
    let server = servers(&kernels, &log)[1];
    let ended = kernels.run_client(0, move |me, _| async move {
        let server = me.kernel.process_named(server).unwrap();
        let reference = me.kernel.open_reference(&me.process);
        let trace = Some(context());
        let begun = me
            .kernel
            .begin_call_elsewhere(&me.process, server, reference, 1, (&[3], &trace));
        assert_eq!(begun, Ok(true));
        Ok(())
    });
    assert_eq!(ended, ExitReason::Normal);
    assert_eq!(*log.lock(), [(3, Some(context()))]);
}
