//! The door, knocked at by hostile clients: each request is one that a seed made.

mod knocks;
mod opened;

use lunatic_admin::Client;
use lunatic_admin::view::SystemView;

const CASES: u64 = 2_000;
/// Clients that knock at the same time.
const CLIENTS: u64 = 4;

#[test]
fn whatever_is_sent_the_door_answers_or_hangs_up_and_goes_on() {
    let opened = opened::open(
        r#"(module
            (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
            (memory (export "memory") 1)
            (func (export "_start") (call $sleep (i64.const 3600000000000))))"#,
    );
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let path = &opened.path;
            scope.spawn(move || {
                (client..CASES)
                    .step_by(CLIENTS as usize)
                    .for_each(|seed| knocks::run(path, seed))
            });
        }
    });
    let view: SystemView = Client::new(&opened.path).get("/v1/system").unwrap();
    assert_eq!(view.processes, 1);
}
