//! The example of a to-do list: its JSON, and its page in a real browser.

use lunatic_http::{Method, Request, Uri};
use lunatic_tests::browser::Browser;
use lunatic_tests::programs::cargo_lunatic;
use lunatic_tests::serving::{Serving, client};
use serde_json::{Value, json};

fn start() -> Serving {
    Serving::start(cargo_lunatic([
        "run",
        "--quiet",
        "--example",
        "todo",
        "--",
        "127.0.0.1:0",
    ]))
}

/// The status of a response and its body, as JSON if it is that.
fn ask(server: &Serving, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let uri: Uri = server.url(path).parse().unwrap();
    let request = match body {
        Some(body) => Request::of_json(method, uri, &body),
        None => Request::new(method, uri, ()),
    };
    let mut response = client().send(request).unwrap();
    let status = response.status().as_u16();
    let text = response.read_text().unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[test]
fn programs_use_the_list_by_json() {
    let server = start();
    let ask = |method, path: &str, body| ask(&server, method, path, body);
    assert_eq!(ask(Method::GET, "/items", None), (200, json!([])));
    let milk = json!({"id": 1, "title": "Buy milk", "done": false});
    let added = ask(Method::POST, "/items", Some(json!({"title": " Buy milk "})));
    assert_eq!(added, (201, milk));
    let milk = json!({"id": 1, "title": "Buy milk", "done": true});
    let changed = ask(Method::PATCH, "/items/1", Some(json!({"done": true})));
    assert_eq!(changed, (200, milk.clone()));
    assert_eq!(ask(Method::GET, "/items", None), (200, json!([milk])));
    for (method, path, body, status) in [
        (Method::POST, "/items", Some(json!({"title": ""})), 422),
        (Method::POST, "/items", Some(json!({})), 422),
        (Method::POST, "/items", None, 415),
        (Method::POST, "/items", Some(json!({"title": "x".repeat(5_000)})), 413),
        (Method::PATCH, "/items/2", Some(json!({})), 404),
        (Method::DELETE, "/items/one", None, 404),
        (Method::PUT, "/items", None, 405),
    ] {
        let answer = ask(method.clone(), path, body);
        assert_eq!(answer.0, status, "{method} {path}: {}", answer.1);
    }
    assert_eq!(ask(Method::DELETE, "/items/1", None), (204, json!("")));
    assert_eq!(ask(Method::GET, "/items", None), (200, json!([])));
}

#[test]
fn all_pages_see_the_list_change() {
    let server = start();
    let mut browser = Browser::start();
    let shows = |lines: &str| {
        format!(
            "[...document.querySelectorAll('#items li')].map(li => li.className + ':' + \
             li.querySelector('span').textContent).join() === {lines:?}"
        )
    };
    let ann = browser.open(&server.url("/"));
    let bob = browser.open(&server.url("/"));
    browser.evaluate(
        &ann,
        "document.getElementById('title').value = '<b>Milk</b>';
         document.querySelector('#add button').click()",
    );
    for page in [&ann, &bob] {
        browser.wait_until(page, &shows(":<b>Milk</b>"));
    }
    browser.evaluate(&bob, "document.querySelector('#items input').click()");
    for page in [&ann, &bob] {
        browser.wait_until(page, &shows("done:<b>Milk</b>"));
    }
    browser.evaluate(&ann, "document.querySelector('#items button').click()");
    for page in [&ann, &bob] {
        browser.wait_until(page, &shows(""));
    }
}
