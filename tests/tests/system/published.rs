//! Programs that were built with the published crates `lunatic` 0.13 and 0.14 run unchanged: those of `tests/published`.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cargo_lunatic::guests;
use lunatic_tests::programs::{self, Call};
use lunatic_tests::{target_folder, workspace};

fn published() -> PathBuf {
    workspace().join("tests/published")
}

/// What cargo builds of a package there.
fn build(
    what: impl FnOnce(&Path, &[&str]) -> Result<Vec<cargo_lunatic::Artifact>, cargo_lunatic::Error>,
    arguments: &[&str],
) -> Vec<(String, PathBuf)> {
    let _alone = lunatic_tests::guests::lock();
    let folder = format!("--target-dir={}", target_folder().display());
    let arguments = [&["--locked", folder.as_str()], arguments].concat();
    let built = what(&published(), &arguments);
    let built = built.unwrap_or_else(|error| panic!("the published guests could not be built: {error}"));
    built.into_iter().map(|guest| (guest.name, guest.path)).collect()
}

/// The test program `name`, called as cargo calls it with `runner = "lunatic run"`.
fn tests(name: &str, args: &[&str]) -> Call {
    static BUILT: OnceLock<Vec<(String, PathBuf)>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        build(
            |folder, arguments| guests::build_tests(folder, arguments),
            &["--package=published-guests", "--tests"],
        )
    });
    let file = built.iter().find(|(other, _)| other == name);
    let (_, file) = file.unwrap_or_else(|| panic!("there is no test program {name}, only {built:?}"));
    let folder = published().join("guests");
    let arguments = ["run".as_ref(), file.as_os_str()]
        .into_iter()
        .chain(args.iter().map(AsRef::as_ref));
    programs::lunatic(arguments)
        .env("CARGO_MANIFEST_DIR", &folder)
        .current_dir(&folder)
}

/// Runs all tests of a program, which must pass.
fn all_pass(name: &str) {
    let finished = tests(name, &[]).run().code(0);
    assert!(finished.stdout.contains("test result: ok."), "{finished}");
}

#[test]
fn processes_mailboxes_links_and_configurations() {
    all_pass("processes");
}

#[test]
fn abstract_processes_supervisors_timers_and_names() {
    all_pass("actors");
}

#[test]
fn databases_lie_in_the_folders_of_the_program_and_nowhere_else() {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("given");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(outside.path().join("file.db"), "").unwrap();
    std::os::unix::fs::symlink("../file.db", folder.join("link.db")).unwrap();
    std::os::unix::fs::symlink("..", folder.join("link")).unwrap();
    let finished = tests("databases", &[]).current_dir(&folder).run().code(0);
    assert!(finished.stdout.contains("test result: ok."), "{finished}");
    assert_eq!(std::fs::metadata(outside.path().join("file.db")).unwrap().len(), 0);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 2);
}

#[test]
fn a_filter_and_flags_are_understood_as_they_were() {
    let finished = tests("actors", &["supervis", "one_for"]).run().code(0);
    assert!(
        finished.stdout.contains("running 0 tests"),
        "the second is an argument: {finished}"
    );
    let finished = tests("actors", &["one_for_one", "--exact"]).run().code(0);
    assert!(finished.stdout.contains("1 passed"), "{finished}");
    let finished = tests("processes", &["--list", "--format", "terse"]).run().code(0);
    assert!(finished.stdout.contains("fuel_is_limited: test"), "{finished}");
    let finished = tests("processes", &["--ignored"]).run().code(1);
    assert!(
        finished
            .stdout
            .contains("a_failed_child_that_is_linked_takes_its_parent_along ... FAILED"),
        "{finished}"
    );
    let finished = tests("actors", &["metrics_are", "--nocapture", "--metrics"])
        .run()
        .code(0);
    assert!(finished.stdout.contains("1 passed"), "{finished}");
    tests("actors", &["--no-such-flag"]).run().code(2);
}
