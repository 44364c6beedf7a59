//! Signatures of modules, which show who vouches for the code.
//!
//! A signature is a custom section `signature` at the beginning of a module, as defined by the [WebAssembly tool
//! conventions](https://github.com/WebAssembly/tool-conventions/blob/main/Signatures.md): Ed25519 over the SHA-256 of
//! everything that follows. So a signed module is still a module, and carries its signature along. What is signed is
//! the file that a compiler made, before [`rewrite`](crate::rewrite).

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use wasmsign2::{KeyPair, Module, PublicKey, PublicKeySet, SecretKey, WSError};

/// The keys of those whose modules are run; at least one.
#[derive(Debug, Clone)]
pub struct TrustedKeys(PublicKeySet);

impl TrustedKeys {
    /// Reads the key in a file, or the keys in all files of a folder with names `*.pub`. A file contains one key, in
    /// PEM, DER or the format of wasmsign2.
    ///
    /// # Errors
    ///
    /// [`SignatureError`]: a file cannot be read or is not a public key, or the folder contains none.
    pub fn read(path: &Path) -> Result<Self, SignatureError> {
        let mut files = vec![path.to_path_buf()];
        if path.is_dir() {
            let entries = fs::read_dir(path).map_err(|error| SignatureError::file(path, error))?;
            let entries = entries.collect::<io::Result<Vec<_>>>();
            let entries = entries.map_err(|error| SignatureError::file(path, error))?;
            files = entries
                .into_iter()
                .map(|entry| entry.path())
                .filter(|path| is_public(path))
                .collect();
        }
        let keys = files
            .iter()
            .map(|file| read_public(file))
            .collect::<Result<HashSet<_>, _>>()?;
        if keys.is_empty() {
            return Err(SignatureError::NoKeys(path.to_path_buf()));
        }
        Ok(Self(PublicKeySet::new(keys)))
    }

    /// Checks that one of the keys has signed a module.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] if none has, or if the signature does not match the module.
    pub fn check(&self, wasm: &[u8]) -> Result<(), SignatureError> {
        let mut rest = wasm;
        self.0.verify(&mut rest, None).map(|_| ()).map_err(SignatureError::of)
    }
}

fn is_public(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "pub")
}

fn read_public(path: &Path) -> Result<PublicKey, SignatureError> {
    let bytes = fs::read(path).map_err(|error| SignatureError::file(path, error))?;
    PublicKey::from_any(&bytes).map_err(|_| SignatureError::NoKey(path.to_path_buf(), "public"))
}

/// Makes a pair of keys in PEM: the secret key in `NAME.key`, which only its owner can read, and the public key in
/// `NAME.pub`. `name` may contain folders. Returns the two files.
///
/// # Errors
///
/// [`SignatureError`]: a file cannot be written, or already exists.
pub fn make_keys(name: &Path) -> Result<[PathBuf; 2], SignatureError> {
    let pair = KeyPair::generate();
    let with = |extension: &str| {
        let mut path = name.as_os_str().to_owned();
        path.push(extension);
        PathBuf::from(path)
    };
    let (secret, public) = (with(".key"), with(".pub"));
    write_new(&secret, &pair.sk.to_pem(), 0o600)?;
    write_new(&public, &pair.pk.to_pem(), 0o644)?;
    Ok([secret, public])
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), SignatureError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| SignatureError::file(path, error))
}

/// Returns a module with an additional signature of the secret key in a file.
///
/// # Errors
///
/// [`SignatureError`]: the key cannot be read, or the bytes are not a module in the binary format.
pub fn sign(wasm: &[u8], key: &Path) -> Result<Vec<u8>, SignatureError> {
    let bytes = fs::read(key).map_err(|error| SignatureError::file(key, error))?;
    let key = SecretKey::from_any(&bytes).map_err(|_| SignatureError::NoKey(key.to_path_buf(), "secret"))?;
    let mut rest = wasm;
    let module = Module::deserialize(&mut rest).map_err(SignatureError::of)?;
    let signed = key.sign(module, None).map_err(SignatureError::of)?;
    let mut bytes = Vec::with_capacity(wasm.len() + 256);
    signed.serialize(&mut bytes).map_err(SignatureError::of)?;
    Ok(bytes)
}

/// Why a module is not signed, or not by a trusted key.
#[derive(Debug)]
#[non_exhaustive]
pub enum SignatureError {
    /// A file cannot be read or written.
    File(PathBuf, io::Error),
    /// A file does not contain a key of this kind.
    NoKey(PathBuf, &'static str),
    /// A folder contains no public keys.
    NoKeys(PathBuf),
    /// The module has no signature.
    NotSigned,
    /// Others have signed the module, or it has been changed since.
    NotByThese,
    /// It is not a module in the binary format.
    NoModule,
    /// The signature cannot be read; the text says why.
    Unreadable(String),
}

impl SignatureError {
    fn file(path: &Path, error: io::Error) -> Self {
        Self::File(path.to_path_buf(), error)
    }

    fn of(error: WSError) -> Self {
        match error {
            WSError::NoSignatures => Self::NotSigned,
            WSError::VerificationFailed => Self::NotByThese,
            WSError::UnsupportedModuleType | WSError::Eof | WSError::IOError(_) => Self::NoModule,
            other => Self::Unreadable(other.to_string()),
        }
    }
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::NoKey(path, kind) => write!(
                f,
                "{} is not a {kind} key: `lunatic sign --new-key NAME` makes NAME.key, which is secret, and NAME.pub",
                path.display()
            ),
            Self::NoKeys(path) => write!(f, "there is no file *.pub in {}", path.display()),
            Self::NotSigned => f.write_str("it is not signed: `lunatic sign --key NAME.key FILE` does that"),
            Self::NotByThese => f.write_str("it was signed with other keys, or has been changed since it was signed"),
            Self::NoModule => f.write_str("only modules in the binary format can be signed, and this is not one"),
            Self::Unreadable(why) => write!(f, "its signature cannot be read: {why}"),
        }
    }
}

impl Error for SignatureError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn module() -> Vec<u8> {
        wat::parse_str(r#"(module (func (export "_start")) (@custom "note" "text"))"#).unwrap()
    }

    #[test]
    fn who_signed_is_told_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let [own, own_public] = make_keys(&folder.path().join("own")).unwrap();
        let [other, other_public] = make_keys(&folder.path().join("other")).unwrap();
        let (own_only, both) = (
            TrustedKeys::read(&own_public).unwrap(),
            TrustedKeys::read(folder.path()).unwrap(),
        );
        let plain = module();
        assert!(matches!(own_only.check(&plain), Err(SignatureError::NotSigned)));
        let signed = sign(&plain, &own).unwrap();
        own_only.check(&signed).unwrap();
        both.check(&signed).unwrap();
        let by_other = sign(&plain, &other).unwrap();
        assert!(matches!(own_only.check(&by_other), Err(SignatureError::NotByThese)));
        both.check(&by_other).unwrap();
        TrustedKeys::read(&other_public).unwrap().check(&by_other).unwrap();
        // Both.
        own_only.check(&sign(&by_other, &own).unwrap()).unwrap();
    }

    #[test]
    fn what_was_changed_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let [secret, public] = make_keys(&folder.path().join("own")).unwrap();
        let keys = TrustedKeys::read(&public).unwrap();
        let signed = sign(&module(), &secret).unwrap();
        for at in 0..signed.len() {
            let mut changed = signed.clone();
            changed[at] ^= 1;
            assert!(keys.check(&changed).is_err(), "byte {at}");
        }
        for len in 0..signed.len() {
            assert!(keys.check(&signed[..len]).is_err(), "{len} bytes");
        }
        let mut longer = signed;
        longer.push(0);
        assert!(keys.check(&longer).is_err());
    }

    #[test]
    fn mistakes_are_explained() {
        let folder = tempfile::tempdir().unwrap();
        let in_folder = |name: &str| folder.path().join(name);
        assert!(matches!(
            TrustedKeys::read(folder.path()),
            Err(SignatureError::NoKeys(_))
        ));
        assert!(matches!(
            TrustedKeys::read(&in_folder("no")),
            Err(SignatureError::File(..))
        ));
        let [secret, public] = make_keys(&in_folder("own")).unwrap();
        assert!(matches!(make_keys(&in_folder("own")), Err(SignatureError::File(..))));
        let error = TrustedKeys::read(&secret).unwrap_err().to_string();
        assert!(
            error.contains("is not a public key: `lunatic sign --new-key NAME`"),
            "{error}"
        );
        assert!(matches!(
            sign(&module(), &public),
            Err(SignatureError::NoKey(_, "secret"))
        ));
        let text = b"(module)";
        assert!(matches!(sign(text, &secret), Err(SignatureError::NoModule)));
        let keys = TrustedKeys::read(&public).unwrap();
        assert!(matches!(keys.check(text), Err(SignatureError::NoModule)));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
