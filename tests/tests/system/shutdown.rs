//! What happens to the others when the main process ends.

use lunatic_tests::guests::{self, Profile};
use lunatic_tests::host::Host;

/// A thousand processes wait for messages on channels of the main process, which close with it.
#[test]
fn when_the_main_process_ends_the_others_end_without_a_word() {
    let bench = Host::shared().load(&guests::bytes("bench", Profile::Release)).unwrap();
    for _ in 0..20 {
        let ended = Host::shared().loaded(&bench).args(["ring", "2000"]).run().normal();
        assert_eq!(ended.stderr, "", "{ended}");
    }
}
