//! The alarms of a program, for `lunatic status`.

use std::fmt::Write as _;

use lunatic_admin::view::AlarmsView;

/// The most alarms that are shown; of more, the latest are.
const SHOWN_MAX: usize = 20;

/// Each alarm that is still on, with advice.
pub(super) fn lines(view: &AlarmsView) -> String {
    let mut text = String::new();
    let on: Vec<_> = view.alarms.iter().filter(|alarm| alarm.is_on).collect();
    let (shown, over) = (&on[on.len().saturating_sub(SHOWN_MAX)..], view.alarms.len() - on.len());
    for alarm in shown {
        let _ = write!(text, "\nalarm: {}\n       {}\n", alarm.text, alarm.advice);
    }
    let more = (on.len() - shown.len()) as u64 + view.left_out;
    if more > 0 {
        let _ = write!(text, "\n{more} more alarms: `lunatic status --json` has them\n");
    }
    if over > 0 {
        let _ = write!(text, "\nalarms that are over: {over}\n");
    }
    if !view.is_watched {
        text.push_str("\nthe host does not look for alarms (`--no-alarms`)\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_that_are_on_are_shown_with_what_to_do() {
        let alarm =
            |number: u32, is_on: bool| format!(r#"{{"text":"t{number}","advice":"a{number}","is_on":{is_on}}}"#);
        let view = |alarms: &[String], is_watched: bool| {
            let json = format!(r#"{{"is_watched":{is_watched},"alarms":[{}]}}"#, alarms.join(","));
            lines(&serde_json::from_str(&json).unwrap())
        };
        assert_eq!(view(&[], true), "");
        let some = view(&[alarm(1, true), alarm(2, false)], true);
        assert_eq!(some, "\nalarm: t1\n       a1\n\nalarms that are over: 1\n");
        let many: Vec<_> = (0..25).map(|number| alarm(number, true)).collect();
        let shown = view(&many, true);
        assert!(
            shown.contains("t24") && !shown.contains("t4\n") && shown.contains("\n5 more alarms"),
            "{shown}"
        );
        assert!(view(&[], false).contains("--no-alarms"));
    }
}
