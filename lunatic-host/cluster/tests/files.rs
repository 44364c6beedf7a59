//! The files of an authority and of identities.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use lunatic_cluster::{Authority, Certified, Identity, Paths};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn the_files_of_an_authority_are_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo");
    let authority = Authority::create(&path, "demo").unwrap();
    authority
        .invite("a@host1", DAY, &folder.path().join("a"), false)
        .unwrap();
    authority.revoke("a@host1").unwrap();
    let mut files = vec![path.clone(), folder.path().join("a")];
    files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
    assert_eq!(files.len(), 2 + 6);
    for file in &files {
        let mode = fs::metadata(file).unwrap().permissions().mode() & 0o077;
        // The list contains no secret, and the nodes that read it may belong to others.
        let expected = if *file == authority.revoked_list() { 0o044 } else { 0 };
        assert_eq!(mode, expected, "{}", file.display());
    }
    assert!(Authority::create(&path, "demo").is_err());
    fs::set_permissions(path.join("ca.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let error = Authority::open(&path).err().unwrap().to_string();
    assert!(error.contains("chmod 600"), "{error}");
}

#[test]
fn commands_at_a_time_lose_no_certificate() {
    const NODES: usize = 50;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo");
    Authority::create(&path, "demo").unwrap();
    let lines = |list: &str| fs::read_to_string(path.join(list)).unwrap().lines().count();
    let twice = |command: &(dyn Fn(&Authority, &str) + Sync)| {
        std::thread::scope(|scope| {
            for side in ["a", "b"] {
                let path = &path;
                scope.spawn(move || {
                    let authority = Authority::open(path).unwrap();
                    (0..NODES).for_each(|number| command(&authority, &format!("{side}{number}")));
                });
            }
        });
    };
    twice(&|authority, node| authority.invite(node, DAY, &folder.path().join(node), false).unwrap());
    assert_eq!(lines("issued"), 2 * NODES);
    twice(&|authority, node| assert_eq!(authority.revoke(node).unwrap(), 1));
    assert_eq!(lines("revoked"), 2 * NODES);
    // The list was written last by either, and has the nodes of both.
    for node in ["a0", "b0", "a49", "b49"] {
        let paths = Paths {
            identity: folder.path().join(node),
            revoked: Some(path.join("revoked.pem")),
            policy: None,
        };
        let error = Certified::read(&paths, |_| ()).err().unwrap().to_string();
        assert!(error.contains("not valid here"), "{node}: {error}");
    }
}

#[test]
fn a_revocation_that_was_interrupted_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create(&folder.path().join("demo"), "demo").unwrap();
    let paths = Paths {
        identity: folder.path().join("a"),
        revoked: Some(authority.revoked_list()),
        policy: None,
    };
    authority.invite("a", DAY, &paths.identity, false).unwrap();
    assert!(Certified::read(&paths, |_| ()).is_ok());
    // No file can take the place of a folder.
    fs::remove_file(authority.revoked_list()).unwrap();
    fs::create_dir(authority.revoked_list()).unwrap();
    authority.revoke("a").unwrap_err();
    fs::remove_dir(authority.revoked_list()).unwrap();
    for _ in 0..2 {
        assert_eq!(
            authority.revoke("a").unwrap(),
            0,
            "it is in the list of the authority already"
        );
        let error = Certified::read(&paths, |_| ()).err().unwrap().to_string();
        assert!(error.contains("not valid here"), "{error}");
        fs::write(authority.revoked_list(), "damaged").unwrap();
    }
    let error = authority.revoke("b").unwrap_err().to_string();
    assert!(error.contains("no certificate for node b"), "{error}");
}

#[test]
fn an_identity_is_what_it_was_made_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo");
    Authority::create(&path, "demo").unwrap();
    // Opened later, it is the same authority.
    let authority = Authority::open(&path).unwrap();
    assert_eq!(authority.cluster(), "demo");
    let file = folder.path().join("a.pem");
    authority.invite("a@host1", DAY, &file, false).unwrap();
    assert!(authority.invite("a@host1", DAY, &file, false).is_err());
    let identity = Identity::read(&file).unwrap();
    assert_eq!((&*identity.cluster, &*identity.name), ("demo", "a@host1"));
    for name in ["", "a b", "a/b", "ä"] {
        assert!(
            authority.invite(name, DAY, &folder.path().join("x"), false).is_err(),
            "{name}"
        );
        assert!(Authority::create(&folder.path().join("x"), name).is_err(), "{name}");
    }
    let paths = |file: &str, revoked: Option<&str>| Paths {
        identity: folder.path().join(file),
        revoked: revoked.map(|revoked| folder.path().join(revoked)),
        policy: None,
    };
    let read = |paths: &Paths| Certified::read(paths, |_| ()).map(|certified| certified.name().to_owned());
    assert_eq!(read(&paths("a.pem", Some("demo/revoked.pem"))).unwrap(), "a@host1");
    // A list of another authority would make all certificates invalid.
    Authority::create(&folder.path().join("other"), "demo").unwrap();
    let error = read(&paths("a.pem", Some("other/revoked.pem")))
        .unwrap_err()
        .to_string();
    assert!(error.contains("not valid here"), "{error}");
    assert!(read(&paths("a.pem", Some("none.pem"))).is_err());
    authority.revoke("a@host1").unwrap();
    let error = read(&paths("a.pem", Some("demo/revoked.pem"))).unwrap_err().to_string();
    assert!(error.contains("not valid here"), "{error}");
    // One that is too old, one that is not valid yet, one that others can read.
    let now = SystemTime::now();
    for (from, until) in [(now - 2 * DAY, now - DAY), (now + DAY, now + 2 * DAY)] {
        let text = authority.identity("b", from, until).unwrap();
        fs::write(folder.path().join("b.pem"), text).unwrap();
        fs::set_permissions(folder.path().join("b.pem"), fs::Permissions::from_mode(0o600)).unwrap();
        let error = read(&paths("b.pem", None)).unwrap_err().to_string();
        assert!(error.contains("not valid here"), "{error}");
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
    assert!(
        read(&paths("a.pem", None))
            .unwrap_err()
            .to_string()
            .contains("chmod 600")
    );
}

#[test]
fn no_text_breaks_the_reader_of_identities() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create(&folder.path().join("demo"), "demo").unwrap();
    let now = SystemTime::now();
    let good = authority.identity("a", now - DAY, now + DAY).unwrap();
    let file = folder.path().join("a.pem");
    let read = |text: &[u8]| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let paths = Paths {
            identity: file.clone(),
            revoked: None,
            policy: None,
        };
        Certified::read(&paths, |_| ()).is_ok()
    };
    assert!(read(good.as_bytes()));
    for end in (0..good.len() - 64).step_by(17) {
        assert!(!read(&good.as_bytes()[..end]), "{end}");
    }
    let begin = good.find("-----BEGIN").unwrap();
    for at in (begin..good.len()).step_by(7) {
        let mut bad = good.clone().into_bytes();
        bad[at] ^= 1;
        // Some changes have no effect, such as one of the authority's own signature.
        read(&bad);
    }
}
