//! Bodies in JSON (RFC 8259).

use std::io;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode, Uri};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::bad_input::BadInput;
use crate::body::Body;
use crate::media_type;
use crate::request::Request;
use crate::response::Response;

const JSON: &str = "application/json";

impl Request {
    /// Reads a JSON body into a type. Needs the feature `json`, which is on by default.
    ///
    /// # Errors
    ///
    /// | status | when |
    /// |---|---|
    /// | 415 | the `Content-Type` is neither `application/json` nor `…/…+json` |
    /// | 400 | the body is not JSON, or is nested more than 127 levels deep |
    /// | 422 | the body is JSON that does not fit the type: a field is missing, or has another type |
    /// | 413 | the body is longer than the [limit](crate::Limits::body_len) |
    ///
    /// and the errors of reading the body.
    ///
    /// # Examples
    ///
    /// ```
    /// use lunatic_http::{BadInput, Handler, Method, Request, Response, Uri};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Point {
    ///     x: i32,
    ///     y: i32,
    /// }
    ///
    /// fn mirror(mut request: Request) -> Result<Response, BadInput> {
    ///     let Point { x, y } = request.json()?;
    ///     Ok(Response::json(&Point { x: y, y: x }))
    /// }
    ///
    /// let ask = |text| {
    ///     let request = Request::new(Method::POST, Uri::from_static("/mirror"), text);
    ///     mirror.handle(request.header("content-type", "application/json"))
    /// };
    /// assert_eq!(ask(r#"{"x": 1, "y": 2}"#).read_text().unwrap(), r#"{"x":2,"y":1}"#);
    /// assert_eq!(ask(r#"{"x": 1}"#).status(), 422);
    /// assert_eq!(ask(r#"{"x": "#).status(), 400);
    /// ```
    pub fn json<T: DeserializeOwned>(&mut self) -> Result<T, BadInput> {
        media_type::expect(self.headers(), JSON, |kind| kind == JSON || kind.ends_with("+json"))?;
        let body = self.read_bytes()?;
        serde_json::from_slice(&body).map_err(|error| match error.classify() {
            Category::Data => BadInput::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("the JSON does not have the expected form: {error}"),
            ),
            _ => BadInput::bad(format!("the body is not valid JSON: {error}")),
        })
    }

    /// A client's request with a JSON body.
    ///
    /// # Panics
    ///
    /// As [`Response::json`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use lunatic_http::{Client, Method, Request, Uri};
    ///
    /// let order = Request::of_json(Method::POST, Uri::from_static("http://127.0.0.1:8080/orders"), &["tea", "milk"]);
    /// let number: u64 = Client::new().send(order).unwrap().read_json().unwrap();
    /// ```
    pub fn of_json<T: Serialize + ?Sized>(method: Method, uri: Uri, value: &T) -> Self {
        let mut request = Self::new(method, uri, written(value));
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        request
    }
}

impl Response {
    /// A response with a value as JSON. Needs the feature `json`, which is on by default.
    ///
    /// # Panics
    ///
    /// If JSON cannot represent the value: a map has keys that are neither strings nor numbers, or an implementation of
    /// `Serialize` returns an error.
    ///
    /// # Examples
    ///
    /// ```
    /// use lunatic_http::Response;
    ///
    /// let mut response = Response::json(&["tea", "milk"]);
    /// assert_eq!(response.header_text("content-type"), Some("application/json"));
    /// assert_eq!(response.read_text().unwrap(), r#"["tea","milk"]"#);
    /// ```
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        let mut response = Self::new(written(value));
        response.headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        response
    }

    /// Reads the JSON body of a response that a client received. The `Content-Type` is not checked.
    ///
    /// # Errors
    ///
    /// Those of reading the [`Body`], and [`InvalidData`](io::ErrorKind::InvalidData) if it is not JSON that fits the type.
    pub fn read_json<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let body = self.read_bytes()?;
        serde_json::from_slice(&body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

fn written<T: Serialize + ?Sized>(value: &T) -> Body {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes.into(),
        Err(error) => panic!("the value cannot be written as JSON: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn read(kind: &str, body: &[u8]) -> Result<Vec<u8>, BadInput> {
        let request = Request::new(Method::POST, Uri::from_static("/"), body.to_vec());
        request.header("content-type", kind).json()
    }

    #[test]
    fn each_mistake_has_its_status() {
        assert_eq!(read("application/json; charset=utf-8", b" [1, 2] "), Ok(vec![1, 2]));
        assert_eq!(read("application/vnd.api+json", b"[]"), Ok(vec![]));
        for (kind, body, status, why) in [
            (
                "text/plain",
                &b"[]"[..],
                415,
                "the body is `text/plain`; send `application/json`",
            ),
            ("application/json", b"", 400, "EOF while parsing"),
            ("application/json", b"[1,", 400, "EOF while parsing"),
            ("application/json", b"[1] 2", 400, "trailing characters"),
            ("application/json", b"\xff\xfe", 400, "expected value"),
            ("application/json", b"[256]", 422, "invalid value"),
            ("application/json", b"{}", 422, "invalid type: map, expected a sequence"),
        ] {
            let error = read(kind, body).unwrap_err();
            assert_eq!(error.status(), status, "{error}");
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn deep_values_do_not_use_up_the_stack() {
        let request = Request::new(Method::POST, Uri::from_static("/"), "[".repeat(1 << 20));
        let deep = request.header("content-type", JSON).json::<serde_json::Value>();
        assert!(deep.unwrap_err().to_string().contains("recursion limit exceeded"));
    }

    #[test]
    fn what_is_written_is_read() {
        let mut response = Response::json(&[1_u8, 2]);
        assert_eq!(response.read_json::<Vec<u8>>().unwrap(), [1, 2]);
        assert!(response.read_json::<Vec<u8>>().is_err());
        let mut request = Request::of_json(Method::PUT, Uri::from_static("/"), "text");
        assert_eq!(request.json::<String>().unwrap(), "text");
    }

    #[test]
    #[should_panic(expected = "cannot be written as JSON")]
    fn what_json_does_not_have_panics() {
        let _ = Response::json(&BTreeMap::from([((1, 2), 3)]));
    }
}
