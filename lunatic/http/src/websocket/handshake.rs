//! How HTTP becomes a WebSocket.

use http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, StatusCode, Version};
use sha1::{Digest, Sha1};
use tungstenite::protocol::Role;

use super::{WebSocket, WebSocketLimits};
use crate::body::{Body, Kind};
use crate::head::{connection_has, has_word};
use crate::request::Request;
use crate::response::Response;

const VERSION: &str = "13";

/// Answers a request that asks for a WebSocket: `talk` is called with it in the process of the connection, once the answer is
/// sent. Another request is answered with what is wrong with it.
///
/// A browser sends cookies to WebSockets of other sites too, and says in the header `Origin` which site the page is of: look
/// at it if what the WebSocket does depends on who is logged in.
pub fn upgrade(request: Request, talk: impl FnOnce(WebSocket) + 'static) -> Response {
    let key = match accept(&request) {
        Ok(key) => key,
        Err(response) => return response,
    };
    let mut response = Response::new(Body(Kind::Upgrade(Box::new(move |upgraded| {
        let limits = WebSocketLimits::default();
        talk(WebSocket::new(upgraded, Role::Server, limits));
    }))));
    response.status = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(key) = HeaderValue::from_str(&key) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    }
    response
}

/// The key of the answer.
#[expect(clippy::result_large_err, reason = "the response is returned at once")]
fn accept(request: &Request) -> Result<String, Response> {
    let headers = request.headers();
    let bad = |why: &'static str| Err((StatusCode::BAD_REQUEST, why).into());
    if !wants_websocket(headers) {
        let response: Response = (StatusCode::UPGRADE_REQUIRED, "this is the address of a WebSocket\n").into();
        return Err(response.header("upgrade", "websocket"));
    }
    if *request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return bad("a WebSocket must begin with GET in HTTP/1.1\n");
    }
    // The protocol changes after the request, so a body that was not read would be taken for frames.
    if !request.body.is_empty() {
        return bad("a WebSocket must begin with a request without a body\n");
    }
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != VERSION)
    {
        let response: Response = (
            StatusCode::UPGRADE_REQUIRED,
            "only version 13 of WebSockets is supported\n",
        )
            .into();
        return Err(response
            .header("upgrade", "websocket")
            .header("sec-websocket-version", VERSION));
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    match (keys.next(), keys.next()) {
        // Sixteen bytes in base64.
        (Some(key), None) if key.len() == 24 && key.as_bytes().ends_with(b"==") => Ok(accept_key(key.as_bytes())),
        _ => bad("there must be exactly one valid `Sec-WebSocket-Key`\n"),
    }
}

fn wants_websocket(headers: &HeaderMap) -> bool {
    let upgrades = headers.get_all(UPGRADE).iter();
    connection_has(headers, "upgrade") && upgrades.into_iter().any(|list| has_word(list.as_bytes(), "websocket"))
}

/// Makes a client's request one for a WebSocket; returns the key that the answer must have.
pub(crate) fn ask(headers: &mut HeaderMap) -> String {
    let key = base64(&rand::random::<[u8; 16]>());
    let accepted = accept_key(key.as_bytes());
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    if let Ok(key) = HeaderValue::from_str(&key) {
        headers.insert(SEC_WEBSOCKET_KEY, key);
    }
    accepted
}

/// Whether a response is the one to a request for a WebSocket with this key.
pub(crate) fn is_accepted(status: StatusCode, headers: &HeaderMap, accepted: &str) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS
        && wants_websocket(headers)
        && headers.get(SEC_WEBSOCKET_ACCEPT).is_some_and(|key| key == accepted)
}

/// What the server makes of the client's key, so that nobody takes something else for a WebSocket (RFC 6455, 1.3).
fn accept_key(key: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64(&hash.finalize())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            text.push(match digit <= three.len() {
                true => DIGITS[(bits >> (18 - 6 * digit) & 63) as usize] as char,
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
