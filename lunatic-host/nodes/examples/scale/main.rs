//! How a cluster grows: full meshes of many nodes in one thread, on the fabric in memory and in virtual time.
//!
//! `cargo run --release -p lunatic-nodes --example scale -- [NODES…]` prints the tables of `docs/scaling.md`; by default for
//! 10, 32, 100, 300 and 1,000 nodes. All figures but those of the processor follow from the seed alone. A frame takes 50 µs.
//! The bytes are those of frames, without what TCP and TLS add.
#![allow(unreachable_pub, reason = "the modules of a program")]

mod counting;
mod mesh;

use std::time::{Duration, Instant};

use lunatic_kernel::exit::Loss;

use self::counting::drop_counted;
use self::mesh::{Mesh, Sent};

const SECOND: Duration = Duration::from_secs(1);
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long traffic is counted while nothing happens.
const QUIET: Duration = Duration::from_secs(5);
/// How many names each node registers.
const NAMES: usize = 10;
/// What comes within a step of this length is handled together. With more than a hundred nodes, so much comes all the time that
/// short steps would take hours.
const STEP: Duration = Duration::from_millis(1);
const LONG_STEP: Duration = Duration::from_millis(50);

/// The figures of one mesh. Traffic and processor time are those of one node.
struct Figures {
    nodes: usize,
    joined: Duration,
    join: Sent,
    quiet: Sent,
    /// The time of the processor in a quiet second.
    busy: Duration,
    /// The time of one poll when nothing is due.
    poll: Duration,
    bytes: usize,
    silent: [Duration; 2],
    closed: [Duration; 2],
    named: Duration,
    names: Sent,
    renamed: Duration,
    rename: Sent,
    bytes_with_names: usize,
    took: Duration,
}

fn main() {
    let sizes: Vec<usize> = std::env::args()
        .skip(1)
        .map(|text| text.parse().ok().filter(|nodes| *nodes >= 5).unwrap_or_else(|| usage()))
        .collect();
    let sizes = if sizes.is_empty() {
        vec![10, 32, 100, 300, 1000]
    } else {
        sizes
    };
    let figures: Vec<Figures> = sizes.iter().map(|nodes| measure(*nodes)).collect();
    print(&figures);
}

fn usage() -> ! {
    eprintln!("usage: scale [NODES…], numbers from 5 on");
    std::process::exit(2)
}

fn measure(nodes: usize) -> Figures {
    let begun = Instant::now();
    let step = if nodes > 100 { LONG_STEP } else { STEP };
    let mut mesh = Mesh::new(nodes as u64, step);
    // All are started within a second.
    for number in 0..nodes {
        mesh.start();
        mesh.run(
            SECOND * (number as u32 + 1) / nodes as u32 - mesh.now().min(SECOND),
            |_| false,
        );
    }
    let whole = nodes * (nodes - 1);
    mesh.run(PATIENCE, |mesh| mesh.up == whole);
    assert_eq!(mesh.up, whole, "all nodes are connected");
    let (joined, join) = (mesh.now().saturating_sub(SECOND), mesh.sent);
    eprintln!("{nodes} nodes: connected after {:.1} s", begun.elapsed().as_secs_f64());

    mesh.run(2 * SECOND, |_| false);
    let (before, busy) = (mesh.sent, mesh.busy);
    mesh.run(QUIET, |_| false);
    let (quiet, busy) = (mesh.sent.since(before), mesh.busy - busy);
    let poll = time_of_poll(&mut mesh);
    eprintln!("{nodes} nodes: quiet after {:.1} s", begun.elapsed().as_secs_f64());

    let (bytes, silent) = lose(&mut mesh, 0, false);
    let (_, closed) = lose(&mut mesh, 1, true);
    let left = 2..nodes;
    let before = mesh.sent;
    for number in left.clone() {
        for name in 0..NAMES {
            let name = format!("service-{number:04}-{name}");
            mesh.node(number)
                .register(name.as_bytes(), 1, 0)
                .expect("the name is free");
        }
        mesh.node(number).join(b"workers", 1).expect("there is room");
    }
    let rows = (left.len() - 1) * (NAMES + 1);
    let named = mesh.run(PATIENCE, |mesh| know(mesh, rows));
    let names = mesh.sent.since(before);
    let before = mesh.sent;
    mesh.node(2).register(b"another", 1, 0).expect("the name is free");
    let renamed = mesh.run(PATIENCE, |mesh| {
        mesh.nodes().all(|node| node.find(b"another").is_some())
    });
    let rename = mesh.sent.since(before);
    let bytes_with_names = drop_counted(mesh.end(2, false));
    Figures {
        nodes,
        joined,
        join,
        quiet,
        busy: busy / (nodes as u32 * QUIET.as_secs() as u32),
        poll,
        bytes,
        silent,
        closed,
        named,
        names,
        renamed,
        rename,
        bytes_with_names,
        took: begun.elapsed(),
    }
}

/// Whether all nodes know so many names and memberships of others.
fn know(mesh: &Mesh, rows: usize) -> bool {
    mesh.nodes().all(|node| node.figures().foreign_rows >= rows)
}

/// How long a poll takes when there is nothing to send.
fn time_of_poll(mesh: &mut Mesh) -> Duration {
    const POLLS: u32 = 1000;
    let now = mesh.now();
    let node = mesh.node(0);
    let begun = Instant::now();
    for _ in 0..POLLS {
        node.poll(now);
    }
    begun.elapsed() / POLLS
}

/// Ends a node. How many bytes it held, and after which time the first and the last of the others have noticed.
fn lose(mesh: &mut Mesh, number: usize, is_closed: bool) -> (usize, [Duration; 2]) {
    let others = mesh.nodes().count() - 1;
    mesh.downs.clear();
    let node = mesh.end(number, is_closed);
    let (start, lost) = (mesh.now(), node.id());
    // Its own connections are not counted any more.
    mesh.up -= others;
    let bytes = drop_counted(node);
    mesh.run(PATIENCE, |mesh| mesh.downs.len() == others);
    let expected = if is_closed { Loss::Closed } else { Loss::Silent };
    assert_eq!(mesh.downs.len(), others, "all notice it once");
    assert!(mesh.downs.iter().all(|down| (down.node, down.loss) == (lost, expected)));
    let times = || mesh.downs.iter().map(|down| down.at - start);
    (
        bytes,
        [times().min(), times().max()].map(|time| time.expect("there are others")),
    )
}

fn print(figures: &[Figures]) {
    let per = |sum: u64, nodes: usize, seconds: u64| sum as f64 / nodes as f64 / seconds as f64;
    println!("| nodes | connections of a node | all connected after | sent by a node until then |");
    println!("|---|---|---|---|");
    for one in figures {
        let sent = per(one.join.bytes, one.nodes, 1);
        println!(
            "| {} | {} | {} | {} |",
            one.nodes,
            one.nodes - 1,
            time(one.joined),
            size(sent)
        );
    }
    println!(
        "\n| nodes | frames a second of a node | bytes a second of a node | of all nodes | memory of a node | of a connection |"
    );
    println!("|---|---|---|---|---|---|");
    for one in figures {
        let seconds = QUIET.as_secs();
        println!(
            "| {} | {:.0} | {} | {} | {} | {} |",
            one.nodes,
            per(one.quiet.frames, one.nodes, seconds),
            size(per(one.quiet.bytes, one.nodes, seconds)),
            size(per(one.quiet.bytes, 1, seconds)),
            size(one.bytes as f64),
            size(one.bytes as f64 / (one.nodes - 1) as f64),
        );
    }
    println!("\n| nodes | a node that falls silent is lost after | one whose connection is closed |");
    println!("|---|---|---|");
    for one in figures {
        let range = |[first, last]: [Duration; 2]| format!("{} to {}", time(first), time(last));
        println!("| {} | {} | {} |", one.nodes, range(one.silent), range(one.closed));
    }
    println!(
        "\n| nodes | names and memberships in all | known everywhere after | sent by a node for that | one more name: known after | \
         sent by all | memory of a node with all |"
    );
    println!("|---|---|---|---|---|---|---|");
    for one in figures {
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            one.nodes,
            (one.nodes - 2) * (NAMES + 1),
            time(one.named),
            size(per(one.names.bytes, one.nodes - 2, 1)),
            time(one.renamed),
            size(one.rename.bytes as f64),
            size(one.bytes_with_names as f64),
        );
    }
    println!(
        "\n| nodes | processor time of a node in a quiet second | of a poll with nothing to do | the simulation took |"
    );
    println!("|---|---|---|---|");
    for one in figures {
        let (busy, poll) = (one.busy.as_secs_f64() * 1e6, one.poll.as_secs_f64() * 1e6);
        println!(
            "| {} | {busy:.0} µs | {poll:.1} µs | {:.1} s |",
            one.nodes,
            one.took.as_secs_f64()
        );
    }
}

fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s"),
    }
}

fn size(bytes: f64) -> String {
    match bytes {
        bytes if bytes < 1e3 => format!("{bytes:.0} B"),
        bytes if bytes < 1e6 => format!("{:.1} kB", bytes / 1e3),
        bytes => format!("{:.1} MB", bytes / 1e6),
    }
}
