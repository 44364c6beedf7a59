//! The chat, used in a real browser.

use lunatic_tests::browser::Browser;
use lunatic_tests::programs::cargo_lunatic;
use lunatic_tests::serving::Serving;

#[test]
fn two_pages_in_a_browser_chat() {
    let server = Serving::start(cargo_lunatic([
        "run",
        "--quiet",
        "--example",
        "chat",
        "--",
        "127.0.0.1:0",
    ]));
    let mut browser = Browser::start();
    let shows = |line: &str| format!("document.getElementById('lines').innerText.split('\\n').includes({line:?})");
    let say = |line: &str| {
        format!(
            "document.getElementById('text').value = {line:?};
             document.querySelector('#say button').click()"
        )
    };
    let ann = browser.open(&server.url("/?name=Ann"));
    browser.wait_until(&ann, &shows("Ann comes in"));
    let bob = browser.open(&server.url("/?name=Bob"));
    browser.wait_until(&bob, &shows("Bob comes in"));
    browser.wait_until(&ann, &shows("Bob comes in"));

    browser.evaluate(&ann, &say("Good evening, Bob – ça va?"));
    browser.wait_until(&bob, &shows("Ann: Good evening, Bob – ça va?"));
    browser.evaluate(&bob, &say("<b>Fine</b>"));
    for page in [&ann, &bob] {
        browser.wait_until(page, &shows("Bob: <b>Fine</b>"));
    }
    let lines = |browser: &mut Browser, page| {
        let text = browser.evaluate(page, "document.getElementById('lines').innerText");
        text.as_str().expect("it is a text").to_owned()
    };
    assert_eq!(
        lines(&mut browser, &ann),
        "Ann comes in\nBob comes in\nAnn: Good evening, Bob – ça va?\nBob: <b>Fine</b>"
    );
    assert_eq!(
        lines(&mut browser, &bob),
        "Bob comes in\nAnn: Good evening, Bob – ça va?\nBob: <b>Fine</b>"
    );

    // A page that is left closes its WebSocket.
    browser.evaluate(&bob, "location.href = 'about:blank'");
    browser.wait_until(&ann, &shows("Bob has left"));
}
