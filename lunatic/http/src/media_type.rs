//! Media types and their parameters (RFC 9110, 8.3).

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap};

use crate::bad_input::BadInput;

/// The type and subtype of the body, in lower case; empty without a `Content-Type`.
pub(crate) fn essence(headers: &HeaderMap) -> String {
    let line = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = line.unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// Checks the media type of the body.
///
/// # Errors
///
/// 415 if the type does not fit. The reason recommends `expected`.
pub(crate) fn expect(headers: &HeaderMap, expected: &str, fits: impl Fn(&str) -> bool) -> Result<(), BadInput> {
    let kind = essence(headers);
    if fits(&kind) {
        return Ok(());
    }
    let kind = match kind.as_str() {
        "" => "has no `Content-Type`".to_owned(),
        kind => format!("is `{kind}`"),
    };
    Err(BadInput::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("the body {kind}; send `{expected}`"),
    ))
}

/// The value of a parameter of a header, without its quotes. `None` if the header has no such parameter, or a parameter before it is
/// malformed.
pub(crate) fn parameter(line: &str, name: &str) -> Option<String> {
    let mut rest = line.split_once(';')?.1;
    loop {
        let (key, after) = rest.split_once('=')?;
        let key = key.trim_start_matches([' ', '\t', ';']);
        if key.is_empty() || !key.bytes().all(is_token) {
            return None;
        }
        let (value, after) = value(after)?;
        if key.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after.trim_start_matches([' ', '\t']).strip_prefix(';')?;
    }
}

/// Splits off a token or a quoted string.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let (mut value, mut chars) = (String::new(), quoted.char_indices());
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &quoted[at + 1..])),
            // Some clients send Windows paths without escaping them, so a backslash escapes quotes and backslashes only.
            '\\' => match chars.clone().next() {
                Some((_, next @ ('"' | '\\'))) => {
                    value.push(next);
                    chars.next();
                }
                _ => value.push('\\'),
            },
            char => value.push(char),
        }
    }
    None
}

/// Whether a token may contain this character (RFC 9110, 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters_are_found() {
        for (line, name, expected) in [
            ("multipart/form-data; boundary=abc", "boundary", Some("abc")),
            ("multipart/form-data;BOUNDARY=\"a b\" ; x=y", "boundary", Some("a b")),
            ("a; x=y ;b=c", "b", Some("c")),
            ("a; x=\";b=1\"; b=2", "b", Some("2")),
            (r#"form-data; name="a\"b\\c\d""#, "name", Some(r#"a"b\c\d"#)),
            ("form-data; filename=\"é\"; name=x", "filename", Some("é")),
            ("form-data; filename*=UTF-8''a; name=x", "filename", None),
            ("form-data; name=\"open", "name", None),
            ("form-data; name=\"a\"b; x=1", "x", None),
            ("form-data; =x; name=y", "name", None),
            ("form-data", "name", None),
            ("form-data;", "name", None),
        ] {
            assert_eq!(parameter(line, name).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn a_wrong_type_is_named() {
        let error = |headers: HeaderMap| expect(&headers, "a/b", |kind| kind == "a/b").unwrap_err().to_string();
        assert_eq!(error(HeaderMap::new()), "the body has no `Content-Type`; send `a/b`");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, "X/y; z=1".parse().unwrap())]);
        assert_eq!(error(headers), "the body is `x/y`; send `a/b`");
    }

    proptest! {
        #[test]
        fn any_text_can_be_asked_for_parameters(line in proptest::collection::vec(any::<char>(), 0..60)) {
            let _ = parameter(&String::from_iter(line), "name");
        }
    }
}
