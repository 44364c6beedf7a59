//! The authority of a cluster: a folder with the key that signs the certificates of its nodes.
//!
//! | file | content |
//! |---|---|
//! | `cluster` | the name of the cluster |
//! | `ca.pem`, `ca.key` | the certificate of the authority, and its private key |
//! | `issued` | the certificates so far: serial number, node, end |
//! | `revoked` | those of them that are revoked: serial number, node, when |
//! | `revoked.pem` | the same as a list that the authority has signed, for the nodes |
//!
//! Several commands may use the folder at a time: one that changes a list holds the lock of `cluster`, a file that is
//! never replaced.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lunatic_nodes::identity::is_name;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData as _,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

use crate::files::{self, Readers};
use crate::name;

/// For how many days a certificate of a node is valid unless the user says otherwise.
pub const DAYS: u32 = 90;
/// For how many days the authority itself is.
const OWN_DAYS: u32 = 3650;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Certificates are valid from a moment in the past on: clocks of machines differ.
const SLACK: Duration = Duration::from_secs(60 * 60);

/// The files of an authority in its folder.
const CLUSTER: &str = "cluster";
const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";
const ISSUED: &str = "issued";
const REVOKED: &str = "revoked";
const REVOKED_LIST: &str = "revoked.pem";

/// A time as rcgen wants it. The type is of a crate that rcgen does not re-export.
macro_rules! date {
    ($time:expr) => {
        date_time_ymd(1970, 1, 1) + since_1970($time)
    };
}

/// The authority of a cluster.
pub struct Authority {
    folder: PathBuf,
    cluster: String,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority for a cluster, in a new folder.
    ///
    /// # Errors
    ///
    /// If the name of the cluster is invalid, or the folder exists or cannot be written.
    pub fn create(folder: &Path, cluster: &str) -> io::Result<Self> {
        if !is_name(cluster) {
            return Err(io::Error::other(format!(
                "`{cluster}` cannot be the name of a cluster: use letters, digits and `-_.@`"
            )));
        }
        files::make_folder(folder)?;
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut own = params(cluster);
        (own.not_before, own.not_after) = (
            date!(SystemTime::now() - SLACK),
            date!(SystemTime::now() + DAY * OWN_DAYS),
        );
        let certificate = own.self_signed(&key).map_err(io::Error::other)?.pem();
        // The key comes first: an authority without a certificate cannot be opened.
        files::create(&folder.join(KEY), &key.serialize_pem())?;
        files::create(&folder.join(CLUSTER), &format!("{cluster}\n"))?;
        files::create(&folder.join(ISSUED), "")?;
        files::create(&folder.join(REVOKED), "")?;
        files::create(&folder.join(CERTIFICATE), &certificate)?;
        let authority = Self {
            folder: folder.to_owned(),
            cluster: cluster.to_owned(),
            certificate,
            issuer: Issuer::new(own, key),
        };
        authority.write_revoked(&[])?;
        Ok(authority)
    }

    /// Opens the folder of an authority.
    ///
    /// # Errors
    ///
    /// If a file is missing, is invalid, or the key can be read by others.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(CLUSTER);
        let cluster = files::read(&path)?.trim().to_owned();
        if !is_name(&cluster) {
            return Err(files::of(&path, "it does not name a cluster"));
        }
        let path = folder.join(KEY);
        let key = KeyPair::from_pem(&files::read_private(&path)?).map_err(|error| files::of(&path, error))?;
        Ok(Self {
            certificate: files::read(&folder.join(CERTIFICATE))?,
            folder: folder.to_owned(),
            issuer: Issuer::new(params(&cluster), key),
            cluster,
        })
    }

    /// Whether a folder looks like one of an authority.
    #[must_use]
    pub fn is_in(folder: &Path) -> bool {
        folder.join(KEY).is_file() && folder.join(CLUSTER).is_file()
    }

    /// The name of the cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The list of revoked certificates for the nodes, which [`revoke`](Self::revoke) replaces.
    #[must_use]
    pub fn revoked_list(&self) -> PathBuf {
        self.folder.join(REVOKED_LIST)
    }

    /// Makes the identity of a node, which only its owner can read. It is valid from now until `time` has passed. A file
    /// that this `replaces` keeps its owner, if the caller may give files away.
    ///
    /// # Errors
    ///
    /// If the name is invalid, the certificate cannot be noted in the folder, or the file cannot be written; also if it
    /// exists, unless this `replaces` it.
    pub fn invite(&self, node: &str, time: Duration, file: &Path, replaces: bool) -> io::Result<()> {
        let now = SystemTime::now();
        let identity = self.identity(node, now - SLACK, now + time)?;
        match replaces {
            true => files::replace(file, &identity, Readers::Owner),
            false => files::create(file, &identity),
        }
    }

    /// The days of a certificate as the time that [`invite`](Self::invite) takes.
    #[must_use]
    pub fn days(days: u32) -> Duration {
        DAY * days
    }

    /// The content of an identity that is valid between two times.
    ///
    /// # Errors
    ///
    /// If the name is invalid, or the certificate cannot be noted in the folder.
    pub fn identity(&self, node: &str, from: SystemTime, until: SystemTime) -> io::Result<String> {
        if !is_name(node) {
            return Err(io::Error::other(format!(
                "`{node}` cannot be the name of a node: use letters, digits and `-_.@`"
            )));
        }
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let serial = serial(&key);
        let mut params = node_params(&self.cluster, node, &key)?;
        (params.not_before, params.not_after) = (date!(from), date!(until));
        let certificate = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        let until = humantime::format_rfc3339_seconds(until);
        // Noted before anybody has it, so that it can be revoked.
        let _lock = self.lock()?;
        self.append(ISSUED, &format!("{} {node} {until}\n", hex(&serial)))?;
        Ok(format!(
            "The identity of node {node} in cluster {}, valid until {until}.\n\
             Anyone who has this file can act as this node: keep it as secret as a password.\n{}{}{}",
            self.cluster,
            certificate.pem(),
            key.serialize_pem(),
            self.certificate,
        ))
    }

    /// Revokes all certificates of a node that were made so far. Returns how many these are; 0 if they were revoked
    /// before. The signed list is written in any case, so a command that was interrupted can be repeated.
    ///
    /// # Errors
    ///
    /// If no certificate was ever made for the node, or the folder cannot be written.
    pub fn revoke(&self, node: &str) -> io::Result<usize> {
        let _lock = self.lock()?;
        let mut revoked = self.serials(REVOKED)?;
        let mut certificates = self.serials(ISSUED)?;
        certificates.retain(|(_, other)| other == node);
        if certificates.is_empty() {
            return Err(io::Error::other(format!(
                "this authority has made no certificate for node {node}"
            )));
        }
        certificates.retain(|certificate| !revoked.contains(certificate));
        if !certificates.is_empty() {
            let now = humantime::format_rfc3339_seconds(SystemTime::now());
            let lines = certificates
                .iter()
                .map(|(serial, node)| format!("{serial} {node} {now}\n"));
            self.append(REVOKED, &lines.collect::<String>())?;
        }
        let count = certificates.len();
        revoked.append(&mut certificates);
        self.write_revoked(&revoked)?;
        Ok(count)
    }

    /// Writes the signed list.
    fn write_revoked(&self, revoked: &[(String, String)]) -> io::Result<()> {
        let now = date!(SystemTime::now());
        let serials = revoked.iter().filter_map(|(serial, _)| bytes(serial));
        let revoked_certs: Vec<_> = serials
            .map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from_slice(&serial),
                revocation_time: now,
                reason_code: None,
                invalidity_date: None,
            })
            .collect();
        let list = CertificateRevocationListParams {
            this_update: now,
            next_update: date!(SystemTime::now() + DAY * OWN_DAYS),
            crl_number: SerialNumber::from(revoked_certs.len() as u64),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).map_err(io::Error::other)?;
        // It is signed, and contains no secret.
        files::replace(
            &self.revoked_list(),
            &list.pem().map_err(io::Error::other)?,
            Readers::All,
        )
    }

    /// The serial numbers in a file, each with its node.
    fn serials(&self, file: &str) -> io::Result<Vec<(String, String)>> {
        let path = self.folder.join(file);
        let text = files::read(&path)?;
        let line = |line: &str| {
            let mut words = line.split_whitespace().map(str::to_owned);
            let (serial, node) = (words.next()?, words.next()?);
            bytes(&serial)?;
            Some((serial, node))
        };
        let lines = text
            .lines()
            .map(|text| line(text).ok_or_else(|| files::of(&path, format!("bad line `{text}`"))));
        lines.collect()
    }

    /// Must be held from before a list is read until after it is written.
    fn lock(&self) -> io::Result<File> {
        files::lock(&self.folder.join(CLUSTER))
    }

    /// Adds lines to a list. The caller holds the [lock](Self::lock).
    fn append(&self, file: &str, lines: &str) -> io::Result<()> {
        let path = self.folder.join(file);
        let text = files::read(&path)?;
        files::replace(&path, &(text + lines), Readers::Owner)
    }
}

/// A certificate of a node with this key, without its time.
pub(crate) fn node_params(cluster: &str, node: &str, key: &KeyPair) -> io::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(node);
    let uri = Ia5String::try_from(name::uri(cluster, node)).map_err(io::Error::other)?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.serial_number = Some(SerialNumber::from_slice(&serial(key)));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // A node accepts and dials.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// The parts of the authority's certificate that matter for those that it signs.
pub(crate) fn params(cluster: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(&format!("Lunatic cluster {cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// A serial number that no other certificate has: a hash of the key. Positive, and not 0.
fn serial(key: &KeyPair) -> [u8; 16] {
    let mut serial = [0; 16];
    serial.copy_from_slice(&blake3::hash(&key.subject_public_key_info()).as_bytes()[..16]);
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

fn since_1970(time: SystemTime) -> Duration {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(since.as_secs())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    digits.map(byte).collect()
}
