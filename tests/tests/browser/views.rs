//! What the views show, and what can be done in them.

use lunatic_tests::guests::{Profile, path};
use lunatic_tests::programs::lunatic;

use crate::program::{Seen, beside, open, start, start_guest, start_with};

/// Says that a script of a guest's name or reason has run.
const TAKEN: &str =
    "document.title == 'taken' || document.querySelector('main img[src=x], main b:not(.chart b)') !== null";

#[test]
fn the_overview_shows_what_runs_while_it_does() {
    let program = start(&["a_shop"]);
    let mut seen = open(&program);
    let tile = |name: &str| {
        format!(
            "([...document.querySelectorAll('.tile')].find(tile => tile.querySelector('dt').innerText == {name:?})
                ?.querySelector('.value').innerText ?? '')"
        )
    };
    // Spawns and failures of the last second, and time that goes on.
    seen.until(&format!("parseInt({}) >= 9", tile("Processes")));
    seen.until(&format!("parseFloat({}) > 5", tile("Spawns")));
    seen.until(&format!("parseInt({}) >= 2", tile("Failures")));
    if cfg!(target_os = "linux") {
        seen.until(&format!("/^[1-9]/.test({})", tile("Workers")));
        seen.until(&format!("/MiB|GiB/.test({})", tile("Memory")));
    }
    let before = seen.evaluate(&tile("Runs for"));
    seen.until(&format!("{} != {before}", tile("Runs for")));
    seen.until("document.querySelectorAll('.chart canvas').length == 5");
    seen.until("/waiting \\d/.test(document.querySelector('.chart').innerText)");
    assert!(seen.text("#program").ends_with("shown.wasm"));
    // What has failed is text.
    seen.until("document.querySelector('.crash pre')?.innerText.includes('<b>not bold</b>')");
    assert_eq!(seen.evaluate(TAKEN), false);
    seen.is_well();
}

#[test]
fn names_of_guests_are_text() {
    let program = start(&["a_shop"]);
    let mut seen = open(&program);
    let name = "<img src=x onerror=document.title='taken'>";
    let is_shown = format!("document.getElementById('main').innerText.includes({name:?})");
    seen.go("/processes");
    seen.until(&is_shown);
    seen.go("/tree");
    seen.until(&is_shown);
    seen.go("/processes?name=%3Cimg");
    seen.until("document.querySelectorAll('tbody tr').length == 1");
    assert_eq!(seen.text("tbody tr td:nth-of-type(3)"), "1,234");
    seen.click("tbody th a", "#");
    seen.until(&is_shown);
    seen.until("document.querySelector('.facts').innerText.includes('1,234 entries')");
    seen.go("/crashes");
    seen.until("document.querySelector('.crash pre')?.innerText.includes('<b>not bold</b>')");
    assert_eq!(seen.evaluate(TAKEN), false);
    seen.is_well();
}

#[test]
fn a_hundred_thousand_are_sorted_paged_and_searched() {
    let program = start(&["a_crowd", "100000"]);
    let mut seen = open(&program);
    seen.go("/processes");
    seen.until("document.getElementById('total').innerText == '100,001 processes'");
    assert_eq!(seen.evaluate("document.querySelectorAll('tbody tr').length"), 50);
    seen.click("thead button", "Mailbox");
    seen.until("document.querySelector('tbody .name').innerText == 'needle'");
    assert_eq!(seen.text("tbody td.figure"), "77");
    assert_eq!(
        seen.evaluate("document.querySelector('[aria-sort=descending]').innerText"),
        "Mailbox"
    );
    seen.click(".pages button", "Next page");
    seen.until("document.querySelector('.range').innerText == '51 to 100 of 100,001'");
    seen.click(".pages button", "Last page");
    seen.until("document.querySelector('.range').innerText == '100,001 to 100,001 of 100,001'");
    seen.fill("search", "needle");
    seen.until("document.getElementById('total').innerText == '1 process'");
    assert_eq!(seen.evaluate("document.querySelectorAll('tbody tr').length"), 1);
    assert_eq!(seen.evaluate("location.hash"), "#/processes?name=needle&order=mailbox");
    seen.fill("search", "no such name");
    seen.until("document.querySelector('.list').innerText.includes('No process matches')");
    seen.fill("search", "");
    seen.fill("state", "waiting");
    seen.until("document.getElementById('total').innerText == '100,001 processes'");
    seen.go("/tree");
    seen.until("document.querySelector('.tree').innerText.includes('100,000 children')");
    seen.click(".toggle", "Children of");
    seen.until("document.querySelectorAll('.tree ul li').length == 50");
    seen.click(".tree .more", "Show 50 of 99,950 more");
    seen.until("document.querySelectorAll('.tree ul li').length == 100");
    seen.is_well();
}

#[test]
fn a_process_is_opened_by_keyboard() {
    let program = start(&["a_shop"]);
    let mut seen = open(&program);
    seen.go("/processes");
    seen.until("document.querySelector('tbody th a')");
    let mut tabs = 0;
    while seen.evaluate("document.activeElement.closest('tbody th') === null") == true {
        seen.press("Tab");
        tabs += 1;
        assert!(tabs < 40, "{}", seen.evaluate("document.activeElement.outerHTML"));
    }
    assert_eq!(
        seen.evaluate("getComputedStyle(document.activeElement).outlineStyle"),
        "solid"
    );
    let process = seen.evaluate("document.activeElement.innerText");
    seen.press("Enter");
    seen.until(&format!(
        "document.querySelector('.process .line')?.innerText.startsWith({process})"
    ));
    // The keyboard goes on in the new view.
    assert_eq!(seen.evaluate("document.activeElement.id"), "main");
    seen.is_well();
}

fn open_shelf(seen: &mut Seen) -> String {
    seen.go("/processes?name=shelf%201");
    seen.until("document.querySelectorAll('tbody tr').length == 1");
    let id = seen.text("tbody th a");
    seen.click("tbody th a", "#");
    seen.until(&format!(
        "document.querySelector('.process .line')?.innerText.startsWith({id:?})"
    ));
    seen.until("document.querySelector('.facts').innerText.includes('shelf 1')");
    id
}

#[test]
fn a_process_is_killed_after_a_question() {
    let program = start(&["a_shop"]);
    let mut seen = open(&program);
    let first = open_shelf(&mut seen);
    seen.click(".process button", "Kill");
    seen.until("document.querySelector('dialog[open]')");
    assert!(seen.text("dialog h2").contains(&first));
    // No is the default, and what Escape says.
    assert_eq!(seen.evaluate("document.activeElement.innerText"), "Cancel");
    seen.press("Escape");
    seen.until("!document.querySelector('dialog')");
    assert_eq!(seen.text(".ended"), "");
    seen.click(".process button", "Kill");
    seen.until("document.querySelector('dialog[open]')");
    seen.click("dialog button", "Kill it");
    seen.until("document.querySelector('.ended').innerText.includes('has ended')");
    assert_eq!(
        seen.evaluate("document.querySelector('.process button').disabled"),
        true
    );
    // Its supervisor has started it again.
    let second = open_shelf(&mut seen);
    assert_ne!(first, second);
    seen.click(".process button", "Exit");
    seen.until("document.querySelector('dialog[open]')");
    assert_eq!(seen.evaluate("document.activeElement.value"), "shutdown");
    seen.fill("reason", "an error of ours");
    seen.press("Enter");
    seen.until("document.querySelector('.ended').innerText.includes('has ended')");
    seen.go("/crashes");
    seen.until("document.querySelector('.crash pre')");
}

#[test]
fn the_tree_is_walked() {
    let program = start(&["a_shop"]);
    let mut seen = open(&program);
    seen.go("/tree");
    // Small branches are open from the beginning.
    seen.until("document.querySelector('.tree').innerText.includes('shelf 3')");
    let shelf = "[...document.querySelectorAll('.tree li')].findLast(one => one.innerText.includes('shelf 2'))";
    let depth = format!(
        "(() => {{ let [depth, one] = [0, {shelf}]; while (one = one.parentElement.closest('li')) depth += 1; return depth; }})()"
    );
    assert_eq!(seen.evaluate(&depth), 3);
    seen.click(".tree > li > .node > .toggle", "Children of #1");
    assert_eq!(seen.evaluate("document.querySelectorAll('.tree li').length"), 1);
    seen.click(".tree > li > .node > .toggle", "Children of #1");
    seen.until("document.querySelector('.tree').innerText.includes('Supervisor<Shop>')");
    seen.is_well();
}

#[test]
fn a_trace_shows_what_happens() {
    let program = start(&["a_shop"]);
    let mut seen = open(&program);
    seen.go("/trace");
    seen.click("form button", "Start");
    seen.until("document.querySelector('.events').innerText.includes('was spawned by')");
    seen.until("document.querySelector('[data-reason=normal]')");
    seen.click("form button", "Stop");
    seen.until("document.querySelector('[role=status].lead').innerText == 'Stopped.'");
    seen.fill("process", "no process");
    seen.click("form button", "Start");
    seen.until("document.querySelector('.lead').innerText.includes('give a process')");
}

#[test]
fn a_tab_gets_the_token_from_another_and_nobody_else_does() {
    let program = start(&["a_shop"]);
    let mut seen = open(&program);
    assert_eq!(seen.evaluate("location.href.includes('token')"), false);
    let second = seen.browser.open(&program.at("/processes"));
    seen.browser
        .wait_until(&second, "document.querySelectorAll('tbody tr').length > 5");
    // Another browser has to be told.
    let mut other = lunatic_tests::browser::Browser::start();
    let page = other.open(&program.at("/processes"));
    other.wait_until(&page, "document.querySelector('.sign-in')");
    let sign_in = |token: &str| {
        format!(
            "document.getElementById('token').value = {token:?};
             document.querySelector('.sign-in button').click()"
        )
    };
    other.evaluate(&page, &sign_in("not the token"));
    other.wait_until(
        &page,
        "document.querySelector('.sign-in')?.innerText.includes('was not right')",
    );
    let (_, token) = program.url.split_once("#token=").unwrap();
    other.evaluate(&page, &sign_in(token));
    other.wait_until(&page, "document.querySelectorAll('tbody tr').length > 5");
}

#[test]
fn a_program_that_goes_and_comes_back_is_said_to() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("door.sock").to_str().unwrap().to_owned();
    let admin = format!("--admin={socket}");
    let first = start_with(&[&admin], &["a_shop"]);
    let dashboard = beside(&socket);
    let mut seen = open(&dashboard);
    seen.until("document.querySelector('.tile .value').innerText != '–'");
    drop(first);
    // What was on its way has been told of before.
    let says = |what: &str| {
        format!(
            "document.getElementById('link').dataset.state == 'lost'
                && document.getElementById('banner').innerText.startsWith({what:?})"
        )
    };
    seen.until(&says("No program listens there"));
    let _second = start_with(&[&admin], &["a_shop"]);
    seen.until("document.getElementById('link').dataset.state == 'live' && document.getElementById('banner').hidden");
    drop(dashboard);
    seen.until(&says("The connection is lost"));
}

#[test]
fn what_a_program_lists_is_shown_and_nothing_else() {
    let program = start(&["a_shop"]);
    let mut seen = open(&program);
    // Whether this program lists modules stands in `/v1`, which the page has read when the link is as it should be.
    let lists = "import('./api.js').then(api => api.offers('/v1/modules'))";
    let has_lists = seen.evaluate(lists).as_bool().unwrap();
    seen.until(&format!("document.getElementById('lists').hidden != {has_lists}"));
    if has_lists {
        seen.go("/lists/modules");
        seen.until("document.querySelectorAll('tbody tr').length == 1");
        seen.go("/lists/names");
        seen.until("document.querySelector('table').innerText.includes('shelf 1')");
    }
    seen.is_well();
}

#[test]
fn versions_and_upgrades_are_shown_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("door");
    let at = socket.to_str().unwrap();
    let program = start_guest("upgrades-old", &[&format!("--admin={at}")], &["pauses", "20"]);
    let mut seen = open(&program);
    seen.until("!document.getElementById('versions').hidden");
    seen.go("/processes?name=ready");
    seen.until("document.querySelectorAll('tbody tr').length == 1");
    seen.go("/versions");
    seen.until("document.querySelector('tbody th')?.innerText == '1, the current one'");
    seen.until("document.querySelector('.spaced .empty').checkVisibility()");
    let new = path("upgrades-new", Profile::Debug).to_str().unwrap();
    // It ends when it is taken back, in the browser.
    let watched = std::thread::scope(|scope| {
        let upgrade = scope.spawn(|| lunatic(["upgrade", "--at", at, "--watch", "3600", new]).run());
        seen.until("document.querySelector('.phase')?.dataset.phase == 'watching'");
        seen.until("document.querySelector('tbody tr:nth-of-type(2) td.figure').innerText == '1'");
        seen.until("document.querySelector('.kinds').innerText.includes('can change; one was tried')");
        seen.click(".upgrade button", "Take it back");
        seen.until("document.querySelector('dialog[open]')");
        seen.click("dialog button", "Take it back");
        seen.until("document.querySelector('.phase').dataset.phase == 'rolled back'");
        upgrade.join().unwrap()
    });
    watched.code(1);
    seen.until("document.querySelector('.why').innerText.includes('cancelled')");
    assert_eq!(seen.evaluate("document.querySelector('.upgrade button').hidden"), true);
    lunatic(["upgrade", "--at", at, "--canary", "none", new]).run().code(0);
    seen.until("document.querySelector('.phase').dataset.phase == 'done'");
    seen.until("document.querySelector('.upgrade .facts').innerText.includes('20 processes')");
    seen.until("[...document.querySelectorAll('tbody th')].some(one => one.innerText.includes('the current one') && one.innerText != '1, the current one')");
    seen.go("/processes?name=Heavy");
    seen.until("document.querySelectorAll('tbody tr').length == 20");
    seen.click("tbody th a", "#");
    seen.until("/version [23]: upgrades/.test(document.querySelector('.facts')?.innerText)");
    seen.is_well();
}

#[test]
fn problems_stand_on_the_overview() {
    let program = start_guest("alarming", &[], &["a_mailbox_grows"]);
    let mut seen = open(&program);
    seen.until("document.querySelector('.alarm')?.innerText.includes('mailbox')");
    seen.until("document.querySelector('.alarmed h2').innerText == '1 problem noticed'");
    seen.click(".alarm a", "#");
    seen.until("document.querySelector('.process .line')");
    seen.is_well();
}

#[test]
fn a_process_is_dumped() {
    let program = start(&["a_shop"]);
    let mut seen = open(&program);
    open_shelf(&mut seen);
    // Where a browser would save it.
    seen.evaluate(
        "{
            const make = URL.createObjectURL;
            URL.createObjectURL = (blob) => { window.saved = blob; return make(blob); };
            HTMLAnchorElement.prototype.click = function () {
                window.saved.arrayBuffer().then(bytes => {
                    document.body.dataset.dump = [this.download, ...new Uint8Array(bytes.slice(0, 4))].join(' ');
                });
            };
        }",
    );
    seen.click(".process button", "Dump");
    seen.until("document.body.dataset.dump");
    let dump = seen.evaluate("document.body.dataset.dump");
    let dump = dump.as_str().unwrap();
    assert!(
        dump.starts_with("process-") && dump.ends_with(".wasm 0 97 115 109"),
        "{dump}"
    );
}
