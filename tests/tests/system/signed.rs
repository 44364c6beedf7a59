//! A host that trusts some keys runs what they have signed, and nothing else.

use std::path::{Path, PathBuf};

use lunatic_host::LoadError;
use lunatic_host::signature::{TrustedKeys, make_keys, sign};
use lunatic_tests::guests::{Profile, path};
use lunatic_tests::host::Host;
use lunatic_tests::programs::lunatic;

/// Compiles the module in its folder when it is run, and spawns in it.
const BRINGS: &str = r#"(module
    (import "lunatic::module" "compile" (func $compile (param i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 64) "MODULE")
    (func (export "_start")
        (if (i32.ne (call $compile (i32.const 64) (i32.const LENGTH) (i32.const 0)) (i32.const EXPECTED))
            (then unreachable))))"#;

/// Code that a guest brings along.
fn brings(module: &[u8], expected: i32) -> Vec<u8> {
    let bytes: String = module.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let text = BRINGS
        .replace("MODULE", &bytes)
        .replace("LENGTH", &module.len().to_string());
    wat::parse_str(text.replace("EXPECTED", &expected.to_string())).unwrap()
}

fn empty() -> Vec<u8> {
    wat::parse_str(r#"(module (func (export "_start")))"#).unwrap()
}

fn untrusted(error: LoadError) -> String {
    assert!(matches!(error, LoadError::Untrusted(_)), "{error:?}");
    error.to_string()
}

#[test]
fn programs_and_what_they_bring_along_must_be_signed() {
    let folder = tempfile::tempdir().unwrap();
    let [own, own_public] = make_keys(&folder.path().join("own")).unwrap();
    let [other, _] = make_keys(&folder.path().join("other")).unwrap();
    let keys = TrustedKeys::read(&own_public).unwrap();
    let host = Host::with(|builder| builder.trusted_keys(keys));
    let plain = host.load(&empty()).err().map(untrusted).unwrap();
    assert!(
        plain.contains("signed by a key that it trusts: it is not signed"),
        "{plain}"
    );
    let by_other = host
        .load(&sign(&empty(), &other).unwrap())
        .err()
        .map(untrusted)
        .unwrap();
    assert!(by_other.contains("it was signed with other keys"), "{by_other}");
    let text = host.load(b"(module)").err().map(untrusted).unwrap();
    assert!(text.contains("binary format"), "{text}");
    host.program(&sign(&empty(), &own).unwrap()).run().normal();
    // -11: it is no module that this host runs.
    for (module, expected) in [
        (empty(), -11),
        (sign(&empty(), &other).unwrap(), -11),
        (sign(&empty(), &own).unwrap(), 0),
    ] {
        let program = sign(&brings(&module, expected), &own).unwrap();
        host.program(&program).run().normal();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn commands_make_keys_sign_run_and_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    let name = at("shop");
    let made = lunatic(["sign", "--new-key", text(&name)]).run().code(0);
    assert!(made.stdout.contains("shop.key: sign with it"), "{}", made.stdout);
    let refused = lunatic(["sign", "--new-key", text(&name)]).run().code(1);
    assert!(refused.stderr.contains("shop.key: File exists"), "{}", refused.stderr);
    let (key, public) = (at("shop.key"), at("shop.pub"));
    let program = at("program.wasm");
    std::fs::copy(path("endings", Profile::Debug), &program).unwrap();
    let flag = format!("--trusted-keys={}", text(&public));
    let refused = lunatic([&flag, text(&program)]).run().code(1);
    assert!(
        refused.stderr.contains("`lunatic sign --key NAME.key FILE` does that"),
        "{}",
        refused.stderr
    );
    let signed = lunatic(["sign", "--key", text(&key), text(&program)]).run().code(0);
    assert!(signed.stdout.ends_with("program.wasm is signed\n"), "{}", signed.stdout);
    // It begins, and says that it knows no such scenario.
    let begun = lunatic([&flag, text(&program), "no such"]).run();
    assert!(!begun.stderr.contains("signed"), "{}", begun.stderr);
    let all = format!("--trusted-keys={}", text(folder.path()));
    let begun = lunatic([&all, text(&program), "no such"]).run();
    assert!(!begun.stderr.contains("signed"), "{}", begun.stderr);
    let wrong = format!("--trusted-keys={}", text(&key));
    let refused = lunatic([&wrong, text(&program)]).run().code(1);
    assert!(refused.stderr.contains("is not a public key"), "{}", refused.stderr);
    let missing = lunatic(["sign", text(&program)]).run();
    assert!(missing.stderr.contains("--key <NAME.key>"), "{}", missing.stderr);
}
