//! The flags of the dashboard, without a browser.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use lunatic_tests::guests::{Profile, path};
use lunatic_tests::programs::{Finished, lunatic};

use crate::program::{start, start_with};

const TOKEN: &str = "a-token-of-the-user's-own";

/// What curl gets.
fn get(url: &str, args: &[&str]) -> String {
    let output = Command::new("curl").args(["--silent", url]).args(args).output();
    String::from_utf8(output.expect("curl is there").stdout).unwrap()
}

fn refused(flags: &[&str]) -> Finished {
    let guest = path("shown", Profile::Release);
    lunatic([&["run"], flags, &[guest.to_str().unwrap(), "a_shop"]].concat()).run()
}

fn token_file(folder: &Path, mode: u32) -> String {
    let file = folder.join(format!("token-{mode:o}"));
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn each_start_has_a_token_of_its_own() {
    let tokens = [start(&["a_shop"]), start(&["a_shop"])].map(|program| {
        let (address, token) = program.url.split_once("#token=").unwrap();
        let header = format!("Authorization: Bearer {token}");
        let answer = get(&format!("{address}v1/system"), &["--header", &header]);
        assert!(answer.contains(r#""program":"#), "{answer}");
        token.to_owned()
    });
    assert!(tokens[0] != tokens[1] && tokens[0].len() == 64, "{tokens:?}");
}

#[test]
fn a_token_of_a_file_is_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = token_file(folder.path(), 0o600);
    let program = start_with(&["--dashboard=127.0.0.1:0", "--admin-token-file", &file], &["a_shop"]);
    let (address, rest) = program.url.split_once(' ').unwrap();
    assert!(rest.contains(&file) && !program.url.contains(TOKEN), "{}", program.url);
    let header = format!("Authorization: Bearer {TOKEN}");
    let system = format!("{address}v1/system");
    assert!(get(&system, &["--header", &header]).contains(r#""program":"#));
    assert!(get(&system, &[]).contains("this request needs the token"));
}

#[test]
fn what_cannot_be_opened_is_said() {
    let open = refused(&["--dashboard=0.0.0.0:0"]).code(1);
    assert!(
        open.stderr.contains("ssh -L") && open.stderr.contains("--admin-tcp"),
        "{open}"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = token_file(folder.path(), 0o644);
    let readable = refused(&["--dashboard=127.0.0.1:0", "--admin-token-file", &file]).code(1);
    assert!(readable.stderr.contains("chmod 600"), "{readable}");
    let program = start(&["a_shop"]);
    let port = program.url.split(['/', ':']).nth(4).unwrap();
    let taken = refused(&[&format!("--dashboard=127.0.0.1:{port}")]).code(1);
    assert!(
        taken.stderr.contains(port) && taken.stderr.contains("in use"),
        "{taken}"
    );
    // All of it, or nothing.
    refused(&["--admin-tcp", "127.0.0.1:0"]).code(2);
    refused(&["--admin-token-file", &file]).code(2);
    let none = folder.path().join("none.pem").to_str().unwrap().to_owned();
    let certificates = ["--admin-cert", &none, "--admin-key", &none, "--admin-client-ca", &none];
    let missing = refused(&[&["--admin-tcp", "127.0.0.1:0"][..], &certificates].concat()).code(1);
    assert!(missing.stderr.contains("none.pem"), "{missing}");
}
