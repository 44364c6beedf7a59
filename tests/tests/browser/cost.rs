//! What an open dashboard asks for.

use serde_json::json;

use crate::program::{open, start};

/// Takes down when a page asks, and for what.
const COUNT: &str = "{
        const before = window.ask ??= window.fetch;
        window.asked = [];
        window.fetch = (path, request) => {
            window.asked.push({ path: path.split('?')[0], at: performance.now() });
            return before(path, request);
        };
    }";

#[test]
fn a_view_asks_once_a_second_for_what_it_shows() {
    let program = start(&["a_shop"]);
    let mut seen = open(&program);
    for (view, path) in [
        ("/", "/v1/system"),
        ("/processes", "/v1/processes"),
        ("/process/1", "/v1/processes/1"),
    ] {
        // First, so that the first request of the view is among them.
        seen.evaluate(COUNT);
        seen.go(view);
        let all = format!("asked.filter(one => one.path == {path:?})");
        seen.evaluate(&format!(
            "new Promise(done => {{ const look = () => {all}.length > 3 ? done() : setTimeout(look, 50); look(); }})"
        ));
        let gaps = seen.evaluate(&format!("{all}.slice(1).map((one, place) => one.at - {all}[place].at)"));
        // A timer may be a little early by the clock that it is read with.
        let too_soon = |gap: &serde_json::Value| gap.as_f64().unwrap() < 990.0;
        assert!(!gaps.as_array().unwrap().iter().any(too_soon), "{view}: {gaps}");
        // Once for each visit: which paths there are, and where the process is. Problems are asked for when there are new
        // ones, and a machine with much to do may be one.
        let once = "['/v1', '/v1/processes/1/stack']";
        let others = seen.evaluate(&format!(
            "asked.map(one => one.path).filter(one => ![{path:?}, '/v1/events', '/v1/alarms'].includes(one))
                .filter((one, place, all) => !{once}.includes(one) || all.indexOf(one) != place)"
        ));
        assert_eq!(others, json!([]), "{view}");
    }
}

#[test]
fn a_tab_that_nobody_sees_asks_for_nothing() {
    let program = start(&["a_shop"]);
    let mut seen = open(&program);
    let visible = seen.browser.open(&program.at("/"));
    seen.browser
        .wait_until(&visible, "document.querySelector('.tile .value')?.innerText > '0'");
    seen.evaluate(
        "Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
         document.dispatchEvent(new Event('visibilitychange'))",
    );
    seen.evaluate(COUNT);
    // The other one is the clock: it asks three times meanwhile.
    seen.browser.evaluate(&visible, COUNT);
    let thrice =
        "new Promise(done => { const look = () => asked.length > 3 ? done() : setTimeout(look, 50); look(); })";
    seen.browser.evaluate(&visible, thrice);
    assert_eq!(seen.evaluate("asked.length"), 0);
    // A browser with windows has really hidden it behind the other one.
    seen.browser.command(&seen.page, "Page.bringToFront", json!({}));
    seen.evaluate(
        "delete document.hidden;
         document.dispatchEvent(new Event('visibilitychange'))",
    );
    seen.evaluate(thrice);
    seen.is_well();
}
