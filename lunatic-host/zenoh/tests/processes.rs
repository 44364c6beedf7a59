//! Real nodes: processes of the operating system on loopback, with kernels whose processes are closures, connected by Zenoh. What
//! goes wrong is real, too: SIGKILL, SIGSTOP, and a connection that goes silent.

#[path = "../../kernel/tests/closures/mod.rs"]
mod closures;
mod node;
mod outside;

use std::time::Duration;

use outside::{Cluster, Proxy};

/// How long news may take on a machine that is busy. None of the tests waits for so long when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs in the other processes: the program of a node.
#[test]
#[ignore = "the other tests start it"]
fn node_program() {
    node::main();
}

#[test]
fn three_nodes_join_and_messages_arrive_in_order() {
    let cluster = Cluster::start("messages", 3);
    cluster.nodes[0].order("send node-1 2000");
    cluster.nodes[2].order("send node-1 2000");
    cluster.nodes[1].hear("2000 from node-0 in order", PATIENCE);
    cluster.nodes[1].hear("2000 from node-2 in order", PATIENCE);
}

#[test]
fn a_node_that_is_killed_is_told_of_by_links_and_as_a_node() {
    let mut cluster = Cluster::start("killed", 3);
    for node in 0..2 {
        cluster.nodes[node].order("watch node-2");
        cluster.nodes[node].hear("watches node-2", PATIENCE);
    }
    cluster.nodes[2].kill();
    for node in 0..2 {
        cluster.nodes[node].hear("link to node-2 fired", PATIENCE);
        cluster.nodes[node].hear("down node-2", PATIENCE);
    }
    cluster.nodes[0].order("send node-1 100");
    cluster.nodes[1].hear("100 from node-0 in order", PATIENCE);
}

#[test]
fn a_node_that_stands_still_is_down_holds_up_nobody_and_comes_back() {
    let cluster = Cluster::start("frozen", 3);
    cluster.nodes[0].order("watch node-1");
    cluster.nodes[0].hear("watches node-1", PATIENCE);
    cluster.nodes[1].stop();
    // Much more than fits into windows and queues.
    cluster.nodes[0].order("send node-1 100000");
    cluster.nodes[0].order("send node-2 2000");
    cluster.nodes[2].hear("2000 from node-0 in order", PATIENCE);
    cluster.nodes[0].hear("link to node-1 fired", PATIENCE);
    cluster.nodes[0].hear("down node-1", PATIENCE);
    cluster.nodes[1].go_on();
    cluster.nodes[0].hear("up node-1", PATIENCE);
    cluster.nodes[0].order("send node-1 100");
    cluster.nodes[1].hear("100 from node-0 in order", PATIENCE);
}

#[test]
fn a_connection_that_goes_silent_is_down_on_both_sides() {
    let mut cluster = Cluster::start("silent", 1);
    let proxy = Proxy::start(cluster.nodes[0].port);
    cluster.join_through(&proxy);
    proxy.silence();
    for (node, other) in [(0, "node-1"), (1, "node-0")] {
        cluster.nodes[node].hear(&format!("down {other}"), PATIENCE);
    }
}
