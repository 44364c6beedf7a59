//! `lunatic cluster`: certificates for nodes, made offline, and the cluster as a running node sees it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lunatic_admin::view::{ClusterView, MemberView};
use lunatic_cluster::{Authority, DAYS};

use super::{At, size, table, time};

/// The commands for a cluster.
#[derive(Debug, Clone, clap::Args)]
pub struct Cluster {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Command {
    /// Make a certificate authority, which signs the certificates of the nodes of a new cluster
    Init {
        /// The name of the cluster
        name: String,

        /// The folder to make for the authority [default: one with the name of the cluster]
        #[arg(long, value_name = "DIR")]
        cluster: Option<PathBuf>,
    },
    /// Make the certificate and key of a node: one file, to be copied to the machine of the node
    Invite {
        /// The name of the node, such as a@host1
        name: String,

        #[command(flatten)]
        folder: Folder,

        /// For how many days the certificate is valid
        #[arg(long, value_name = "N", default_value_t = DAYS, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,

        /// The file to write [default: NAME.pem]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,

        /// Replace the file, such as that of a running node, which then takes the new certificate
        #[arg(long)]
        replace: bool,
    },
    /// Revoke all certificates that a node has so far: copy the list to all nodes, or let them read it where it is
    Revoke {
        /// The name of the node
        name: String,

        #[command(flatten)]
        folder: Folder,
    },
    /// Show the cluster as it is seen by a running node that was started with `--admin`
    Status(At),
}

/// The folder of an authority.
#[derive(Debug, Clone, clap::Args)]
struct Folder {
    /// The folder that `lunatic cluster init` has made [default: the current folder, or the only such folder in it]
    #[arg(long, value_name = "DIR")]
    cluster: Option<PathBuf>,
}

impl Cluster {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        match &self.command {
            Command::Init { name, cluster } => init(name, cluster.as_deref()),
            Command::Invite {
                name,
                folder,
                days,
                output,
                replace,
            } => {
                let default = PathBuf::from(format!("{name}.pem"));
                let output = output.as_ref().unwrap_or(&default);
                invite(name, &folder.open()?, *days, output, *replace)
            }
            Command::Revoke { name, folder } => {
                let authority = folder.open()?;
                let count = authority.revoke(name)?;
                let list = authority.revoked_list();
                let revoked = match count {
                    0 => format!("all certificates of node {name} were revoked before, and the list was written again"),
                    1 => format!("revoked 1 certificate of node {name}"),
                    _ => format!("revoked {count} certificates of node {name}"),
                };
                println!(
                    "{revoked}: copy {} to the nodes that were started with `--revoked`",
                    list.display()
                );
                Ok(())
            }
            Command::Status(at) => {
                let view: ClusterView = at.client()?.get("/v1/cluster")?;
                at.print(&view, || status(&view))
            }
        }
    }
}

impl Folder {
    fn open(&self) -> anyhow::Result<Authority> {
        let folder = match &self.cluster {
            Some(folder) => folder.clone(),
            None => find(Path::new("."))?,
        };
        Ok(Authority::open(&folder)?)
    }
}

/// The folder of an authority that the user means without naming it.
fn find(folder: &Path) -> anyhow::Result<PathBuf> {
    if Authority::is_in(folder) {
        return Ok(folder.to_owned());
    }
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut found = paths.collect::<io::Result<Vec<_>>>()?;
    found.retain(|path| Authority::is_in(path));
    match <[PathBuf; 1]>::try_from(found) {
        Ok([path]) => Ok(path),
        Err(none) if none.is_empty() => {
            bail!(
                "there is no cluster in this folder: make one with `lunatic cluster init NAME`, or give `--cluster DIR`"
            )
        }
        Err(_) => bail!("there are several clusters in this folder: select one with `--cluster DIR`"),
    }
}

fn init(name: &str, folder: Option<&Path>) -> anyhow::Result<()> {
    let folder = folder.unwrap_or(Path::new(name));
    Authority::create(folder, name).context("cannot make a cluster")?;
    println!(
        "made the authority of cluster {name} in {}: keep the folder offline, and make the certificate of each node with \
         `lunatic cluster invite NODE --cluster {}`",
        folder.display(),
        folder.display()
    );
    Ok(())
}

fn invite(name: &str, authority: &Authority, days: u32, output: &Path, replaces: bool) -> anyhow::Result<()> {
    if !replaces && output.exists() {
        bail!(
            "{} already exists: give another file with `--output`, or replace it with `--replace`",
            output.display()
        );
    }
    authority.invite(name, Authority::days(days), output, replaces)?;
    println!(
        "wrote {}: move it to the machine of node {name}, and start the node with `lunatic node --identity {}`",
        output.display(),
        output.display()
    );
    Ok(())
}

fn status(view: &ClusterView) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(view.nodes.iter().map(row));
    let head = format!(
        "node {} of cluster {}, started as {}\n",
        view.name, view.cluster, view.incarnation
    );
    // Numbers are right-aligned.
    let lines = table::lines(&rows, |column| (4..=6).contains(&column));
    lines.into_iter().fold(head, |text, line| text + &line + "\n")
}

const HEAD: [&str; 8] = [
    "NODE",
    "STATE",
    "FOR",
    "INCARNATION",
    "SENT",
    "RECEIVED",
    "LOSSES",
    "LAST LOSS",
];

fn row(node: &MemberView) -> [String; 8] {
    [
        node.name.clone(),
        if node.is_up { "connected" } else { "not connected" }.into(),
        node.up_ms.map_or("-".into(), time),
        node.incarnation.to_string(),
        bytes(node.sent_bytes),
        bytes(node.received_bytes),
        node.losses.to_string(),
        node.last_loss.clone().unwrap_or_else(|| "-".into()),
    ]
}

fn bytes(count: u64) -> String {
    size(usize::try_from(count).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_cluster_in_a_folder_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let error = find(folder.path()).unwrap_err().to_string();
        assert!(error.contains("no cluster"), "{error}");
        let one = folder.path().join("one");
        Authority::create(&one, "one").unwrap();
        fs::create_dir(folder.path().join("other")).unwrap();
        assert_eq!(find(folder.path()).unwrap(), one);
        assert_eq!(find(&one).unwrap(), one);
        Authority::create(&folder.path().join("two"), "two").unwrap();
        let error = find(folder.path()).unwrap_err().to_string();
        assert!(error.contains("several clusters"), "{error}");
    }
}
