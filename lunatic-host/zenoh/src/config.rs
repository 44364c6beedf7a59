//! The settings of a Zenoh session.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use lunatic_nodes::Identity;

/// How a node is identified, and how it is connected to others.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The cluster: nodes of other clusters on the same network are not seen.
    pub cluster: String,
    /// The identity of this node.
    pub identity: Identity,
    /// The addresses at which this node can be reached, such as `127.0.0.1:7447`.
    pub listen: Vec<String>,
    /// The addresses of some other nodes, through which the rest is found.
    pub seeds: Vec<String>,
    /// Certificates. Without them, all addresses must be on this machine.
    pub tls: Option<Tls>,
}

/// Certificates for TLS, which both sides must have. All files are in PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The authority that has signed all certificates of the cluster.
    pub authority: PathBuf,
    /// The certificate of this node, with its address among its names.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
}

/// Why a session could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// This address can be reached from other machines, but there are no certificates.
    Unprotected(String),
    /// The name of the cluster is invalid.
    Cluster,
    /// A path is not UTF-8.
    Path(PathBuf),
    /// An error of Zenoh.
    Zenoh(zenoh::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unprotected(address) => write!(
                f,
                "{address} can be reached from other machines, which needs certificates"
            ),
            Self::Cluster => write!(f, "a cluster's name has letters, digits and `-_.@` only"),
            Self::Path(path) => write!(f, "{} is not UTF-8", path.display()),
            Self::Zenoh(error) => write!(f, "no session of Zenoh: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Settings that prevent a node from delaying others: small queues, no discovery by multicast, only one side connects.
const BASE: &str = r#"{
    mode: "peer",
    scouting: {
        multicast: { enabled: false },
        gossip: {
            enabled: true,
            multihop: false,
            autoconnect_strategy: { peer: { to_router: "always", to_peer: "greater-zid" } },
        },
    },
    adminspace: { enabled: false },
    timestamping: { enabled: false },
    transport: {
        unicast: { max_links: 1, max_sessions: 1000, compression: { enabled: false } },
        link: {
            rx: { max_message_size: 2097152 },
            tx: {
                lease: 10000,
                keep_alive: 4,
                queue: {
                    size: { data: 16 },
                    congestion_control: { block: { wait_before_close: 2000000 } },
                },
            },
        },
    },
}"#;

impl Settings {
    /// Converts the settings to Zenoh's configuration.
    pub(crate) fn to_zenoh(&self) -> Result<zenoh::Config, OpenError> {
        if !lunatic_nodes::identity::is_name(&self.cluster) {
            return Err(OpenError::Cluster);
        }
        let addresses = self.listen.iter().chain(&self.seeds);
        let open = addresses
            .filter(|_| self.tls.is_none())
            .find(|address| !is_local(address));
        if let Some(address) = open {
            return Err(OpenError::Unprotected(address.clone()));
        }
        let mut config = zenoh::Config::from_json5(BASE).map_err(OpenError::Zenoh)?;
        let mut set = |key: &str, value: String| config.insert_json5(key, &value).map_err(OpenError::Zenoh);
        let protocol = if self.tls.is_some() { "tls" } else { "tcp" };
        set("transport/link/protocols", list([protocol.to_owned()]))?;
        let endpoints = |addresses: &[String]| list(addresses.iter().map(|address| format!("{protocol}/{address}")));
        set("listen/endpoints", endpoints(&self.listen))?;
        set("connect/endpoints", endpoints(&self.seeds))?;
        if let Some(tls) = &self.tls {
            let files = [
                ("root_ca_certificate", &tls.authority),
                ("listen_certificate", &tls.certificate),
                ("listen_private_key", &tls.key),
                ("connect_certificate", &tls.certificate),
                ("connect_private_key", &tls.key),
            ];
            for (key, path) in files {
                let path = path.to_str().ok_or_else(|| OpenError::Path(path.clone()))?;
                set(&format!("transport/link/tls/{key}"), quoted(path))?;
            }
            for key in ["enable_mtls", "verify_name_on_connect", "close_link_on_expiration"] {
                set(&format!("transport/link/tls/{key}"), "true".into())?;
            }
        }
        Ok(config)
    }
}

/// Whether an address, with its port, is on this machine.
fn is_local(address: &str) -> bool {
    let Some((host, _port)) = address.rsplit_once(':') else {
        return false;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn list(texts: impl IntoIterator<Item = String>) -> String {
    let texts: Vec<_> = texts.into_iter().map(|text| quoted(&text)).collect();
    format!("[{}]", texts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(listen: &str, tls: bool) -> Settings {
        let file = PathBuf::from("file.pem");
        Settings {
            cluster: "demo".into(),
            identity: Identity::new("a@host", 1).unwrap(),
            listen: vec![listen.into()],
            seeds: Vec::new(),
            tls: tls.then(|| Tls {
                authority: file.clone(),
                certificate: file.clone(),
                key: file,
            }),
        }
    }

    #[test]
    fn without_certificates_nobody_else_can_reach_a_node() {
        for (address, is_good) in [
            ("127.0.0.1:0", true),
            ("[::1]:0", true),
            ("0.0.0.0:0", false),
            ("10.0.0.1:1", false),
            ("localhost.example.org:1", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(settings(address, false).to_zenoh().is_ok(), is_good, "{address}");
            if address.contains(":0") || address.contains(":1") {
                assert!(settings(address, true).to_zenoh().is_ok(), "{address}");
            }
        }
    }

    #[test]
    fn nothing_in_a_setting_becomes_another_setting() {
        let config = settings("127.0.0.1:0\",\"tcp/0.0.0.0:1", false).to_zenoh();
        assert!(matches!(config, Err(OpenError::Unprotected(_))));
    }
}
