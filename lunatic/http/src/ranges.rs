//! Range requests (RFC 9110, 14) for one range of bytes.

use std::ops::Range;

use http::header::{HeaderMap, IF_RANGE, RANGE};

use crate::conditional::Validators;

/// The part of a resource that a client requests.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    /// A range that is not empty and lies within the resource.
    Part(Range<u64>),
    /// A range outside the resource: 416.
    Nothing,
}

/// The part of a resource of this length that the headers request. Malformed headers, other units and lists of ranges are ignored,
/// as the RFC allows: the response is then the whole resource.
pub(crate) fn wanted(headers: &HeaderMap, len: u64, validators: &Validators) -> Wanted {
    let mut lines = headers.get_all(RANGE).into_iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Wanted::All;
    };
    if headers
        .get(IF_RANGE)
        .is_some_and(|condition| !validators.is_same(condition))
    {
        return Wanted::All;
    }
    line.to_str()
        .ok()
        .and_then(|line| parse(line, len))
        .unwrap_or(Wanted::All)
}

fn parse(line: &str, len: u64) -> Option<Wanted> {
    let (unit, range) = line.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let range = match (first, last) {
        ("", last) => {
            let count = number(last)?;
            if len == 0 {
                return None;
            }
            len.saturating_sub(count)..len
        }
        (first, "") => number(first)?..len,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            first..last.saturating_add(1).min(len)
        }
    };
    Some(match range.start < range.end {
        true => Wanted::Part(range),
        false => Wanted::Nothing,
    })
}

/// Parses a number of any length. Numbers above `u64::MAX` become `u64::MAX`.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn ask(line: &str, len: u64) -> Wanted {
        let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_str(line).unwrap())]);
        wanted(&headers, len, &Validators::new())
    }

    #[test]
    fn one_range_is_served() {
        for (line, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=0-", Wanted::Part(0..10)),
            ("Bytes = 2-4 ", Wanted::Part(2..5)),
            ("bytes=9-99999999999999999999999", Wanted::Part(9..10)),
            ("bytes=5-18446744073709551615", Wanted::Part(5..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-11", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=10-20", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=4-2", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("bytes=1 - 2", Wanted::All),
            ("bytes", Wanted::All),
            ("lines=1-2", Wanted::All),
            ("", Wanted::All),
        ] {
            assert_eq!(ask(line, 10), expected, "{line}");
        }
        assert_eq!(ask("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(ask("bytes=-1", 0), Wanted::All);
    }

    #[test]
    fn another_version_is_sent_whole() {
        let ask = |condition: &'static str, validators: Validators| {
            let mut headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static("bytes=0-1"))]);
            headers.insert(IF_RANGE, HeaderValue::from_static(condition));
            wanted(&headers, 10, &validators) == Wanted::Part(0..2)
        };
        const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        let dated = || Validators::new().modified(httpdate::parse_http_date(DATE).unwrap());
        assert!(ask("\"a\"", Validators::new().etag("a")));
        assert!(!ask("\"b\"", Validators::new().etag("a")));
        assert!(!ask("W/\"a\"", Validators::new().weak_etag("a")));
        assert!(ask(DATE, dated()));
        assert!(!ask("Sun, 06 Nov 1994 08:49:38 GMT", dated()));
        assert!(!ask("sometime", dated()));
        assert!(!ask("sometime", Validators::new()));
    }

    #[test]
    fn two_headers_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(RANGE, HeaderValue::from_static("bytes=0-1"));
        headers.append(RANGE, HeaderValue::from_static("bytes=2-3"));
        assert_eq!(wanted(&headers, 10, &Validators::new()), Wanted::All);
    }

    proptest! {
        #[test]
        fn a_part_is_within(first in any::<Option<u64>>(), last in any::<Option<u64>>(), len in 0..1000_u64) {
            let shown = |number: Option<u64>| number.map_or(String::new(), |number| (number % 1100).to_string());
            if let Wanted::Part(range) = ask(&format!("bytes={}-{}", shown(first), shown(last)), len) {
                prop_assert!(range.start < range.end && range.end <= len);
            }
        }
    }
}
