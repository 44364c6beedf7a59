//! How the views look: in light and dark, on a telephone, with enough contrast.

use serde_json::json;

use crate::program::{Seen, open, start};

const VIEWS: [&str; 8] = [
    "/",
    "/processes",
    "/tree",
    "/process/1",
    "/crashes",
    "/trace",
    "/versions",
    "/process/77777",
];

/// Texts whose contrast to what lies behind them is below 4.5 to 1, as WCAG counts it. What cannot be used is left out.
const FAINT: &str = r#"(() => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => {
        const part = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    };
    const behind = (element) => {
        for (; element; element = element.parentElement) {
            const colour = rgba(getComputedStyle(element).backgroundColor);
            if (colour[3] > 200) return colour;
        }
        return rgba(getComputedStyle(document.documentElement).colorScheme.includes('dark') ? 'black' : 'white');
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const faint = [];
    let checked = 0;
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement;
        if (!texts.currentNode.textContent.trim() || !element.checkVisibility() || element.closest('noscript, :disabled')) continue;
        const [over, under] = [light(rgba(getComputedStyle(element).color)), light(behind(element))];
        const contrast = (Math.max(over, under) + 0.05) / (Math.min(over, under) + 0.05);
        checked += 1;
        if (contrast < 4.5) faint.push(`${element.outerHTML.slice(0, 90)}: ${contrast.toFixed(2)}`);
    }
    return checked > 10 ? faint : ['too few texts were found'];
})()"#;

impl Seen {
    fn emulate(&mut self, width: u32, scheme: &str) {
        let metrics = json!({ "width": width, "height": 780, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.browser
            .command(&self.page, "Emulation.setDeviceMetricsOverride", metrics);
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.browser.command(&self.page, "Emulation.setEmulatedMedia", features);
    }

    fn visit(&mut self, view: &str) {
        self.go(view);
        self.until("!document.querySelector('[aria-busy=true]')");
        let has_come = match view {
            "/" => "document.querySelectorAll('.chart canvas').length == 5",
            "/processes" => "document.querySelectorAll('tbody tr').length > 5",
            "/tree" => "document.querySelectorAll('.tree li').length > 5",
            "/process/1" => "document.querySelector('.facts').innerText.includes('_start')",
            "/process/77777" => "document.querySelector('.empty')",
            _ => "true",
        };
        self.until(has_come);
    }
}

#[test]
fn nothing_is_wider_than_a_telephone() {
    let program = start(&["a_shop"]);
    let mut seen = open(&program);
    for width in [360, 800, 1280] {
        seen.emulate(width, "light");
        for view in VIEWS {
            seen.visit(view);
            let wide = seen.evaluate("document.documentElement.scrollWidth");
            let widest = "[...document.querySelectorAll('body *')]
                .filter(one => one.getBoundingClientRect().right > innerWidth + 1 && one.checkVisibility())
                .map(one => one.outerHTML.slice(0, 120))";
            assert_eq!(seen.evaluate(widest), json!([]), "{view} at {width}");
            assert!(wide.as_u64().unwrap() <= width.into(), "{view} at {width}: {wide}");
        }
        seen.go("/processes");
        seen.until("document.querySelector('tbody tr')");
        let is_shown = seen.evaluate("document.querySelector('thead .wide').checkVisibility()");
        assert_eq!(is_shown, width > 640);
    }
}

#[test]
fn texts_can_be_read_in_light_and_in_dark() {
    let program = start(&["a_shop"]);
    let mut seen = open(&program);
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        seen.emulate(1280, scheme);
        for view in VIEWS {
            seen.visit(view);
            assert_eq!(seen.evaluate(FAINT), json!([]), "{scheme} {view}");
        }
        seen.visit("/process/1");
        seen.click(".process button", "Kill");
        seen.until("document.querySelector('dialog[open]')");
        assert_eq!(seen.evaluate(FAINT), json!([]), "{scheme} dialog");
        seen.press("Escape");
        // Tags of every kind, which only some programs have.
        seen.evaluate(
            "for (const kind of ['', 'bad', 'warn']) {
                const tag = document.createElement('span');
                tag.className = `tag ${kind}`;
                tag.textContent = 'a tag';
                document.getElementById('main').prepend(tag);
            }",
        );
        assert_eq!(seen.evaluate(FAINT), json!([]), "{scheme} tags");
        grounds.push(seen.evaluate("getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(grounds[0], grounds[1]);
}

/// Headings in order, a name for each field and button, a head for each table, a text for each chart.
#[test]
fn everything_has_a_name() {
    let nameless =
        "[...document.querySelectorAll('button, a, input, select, table')].filter(one => one.checkVisibility() && !(
            one.innerText?.trim() || one.ariaLabel || one.labels?.length || one.querySelector('th[scope=col]')))
        .map(one => one.outerHTML.slice(0, 120))";
    let program = start(&["a_shop"]);
    let mut seen = open(&program);
    for view in VIEWS {
        seen.visit(view);
        assert_eq!(seen.evaluate(nameless), json!([]), "{view}");
        assert_eq!(
            seen.evaluate("document.querySelectorAll('main h1').length"),
            1,
            "{view}"
        );
    }
    seen.visit("/");
    seen.until("[...document.querySelectorAll('.chart figcaption li')].every(one => /\\d/.test(one.innerText))");
}
