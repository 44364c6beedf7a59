//! The script that installs a release, from a folder that looks like one.

#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const VERSION: &str = "9.8.7";

/// A folder with a release of two programs, each a script that prints its name.
fn release() -> TempDir {
    let folder = TempDir::new().unwrap();
    let out = sh(
        folder.path(),
        r#"
        case "$(uname -s) $(uname -m)" in
          "Linux x86_64") target=x86_64-unknown-linux-gnu ;;
          "Linux aarch64") target=aarch64-unknown-linux-gnu ;;
          "Darwin arm64") target=aarch64-apple-darwin ;;
          "Darwin x86_64") target=x86_64-apple-darwin ;;
        esac
        name=lunatic-v$VERSION-$target
        mkdir -p "v$VERSION/$name"
        for program in lunatic cargo-lunatic; do printf '#!/bin/sh\necho %s of the release\n' $program > "v$VERSION/$name/$program"; done
        cd "v$VERSION"
        tar -czf "$name.tar.gz" "$name"
        { sha256sum "$name.tar.gz" || shasum -a 256 "$name.tar.gz"; } > "$name.tar.gz.sha256"
        cd ..
        echo "$VERSION" > VERSION
        "#,
    );
    assert!(out.status.success(), "{out:?}");
    folder
}

fn sh(folder: &Path, script: &str) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(folder).env("VERSION", VERSION);
    command.output().unwrap()
}

/// Installs into `home` what is in `downloads`.
fn install(downloads: &Path, home: &Path, args: &[&str]) -> Output {
    Command::new("sh")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/install.sh"))
        .args(args)
        .env("LUNATIC_DOWNLOADS", downloads)
        .env("LUNATIC_INSTALL", home)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_release_is_installed_and_replaces_an_older_one() {
    let (downloads, home) = (release(), TempDir::new().unwrap());
    fs::create_dir(home.path().join("bin")).unwrap();
    fs::write(home.path().join("bin/lunatic"), "an older one").unwrap();
    for args in [&[][..], &[VERSION], &["v9.8.7"]] {
        let out = install(downloads.path(), home.path(), args);
        assert!(out.status.success(), "{out:?}");
        let said = text(&out.stdout);
        assert!(said.contains("installed lunatic and cargo-lunatic 9.8.7"), "{said}");
        assert!(said.contains("is not in PATH"), "{said}");
        for program in ["lunatic", "cargo-lunatic"] {
            let run = Command::new(home.path().join("bin").join(program)).output().unwrap();
            assert_eq!(text(&run.stdout), format!("{program} of the release\n"));
        }
    }
    let left = fs::read_dir(home.path().join("bin")).unwrap().count();
    assert_eq!(left, 2);
}

#[test]
fn a_wrong_hash_installs_nothing() {
    let (downloads, home) = (release(), TempDir::new().unwrap());
    let out = sh(downloads.path(), "for f in v$VERSION/*.tar.gz; do echo x >> $f; done");
    assert!(out.status.success());
    let out = install(downloads.path(), home.path(), &[]);
    assert_eq!(out.status.code(), Some(1));
    let said = text(&out.stderr);
    assert!(
        said.contains("the hash of") && said.contains("nothing was installed"),
        "{said}"
    );
    assert!(!home.path().join("bin").exists());
}

#[test]
fn only_https_is_downloaded_from() {
    let (home, scratch) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    // Also if only wget is there, which would take http.
    let wget = scratch.path().join("wget");
    fs::write(&wget, "#!/bin/sh\necho wget was called >&2\nexit 1\n").unwrap();
    let made = sh(
        scratch.path(),
        "chmod 755 wget && ln -s \"$(command -v sh)\" \"$(command -v uname)\" \"$(command -v mktemp)\" \"$(command -v rm)\" .",
    );
    assert!(made.status.success(), "{made:?}");
    for (downloads, says) in [
        ("http://127.0.0.1:9/x", "neither an address that begins with https://"),
        ("ftp://127.0.0.1/x", "neither an address that begins with https://"),
        ("https://127.0.0.1:9/x", "wget was called"),
    ] {
        let out = Command::new("sh")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/install.sh"))
            .env("PATH", scratch.path())
            .env("LUNATIC_DOWNLOADS", downloads)
            .env("LUNATIC_INSTALL", home.path())
            .output()
            .unwrap();
        assert_eq!(out.status.code(), Some(1), "{out:?}");
        assert!(text(&out.stderr).contains(says), "{out:?}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let (downloads, home) = (release(), TempDir::new().unwrap());
    for (version, expected) in [("1.2.3", "cannot download"), ("../x", "is not a version")] {
        let out = install(downloads.path(), home.path(), &[version]);
        assert_eq!(out.status.code(), Some(1));
        let said = text(&out.stderr);
        assert!(said.contains(expected), "{said}");
    }
    assert!(!home.path().join("bin").exists());
}
