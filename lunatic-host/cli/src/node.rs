//! `lunatic node`: a program as a node of a cluster, or a node without a program of its own.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use lunatic_admin::Token;
use lunatic_host::log::Level;
use lunatic_host::nodes::trust::{PeerRights, SharedSecret};
use lunatic_host::nodes::{Attributes, Fabric, Identity, Inlet, NodeConfig, TcpFabric, TcpSettings, Told};
use lunatic_host::wasi::Stdin;
use lunatic_host::{RunningSystem, Runtime, SystemConfig};

use crate::HostArgs;
use crate::voice::Voice;

/// The cluster of `--dev`, unless `--cluster` names another.
const DEV: &str = "dev";
/// The secret of such clusters, in the folder for caches.
const SECRET: &str = "dev-cluster.secret";
/// How long the nodes of one program may take to connect to each other.
const CONNECTING_MAX: Duration = Duration::from_secs(30);

/// The flags of `lunatic node`.
#[derive(Debug, Clone, clap::Args)]
pub struct NodeArgs {
    /// Connect to nodes that you run on this machine, without certificates
    #[arg(long, required = true, help_heading = "Node options")]
    pub dev: bool,

    /// The name of the node: letters, digits and `-_.@` [default: one with the number of this process]
    #[arg(long, value_name = "NAME", help_heading = "Node options")]
    pub name: Option<String>,

    /// The address on which other nodes reach this one; port 0 stands for any free port
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        help_heading = "Node options")]
    pub listen: SocketAddr,

    /// The address of a node of the cluster, through which this one finds all others; can be given several times
    #[arg(long, value_name = "ADDRESS", help_heading = "Node options")]
    pub join: Vec<SocketAddr>,

    /// The name of the cluster: nodes of other clusters are refused
    #[arg(long, value_name = "NAME", default_value = DEV, help_heading = "Node options")]
    pub cluster: String,

    /// Something that the node says of itself, for programs that choose nodes by it; can be given several times
    #[arg(long = "attribute", value_name = "KEY=VALUE", help_heading = "Node options")]
    pub attributes: Vec<String>,

    /// How many further nodes to start in this program.
    #[arg(skip)]
    pub further: u32,
}

impl NodeArgs {
    /// The first of several nodes in this program, in a cluster of their own: `node-1`, `node-2` and so on.
    pub fn local(count: u32) -> Self {
        Self {
            dev: true,
            name: Some("node-1".into()),
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            join: Vec::new(),
            cluster: format!("local-{}", std::process::id()),
            attributes: Vec::new(),
            further: count.saturating_sub(1),
        }
    }
}

/// A runtime as a node.
pub(crate) struct Joined {
    /// The system of the processes that other nodes spawn here.
    pub(crate) visitors: RunningSystem,
    address: SocketAddr,
    /// Further nodes in this program, each with the system of its visitors.
    further: Vec<(Runtime, RunningSystem)>,
}

impl Joined {
    /// Ends the further nodes. The first one leaves with its runtime.
    pub(crate) fn leave(&self) {
        self.further.iter().for_each(|(runtime, _)| runtime.leave());
    }
}

/// Makes the runtime a node, if the flags say so. `config` holds the rights of the program, which are the policy for
/// processes of other nodes, too.
pub(crate) fn join(
    runtime: &Runtime,
    config: &SystemConfig,
    host: &HostArgs,
    voice: &Voice,
) -> anyhow::Result<Option<Joined>> {
    let Some(args) = &host.node else { return Ok(None) };
    let mut joined = join_one(runtime, config, args, voice)?;
    for number in 0..args.further {
        let args = NodeArgs {
            name: Some(format!("node-{}", number + 2)),
            join: vec![joined.address],
            ..args.clone()
        };
        let runtime = host.runtime()?.build()?;
        let visitors = join_one(&runtime, config, &args, voice)?.visitors;
        joined.further.push((runtime, visitors));
    }
    let start = Instant::now();
    // A program that asks for nodes finds them.
    while runtime.connected_nodes().len() < joined.further.len() {
        if start.elapsed() > CONNECTING_MAX {
            bail!("the nodes of this program do not connect to each other");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(Some(joined))
}

fn join_one(runtime: &Runtime, config: &SystemConfig, args: &NodeArgs, voice: &Voice) -> anyhow::Result<Joined> {
    let mut visitors = config.clone();
    visitors.wasi.stdin = Stdin::Empty;
    let secret = secret().context("cannot keep a secret for the nodes of this user")?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => format!("node-{}", std::process::id()),
    };
    let (speaks, is_quiet) = (voice.clone(), args.further > 0);
    let node = NodeConfig {
        cluster: args.cluster.clone(),
        name,
        attributes: Attributes::parse(&args.attributes)?,
        trust: Box::new(SharedSecret::new(secret.reveal().as_bytes(), PeerRights::ALL)),
        visitors,
        told: Box::new(move |told| {
            if !is_quiet {
                tell(&speaks, told);
            }
        }),
    };
    let mut address = args.listen;
    let connect = |identity: &Identity, inlet: Inlet| {
        let settings = TcpSettings {
            cluster: args.cluster.as_str().into(),
            identity: identity.clone(),
            listen: args.listen,
            join: args.join.clone(),
        };
        let fabric = TcpFabric::open(settings, inlet);
        let fabric = fabric.with_context(|| format!("the node cannot listen on {}", args.listen))?;
        address = fabric.address();
        if !is_quiet {
            voice.say(Level::Info, &format!("node {identity} listens on {address}"));
        }
        Ok(fabric as Arc<dyn Fabric>)
    };
    let visitors = runtime.join(node, connect)?;
    Ok(Joined {
        visitors,
        address,
        further: Vec::new(),
    })
}

fn tell(voice: &Voice, told: &Told) {
    match told {
        Told::Up(_, node) => voice.say(Level::Info, &format!("node {node} is connected")),
        Told::Down(_, node, loss) => voice.say(Level::Warn, &format!("node {node} is lost: {loss}")),
        Told::Refused(node, why) => voice.say(Level::Warn, &format!("node {node} was refused: {why}")),
        _ => {}
    }
}

/// The secret that all nodes of this user on this machine share. Everybody on the machine can reach the ports of its
/// nodes; only this user can read the secret.
fn secret() -> anyhow::Result<Token> {
    let folder = lunatic_host::cache_folder().context("there is no folder for caches: set LUNATIC_CACHE")?;
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(SECRET);
    if !path.exists() {
        write_secret(&folder, &path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Token::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a new secret, unless another node does so at the same moment: then that one is kept.
fn write_secret(folder: &Path, path: &Path) -> anyhow::Result<()> {
    let own: PathBuf = folder.join(format!("{SECRET}.{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&own)?;
    file.write_all(Token::draw()?.reveal().as_bytes())?;
    let linked = std::fs::hard_link(&own, path);
    std::fs::remove_file(&own)?;
    match linked {
        Err(error) if !path.exists() => bail!(error),
        _ => Ok(()),
    }
}
