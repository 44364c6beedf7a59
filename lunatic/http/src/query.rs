//! Queries and forms as typed values: `application/x-www-form-urlencoded`, as defined by the WHATWG URL Standard.

use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::bad_input::BadInput;
use crate::media_type;
use crate::request::Request;

/// The most pairs of names and values in a query or form.
const PAIRS_MAX: usize = 1_000;
const FORM: &str = "application/x-www-form-urlencoded";

impl Request {
    /// Reads the query (`?page=2&tag=a&tag=b`) into a type that implements `Deserialize`, usually a struct with a field for each
    /// name. A field for a name that may be repeated is a `Vec` with `#[serde(default)]`; an optional one is an `Option`.
    /// Unknown names are ignored. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    ///
    /// 400 if the query does not fit the type, or has more than 1,000 pairs.
    ///
    /// # Examples
    ///
    /// ```
    /// use lunatic_http::{BadInput, Body, Handler, Method, Request, Uri};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Search {
    ///     text: String,
    ///     page: Option<u32>,
    ///     #[serde(default)]
    ///     tag: Vec<String>,
    /// }
    ///
    /// fn search(request: Request) -> Result<String, BadInput> {
    ///     let Search { text, page, tag } = request.query()?;
    ///     Ok(format!("{text}, page {}, {} tags", page.unwrap_or(1), tag.len()))
    /// }
    ///
    /// let ask = |target| search.handle(Request::new(Method::GET, Uri::from_static(target), Body::empty()));
    /// assert_eq!(ask("/?text=a+b&tag=x&tag=y").read_text().unwrap(), "a b, page 1, 2 tags");
    /// assert_eq!(ask("/?text=a&page=last").status(), 400);
    /// ```
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, BadInput> {
        parse(self.query_text().unwrap_or_default().as_bytes(), "query")
    }

    /// Reads the body of an HTML form (`<form method="post">`) into a type, by the rules of [`query`](Self::query). For forms with
    /// files, see [`multipart`](Self::multipart).
    ///
    /// # Errors
    ///
    /// 415 if the `Content-Type` is not `application/x-www-form-urlencoded`; 400 if the form does not fit the type, or has more
    /// than 1,000 pairs; 413 if the body is longer than the [limit](crate::Limits::body_len); and the errors of reading the
    /// body.
    ///
    /// # Examples
    ///
    /// ```
    /// use lunatic_http::{BadInput, Handler, Method, Request, Uri};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Login {
    ///     name: String,
    ///     remember: Option<String>,
    /// }
    ///
    /// fn login(mut request: Request) -> Result<String, BadInput> {
    ///     let login: Login = request.form()?;
    ///     Ok(format!("{} {}", login.name, login.remember.is_some()))
    /// }
    ///
    /// let request = Request::new(Method::POST, Uri::from_static("/login"), "name=J%C3%BCrgen&remember=on")
    ///     .header("content-type", "application/x-www-form-urlencoded");
    /// assert_eq!(login.handle(request).read_text().unwrap(), "Jürgen true");
    /// ```
    pub fn form<T: DeserializeOwned>(&mut self) -> Result<T, BadInput> {
        media_type::expect(self.headers(), FORM, |kind| kind == FORM)?;
        let body = self.read_bytes()?;
        parse(&body, "form")
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, BadInput> {
    let pairs = bytes.iter().filter(|byte| **byte == b'&').count() + 1;
    if pairs > PAIRS_MAX {
        let why = format!("the {what} has more than {PAIRS_MAX} values");
        return Err(BadInput::new(StatusCode::BAD_REQUEST, why));
    }
    serde_html_form::from_bytes(bytes).map_err(|error| BadInput::bad(format!("the {what} is wrong: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct All {
        text: String,
        number: Option<i16>,
        flag: bool,
        list: Vec<u8>,
        kind: Option<Kind>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Small,
        Large,
    }

    fn query(text: &str) -> Result<All, BadInput> {
        let uri = format!("/?{text}").parse().unwrap();
        Request::new("GET".parse().unwrap(), uri, ()).query()
    }

    #[test]
    fn queries_are_values() {
        let text = |text: &str| All {
            text: text.into(),
            ..All::default()
        };
        assert_eq!(query("").unwrap(), All::default());
        assert_eq!(query("text=a%20b%2bc+d&other=1&=&&x").unwrap(), text("a b+c d"));
        assert_eq!(query("text=%ff%zz%4").unwrap(), text("\u{fffd}%zz%4"));
        let all = query("list=1&number=-7&kind=large&list=2&flag=true").unwrap();
        assert_eq!(
            (all.list, all.number, all.kind, all.flag),
            (vec![1, 2], Some(-7), Some(Kind::Large), true)
        );
        for wrong in [
            "number=x",
            "number=40000",
            "list=256",
            "flag=maybe",
            "kind=huge",
            "number=1&number=2",
        ] {
            let error = query(wrong).unwrap_err();
            assert_eq!(error.status(), 400, "{wrong}");
            assert!(error.to_string().starts_with("the query is wrong: "), "{error}");
        }
        assert_eq!(
            query(&"x=1&".repeat(PAIRS_MAX)).unwrap_err().to_string(),
            "the query has more than 1000 values"
        );
    }

    #[test]
    fn forms_say_what_they_are() {
        let form = |kind: Option<&str>, body: Vec<u8>| {
            let mut request = Request::new("POST".parse().unwrap(), "/".parse().unwrap(), body);
            if let Some(kind) = kind {
                request = request.header("content-type", kind);
            }
            request.form::<All>()
        };
        let fine = form(
            Some("Application/X-WWW-Form-Urlencoded; charset=utf-8"),
            b"text=\xff".to_vec(),
        );
        assert_eq!(fine.unwrap().text, "\u{fffd}");
        assert_eq!(form(None, vec![]).unwrap_err().status(), 415);
        assert_eq!(form(Some("text/plain"), vec![]).unwrap_err().status(), 415);
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse::<All>(&bytes, "form");
        }
    }
}
