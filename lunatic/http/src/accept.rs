//! Reads the headers `Accept` and `Accept-Encoding` (RFC 9110, 12.5), which say what a client prefers.

use http::header::{ACCEPT, AsHeaderName, HeaderMap};

/// The most items of a header that are read. Further items are ignored.
const ITEMS_MAX: usize = 64;

/// The items of a list header, with their weights in thousandths. Items with a malformed weight are left out.
pub(crate) fn items(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = (&str, u16)> {
    let lines = headers.get_all(name).into_iter();
    let items = lines.flat_map(|line| line.to_str().unwrap_or_default().split(','));
    items.take(ITEMS_MAX).filter_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let what = parts.next().filter(|what| !what.is_empty())?;
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        Some((what, weight.map_or(Some(1000), thousandths)?))
    })
}

/// Parses a `qvalue`: 0 to 1, with up to three decimal places.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let is_number = digits.len() <= 3 && digits.bytes().all(|digit| digit.is_ascii_digit());
    let rest = is_number.then(|| format!("{digits:0<3}").parse::<u16>().ok())??;
    match whole {
        "0" => Some(rest),
        "1" if rest == 0 => Some(1000),
        _ => None,
    }
}

/// Whether the client prefers HTML: true for browsers, false for `curl`.
pub(crate) fn wants_html(headers: &HeaderMap) -> bool {
    let best = items(headers, ACCEPT).map(|(_, weight)| weight).max();
    items(headers, ACCEPT)
        .any(|(kind, weight)| kind.eq_ignore_ascii_case("text/html") && weight > 0 && Some(weight) == best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn items_have_weights() {
        let lines = headers(&[
            "a, b;q=0.5 ,, c;x=y;q=0",
            "d;q=1.000, e;q=2, f;q=0.1234, g;q=, h;q=0.12",
        ]);
        let read: Vec<_> = items(&lines, ACCEPT).collect();
        assert_eq!(read, [("a", 1000), ("b", 500), ("c", 0), ("d", 1000), ("h", 120)]);
        let many = HeaderValue::from_str(&"a,".repeat(1000)).unwrap();
        assert_eq!(
            items(&HeaderMap::from_iter([(ACCEPT, many)]), ACCEPT).count(),
            ITEMS_MAX
        );
    }

    #[test]
    fn browsers_want_html() {
        for (line, wants) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("*/*", false),
            ("application/json", false),
            ("application/json, text/html;q=0.9", false),
            ("text/html;q=0", false),
            ("TEXT/HTML", true),
            ("", false),
        ] {
            assert_eq!(wants_html(&headers(&[line])), wants, "{line}");
        }
    }
}
