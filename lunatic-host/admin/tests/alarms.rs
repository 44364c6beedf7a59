//! Alarms of a program, seen through its door.

mod opened;

use std::ops::ControlFlow;
use std::time::Duration;

use lunatic_admin::Client;
use lunatic_admin::view::{AlarmsView, EventView};
use lunatic_host::alarms::AlarmConfig;

/// Computes for ever.
const PROGRAM: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "_start") (loop $again (br $again))))"#;

#[test]
fn alarms_are_listed_and_told_while_they_come() {
    let opened = opened::open(PROGRAM);
    let client = Client::new(&opened.path);
    let before: AlarmsView = client.get("/v1/alarms").unwrap();
    assert!(!before.is_watched && before.alarms.is_empty());
    let config = AlarmConfig {
        look: Duration::from_millis(20),
        burst: Duration::from_millis(300),
        ..AlarmConfig::default()
    };
    // The stream has begun when its first event comes.
    let mut heard = None;
    let hear = |event: EventView| {
        if opened.system.alarms().is_none() {
            opened.system.watch(config, |_| {}).unwrap();
        }
        heard = event.alarm;
        match &heard {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    };
    let path = "/v1/events?kinds=runs,alarm&seconds=300&limit=1000000";
    client.follow(path, hear).unwrap();
    let listed: AlarmsView = client.get("/v1/alarms").unwrap();
    assert!(listed.is_watched && listed.left_out == 0);
    let [alarm] = &*listed.alarms else { panic!("{listed:?}") };
    assert_eq!(
        (&*alarm.kind, alarm.process.as_deref(), alarm.is_on),
        ("burst", Some("#1"), true)
    );
    assert_eq!(heard.map(|heard| heard.text).as_ref(), Some(&alarm.text));
}
