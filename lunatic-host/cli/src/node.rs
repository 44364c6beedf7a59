//! `lunatic node`: a program as a node of a cluster, or a node without a program of its own.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use lunatic_admin::Token;
use lunatic_cluster::{Certified, Paths, Policed};
use lunatic_host::log::Level;
use lunatic_host::nodes::trust::{PeerRights, SharedSecret};
use lunatic_host::nodes::{
    Admits, Attributes, Fabric, Guard, Identity, Inlet, NodeConfig, TcpFabric, TcpSettings, Told, Trust,
};
use lunatic_host::report::untrusted::lines;
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

/// Where a node with certificates listens.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7447);

/// The flags of `lunatic node`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(group(clap::ArgGroup::new("membership").args(["dev", "identity"]).required(true).multiple(false)))]
pub struct NodeArgs {
    /// Connect to nodes that you run on this machine, without certificates
    #[arg(long, help_heading = "Node options")]
    pub dev: bool,

    /// The certificate and key of the node, a file that `lunatic cluster invite` has made: connect to nodes of its cluster,
    /// on any machine
    #[arg(long, value_name = "FILE", help_heading = "Node options")]
    pub identity: Option<PathBuf>,

    /// The list of revoked certificates: `revoked.pem` in the folder of the cluster, or a copy. It is read again when it
    /// changes
    #[arg(long, value_name = "FILE", requires = "identity", help_heading = "Node options")]
    pub revoked: Option<PathBuf>,

    /// What other nodes may do on this node. It is read again when it changes [default: everything, and their processes have at
    /// most the rights that the flags grant]
    #[arg(long, value_name = "FILE", requires = "identity", help_heading = "Node options")]
    pub policy: Option<PathBuf>,

    /// The name of the node: letters, digits and `-_.@` [default: the name in its certificate, or with `--dev` one with the
    /// number of this process]
    #[arg(long, value_name = "NAME", help_heading = "Node options")]
    pub name: Option<String>,

    /// The address on which other nodes reach this one; port 0 stands for any free port [default: 0.0.0.0:7447, with `--dev`
    /// 127.0.0.1:0]
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "Node options")]
    pub listen: Option<SocketAddr>,

    /// The address of a node of the cluster, through which this node finds all others; can be given several times
    #[arg(long, value_name = "HOST:PORT", help_heading = "Node options")]
    pub join: Vec<String>,

    /// The name of the cluster: nodes of other clusters are refused [default: `dev`, or the one in the certificate]
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "identity",
        help_heading = "Node options"
    )]
    pub cluster: Option<String>,

    /// An attribute of the node, by which programs can choose nodes; can be given several times
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
            cluster: Some(format!("local-{}", std::process::id())),
            further: count.saturating_sub(1),
            ..Self::default()
        }
    }

    /// The folders of files that the node reads again later; of links, also the folders that they lead to now.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let files = [&self.identity, &self.revoked, &self.policy].into_iter().flatten();
        let parent = |file: &Path| match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => ".".into(),
        };
        files
            .flat_map(|file| {
                let target = fs::canonicalize(file).ok();
                [Some(parent(file)), target.as_deref().map(parent)]
            })
            .flatten()
            .collect()
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

/// The folders of files that a node reads again later.
pub(crate) fn folders(host: &HostArgs) -> Vec<PathBuf> {
    host.node.as_ref().map(NodeArgs::folders).unwrap_or_default()
}

/// Whether the host looks up the names of other machines.
pub(crate) fn resolves_names(host: &HostArgs) -> bool {
    host.node.as_ref().is_some_and(|node| !node.join.is_empty())
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
            join: vec![joined.address.to_string()],
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
            bail!("the nodes of this program have not connected to each other within 30 seconds");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(Some(joined))
}

fn join_one(runtime: &Runtime, config: &SystemConfig, args: &NodeArgs, voice: &Voice) -> anyhow::Result<Joined> {
    let mut visitors = config.clone();
    visitors.wasi.stdin = Stdin::Empty;
    let (speaks, is_quiet) = (voice.clone(), args.further > 0);
    let place = match &args.identity {
        Some(identity) => certified(identity, args, voice)?,
        None => on_this_machine(args)?,
    };
    let node = NodeConfig {
        cluster: place.cluster.clone(),
        name: place.name,
        attributes: Attributes::parse(&args.attributes)?,
        trust: place.trust,
        visitors,
        admits: place.admits,
        told: Box::new(move |told| {
            if !is_quiet {
                tell(&speaks, told);
            }
        }),
    };
    let mut address = place.listen;
    let reports = voice.clone();
    let connect = |identity: &Identity, inlet: Inlet| {
        let settings = TcpSettings {
            cluster: place.cluster.as_str().into(),
            identity: identity.clone(),
            listen: place.listen,
            join: args.join.iter().map(|join| join.as_str().into()).collect(),
            guard: place.guard,
            report: Arc::new(move |text| reports.say(Level::Warn, &lines(text).to_string())),
        };
        let fabric = TcpFabric::open(settings, inlet);
        let fabric = fabric.with_context(|| format!("the node cannot listen on {}", place.listen))?;
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

/// The place of a node among others, and how it tells friend from foe.
struct Place {
    cluster: String,
    name: String,
    listen: SocketAddr,
    trust: Box<dyn Trust>,
    guard: Option<Arc<dyn Guard>>,
    admits: Admits,
}

/// A node without certificates.
fn on_this_machine(args: &NodeArgs) -> anyhow::Result<Place> {
    let secret = secret().context("cannot read or make the secret that the nodes of this user share")?;
    let secret = secret.reveal().as_bytes();
    let cluster = args.cluster.clone().unwrap_or_else(|| DEV.into());
    let name = args.name.clone();
    let name = name.unwrap_or_else(|| format!("node-{}", std::process::id()));
    let guard = Certified::with_secret(secret, &cluster, &name);
    let guard = guard.with_context(|| format!("`{name}` cannot be a node of cluster `{cluster}`"))?;
    Ok(Place {
        cluster,
        name,
        listen: args.listen.unwrap_or((Ipv4Addr::LOCALHOST, 0).into()),
        trust: Box::new(SharedSecret::new(secret, PeerRights::ALL)),
        guard: Some(Arc::new(guard)),
        admits: Box::new(|_, _| Ok(None)),
    })
}

/// A node with certificates.
fn certified(identity: &Path, args: &NodeArgs, voice: &Voice) -> anyhow::Result<Place> {
    let paths = Paths {
        identity: identity.to_owned(),
        revoked: args.revoked.clone(),
        policy: args.policy.clone(),
    };
    let reports = voice.clone();
    let report = move |text: &str| reports.say(Level::Warn, &lines(text).to_string());
    let certified = Certified::read(&paths, report).map_err(|error| {
        let text = match error.kind() {
            ErrorKind::PermissionDenied => {
                "cannot use the files of the node (the host can read only their folders and those that links led to when \
                 it started: see `--confine`)"
            }
            _ => "cannot use the files of the node",
        };
        anyhow::Error::new(error).context(text)
    })?;
    let name = certified.name().to_owned();
    if let Some(wanted) = &args.name
        && *wanted != name
    {
        let file = identity.display();
        bail!(
            "{file} is the identity of node {name}, not of node {wanted}: leave out `--name`, or make one with `lunatic cluster invite {wanted}`"
        );
    }
    let policies = certified.policies();
    Ok(Place {
        cluster: certified.cluster().to_owned(),
        name,
        listen: args.listen.unwrap_or(LISTEN),
        trust: Box::new(Policed(policies.clone())),
        guard: Some(Arc::new(certified)),
        admits: Box::new(move |node, module| policies.current().visit(node, module)),
    })
}

fn tell(voice: &Voice, told: &Told) {
    match told {
        Told::Up(_, node) => voice.say(Level::Info, &format!("node {node} is connected")),
        Told::Down(_, node, loss) => voice.say(Level::Warn, &format!("node {node} is lost: {loss}")),
        Told::Refused(node, why) => voice.say(Level::Warn, &format!("node {node} was refused: {why}")),
        Told::Conflict(conflict) => {
            let name = conflict.name.escape_ascii();
            voice.say(
                Level::Warn,
                &format!("a process of this node has lost the global name `{name}` to another node"),
            );
        }
        _ => {}
    }
}

/// The secret that all nodes of this user on this machine share. Everybody on the machine can reach the ports of its
/// nodes; only this user can read the secret.
fn secret() -> anyhow::Result<Token> {
    let folder = lunatic_host::cache_folder().context("there is no folder for caches: set LUNATIC_CACHE")?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(SECRET);
    if !path.exists() {
        write_secret(&folder, &path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Token::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a new secret, unless another node does so at the same moment: then that one is kept.
fn write_secret(folder: &Path, path: &Path) -> anyhow::Result<()> {
    let own: PathBuf = folder.join(format!("{SECRET}.{}", std::process::id()));
    // A former process with this number may have left it behind.
    _ = fs::remove_file(&own);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&own)?;
    let written = file.write_all(Token::draw()?.reveal().as_bytes());
    // Before anybody finds it, so that it is not empty after a crash of the machine.
    let linked = written
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&own, path));
    fs::remove_file(&own)?;
    match linked {
        Err(error) if !path.exists() => bail!(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_folders_of_a_node_are_those_of_its_files_and_of_what_links_lead_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| fs::canonicalize(&folder).unwrap().join(name);
        for name in ["etc", "run", "run/now"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::write(path("run/now/node.pem"), "").unwrap();
        symlink(path("run/now/node.pem"), path("run/node.pem")).unwrap();
        symlink("../run/node.pem", path("etc/node.pem")).unwrap();
        let args = NodeArgs {
            identity: Some(path("etc/node.pem")),
            revoked: Some("missing.pem".into()),
            ..NodeArgs::default()
        };
        assert_eq!(args.folders(), [path("etc"), path("run/now"), ".".into()]);
    }

    #[test]
    fn a_secret_is_new_and_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join(SECRET), folder.path().join("other"));
        fs::write(&other, "of somebody else").unwrap();
        symlink(&other, folder.path().join(format!("{SECRET}.{}", std::process::id()))).unwrap();
        write_secret(folder.path(), &path).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "of somebody else");
        let secret = Token::read(&path).unwrap();
        // The first one stays.
        write_secret(folder.path(), &path).unwrap();
        assert_eq!(Token::read(&path).unwrap().reveal(), secret.reveal());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    }
}
