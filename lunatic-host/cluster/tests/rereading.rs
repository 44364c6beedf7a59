//! The files of a node change while it runs, and not all of them are as they should be.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lunatic_cluster::{Authority, Certified, Paths};
use lunatic_nodes::tcp::guard::{Guard as _, Peer};
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Node `a` with its files, and what it has reported.
struct World {
    folder: tempfile::TempDir,
    authority: Authority,
    node: Certified,
    reports: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(&folder.path().join("demo"), "demo").unwrap();
        let paths = Paths {
            identity: folder.path().join("a"),
            revoked: Some(folder.path().join("list")),
            policy: None,
        };
        authority.invite("a", DAY, &paths.identity, false).unwrap();
        fs::copy(authority.revoked_list(), folder.path().join("list")).unwrap();
        let reports = Arc::<Mutex<Vec<String>>>::default();
        let reported = reports.clone();
        let node = Certified::read(&paths, move |text| reported.lock().push(text.to_owned())).unwrap();
        Self {
            folder,
            authority,
            node,
            reports,
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Another node with a certificate.
    fn peer(&self, name: &str) -> Peer {
        let path = self.path(name);
        self.authority.invite(name, DAY, &path, true).unwrap();
        peer(name, &path)
    }

    fn revoke(&self, name: &str) {
        self.authority.revoke(name).unwrap();
    }

    /// Copies the list of the authority to the node.
    fn copy_list(&self) {
        fs::copy(self.authority.revoked_list(), self.path("list")).unwrap();
    }

    fn admits(&self, peer: &Peer) -> bool {
        self.node.admits(peer, Duration::ZERO)
    }

    /// Whether the node takes another certificate, and what it reports.
    fn refresh(&self) -> (bool, String) {
        let is_new = self.node.refresh();
        (is_new, std::mem::take(&mut *self.reports.lock()).join("\n"))
    }

    /// Refreshes, and checks whether there is another certificate, and that each part is reported.
    fn takes(&self, is_new: bool, parts: &[&str]) {
        let (is_other, said) = self.refresh();
        assert_eq!(is_other, is_new, "{said}");
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

fn peer(name: &str, identity: &Path) -> Peer {
    let text = fs::read(identity).unwrap();
    let certificate = CertificateDer::from_pem_slice(&text).unwrap();
    Peer {
        name: name.into(),
        certificate: certificate.as_ref().into(),
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

const CERTIFICATE_STAYS: &str = "the previous certificate of this node stays in force";
const LIST_STAYS: &str = "the previous list of revoked certificates stays in force";
const LIST_READ: &str = "the list of revoked certificates was read again";

#[test]
fn a_revocation_counts_although_the_identity_is_unusable() {
    let world = World::new();
    let peers = ["b", "c", "d", "e"].map(|name| world.peer(name));
    assert!(peers.iter().all(|peer| world.admits(peer)));
    let good = fs::read(world.path("a")).unwrap();
    // It was copied so that others can read it.
    set_mode(&world.path("a"), 0o644);
    world.revoke("b");
    world.copy_list();
    world.takes(false, &[LIST_READ, CERTIFICATE_STAYS, "chmod 600"]);
    assert!(!world.admits(&peers[0]) && world.admits(&peers[1]));
    // It is half written.
    set_mode(&world.path("a"), 0o600);
    fs::write(world.path("a"), &good[..good.len() / 2]).unwrap();
    world.revoke("c");
    world.copy_list();
    world.takes(false, &[LIST_READ, CERTIFICATE_STAYS]);
    assert!(!world.admits(&peers[1]) && world.admits(&peers[2]));
    // It has expired, which no node notices before its files change.
    let now = SystemTime::now();
    let expired = world.authority.identity("a", now - 2 * DAY, now - DAY).unwrap();
    fs::write(world.path("a"), expired).unwrap();
    world.revoke("d");
    world.copy_list();
    world.takes(false, &[LIST_READ, CERTIFICATE_STAYS, "not valid here"]);
    assert!(!world.admits(&peers[2]) && world.admits(&peers[3]));
    // It is revoked itself, together with another node.
    fs::write(world.path("a"), &good).unwrap();
    world.takes(false, &["read again"]);
    world.revoke("a");
    world.revoke("e");
    world.copy_list();
    world.takes(false, &[LIST_READ, CERTIFICATE_STAYS, "not valid here"]);
    assert!(!world.admits(&peers[3]));
    // With another certificate, it is a node like others.
    world.authority.invite("a", DAY, &world.path("a"), true).unwrap();
    world.takes(true, &["uses a new certificate"]);
    assert!(world.admits(&world.peer("f")) && !world.admits(&peers[3]));
}

#[test]
fn a_new_certificate_counts_although_the_list_is_unusable() {
    let world = World::new();
    let (b, c) = (world.peer("b"), world.peer("c"));
    world.revoke("b");
    world.copy_list();
    world.takes(false, &["read again"]);
    let list = fs::read_to_string(world.path("list")).unwrap();
    let other = Authority::create(&world.path("other"), "demo").unwrap();
    let others = fs::read_to_string(other.revoked_list()).unwrap();
    // Nonsense, two lists, and the list of another authority.
    for (text, part) in [
        ("nonsense", "0 lists"),
        (&*format!("{list}{list}"), "2 lists"),
        (&others, "is not valid"),
    ] {
        fs::write(world.path("list"), text).unwrap();
        world.authority.invite("a", DAY, &world.path("a"), true).unwrap();
        world.takes(true, &[LIST_STAYS, part, "uses a new certificate"]);
        assert!(!world.admits(&b) && world.admits(&c));
    }
    world.takes(false, &[]);
}

#[test]
fn a_node_moves_to_another_authority_with_both_files() {
    let world = World::new();
    let b = world.peer("b");
    let other = Authority::create(&world.path("other"), "demo").unwrap();
    other.invite("b", DAY, &world.path("b2"), false).unwrap();
    let b2 = peer("b", &world.path("b2"));
    assert!(world.admits(&b) && !world.admits(&b2));
    other.invite("a", DAY, &world.path("a"), true).unwrap();
    world.takes(false, &[CERTIFICATE_STAYS]);
    assert!(world.admits(&b) && !world.admits(&b2));
    fs::copy(other.revoked_list(), world.path("list")).unwrap();
    world.takes(true, &["uses a new certificate"]);
    assert!(!world.admits(&b) && world.admits(&b2));
}
