//! Server-sent events (HTML Standard of WHATWG, 9.2): a response that sends events as they occur.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

use crate::body::Body;
use crate::request::Request;
use crate::response::{BodyWriter, Response};

/// One event for a browser's `EventSource`.
///
/// # Examples
///
/// ```
/// use lunatic_http::Event;
///
/// let event = Event::new("two\nlines").name("note").id("7");
/// assert_eq!(event.to_string(), "event: note\nid: 7\ndata: two\ndata: lines\n\n");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    data: String,
    name: Option<&'static str>,
    id: Option<String>,
    retry: Option<Duration>,
}

impl Event {
    /// An event with this text, which may have several lines. Every line break becomes a line feed.
    pub fn new(data: impl Into<String>) -> Self {
        Self {
            data: data.into(),
            ..Self::default()
        }
    }

    /// An event with a value as JSON. Needs the feature `json`, which is on by default.
    ///
    /// # Panics
    ///
    /// As [`Response::json`].
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> Self {
        match serde_json::to_string(value) {
            Ok(text) => Self::new(text),
            Err(error) => panic!("the value cannot be written as JSON: {error}"),
        }
    }

    /// Names the event. Scripts receive it with `addEventListener(name, …)` and not with `onmessage`.
    ///
    /// # Panics
    ///
    /// If the name is empty or has line breaks.
    #[must_use]
    pub fn name(mut self, name: &'static str) -> Self {
        assert!(
            !name.is_empty() && is_line(name),
            "{name:?} is not a valid name for an event"
        );
        self.name = Some(name);
        self
    }

    /// Sets the id of the event. When a browser reconnects, it sends the id of the last event: [`Request::last_event_id`]. An id
    /// with line breaks or NUL cannot be sent.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets how long the browser waits, in whole milliseconds, before it reconnects.
    #[must_use]
    pub fn retry(mut self, pause: Duration) -> Self {
        self.retry = Some(pause);
        self
    }
}

/// Whether a text is a single line.
fn is_line(text: &str) -> bool {
    !text.contains(['\r', '\n', '\0'])
}

/// Writes the event as it is sent.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.name {
            writeln!(f, "event: {name}")?;
        }
        if let Some(id) = &self.id {
            writeln!(f, "id: {id}")?;
        }
        if let Some(pause) = self.retry {
            writeln!(f, "retry: {}", pause.as_millis())?;
        }
        for line in self.data.replace("\r\n", "\n").split(['\r', '\n']) {
            writeln!(f, "data: {line}")?;
        }
        f.write_char('\n')
    }
}

/// Sends events to a browser: [`Response::events`].
#[derive(Debug)]
pub struct EventStream<'a> {
    out: &'a mut BodyWriter,
}

impl EventStream<'_> {
    /// Sends an event immediately.
    ///
    /// # Errors
    ///
    /// Those of the connection: the browser has disconnected, or reads too slowly
    /// ([`Limits::write_timeout`](crate::Limits::write_timeout)). [`InvalidInput`](io::ErrorKind::InvalidInput) if the id
    /// contains line breaks or NUL; then nothing is sent.
    pub fn send(&mut self, event: &Event) -> io::Result<()> {
        if event.id.as_deref().is_some_and(|id| !is_line(id)) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the id of an event contains a line break or NUL",
            ));
        }
        write!(self.out, "{event}")?;
        self.out.flush()
    }

    /// Sends a comment, which browsers ignore. Comments keep proxies from closing the connection, and detect that the browser has
    /// disconnected. One every 15 s is usually enough.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    pub fn keep_alive(&mut self) -> io::Result<()> {
        self.out.write_all(b":\n\n")?;
        self.out.flush()
    }
}

impl Response {
    /// A response that sends events until `produce` returns. `produce` runs in the process of the connection and may block, for
    /// example on its mailbox. After it returns, the browser waits and reconnects.
    ///
    /// A [drain](crate::ServerHandle::drain) of the server does not end the response before the deadline.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use lunatic::Channel;
    /// use lunatic_http::{Event, Request, Response};
    ///
    /// # let _ = |news: Channel<String>| {
    /// // `news` is captured by the handler.
    /// let live = move |_: Request| {
    ///     Response::events(move |stream| {
    ///         loop {
    ///             match news.receive_timeout(Duration::from_secs(15)) {
    ///                 Ok(line) => stream.send(&Event::new(line))?,
    ///                 Err(_) => stream.keep_alive()?,
    ///             }
    ///         }
    ///     })
    /// };
    /// # let _ = lunatic_http::Router::new().get("/live", live);
    /// # };
    /// ```
    pub fn events(produce: impl FnOnce(&mut EventStream<'_>) -> io::Result<()> + 'static) -> Self {
        let mut response = Self::new(Body::stream(move |out| {
            // Send the head before the first event, so that the browser knows that it is connected.
            out.flush()?;
            produce(&mut EventStream { out })
        }));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

impl Request {
    /// The id of the last event that a browser received before it lost the connection. The client can send any text.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&str> {
        std::str::from_utf8(self.headers().get("last-event-id")?.as_bytes()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_are_lines() {
        let all = Event::new("a\r\nb\rc\n")
            .name("n")
            .id("i")
            .retry(Duration::from_millis(1500));
        assert_eq!(
            all.to_string(),
            "event: n\nid: i\nretry: 1500\ndata: a\ndata: b\ndata: c\ndata: \n\n"
        );
        assert_eq!(Event::new("").to_string(), "data: \n\n");
        #[cfg(feature = "json")]
        assert_eq!(Event::json(&["a\nb"]).to_string(), "data: [\"a\\nb\"]\n\n");
    }

    #[test]
    #[should_panic(expected = "is not a valid name for an event")]
    fn a_name_is_one_line() {
        let _ = Event::new("").name("a\ndata: b");
    }

    #[test]
    fn a_browser_says_where_it_was() {
        let request = Request::new("GET".parse().unwrap(), "/".parse().unwrap(), ());
        assert_eq!(request.last_event_id(), None);
        let mut request = request;
        let id = HeaderValue::from_bytes("é".as_bytes()).unwrap();
        request.headers_mut().insert("last-event-id", id);
        assert_eq!(request.last_event_id(), Some("é"));
    }

    proptest! {
        /// Whatever the data is, it adds no field and ends no event.
        #[test]
        fn data_stays_data(data in proptest::collection::vec(prop_oneof![Just('\n'), Just('\r'), any::<char>()], 0..40)) {
            let data = String::from_iter(data);
            let sent = Event::new(&data).to_string();
            let sent = sent.strip_suffix("\n\n").unwrap();
            let lines: Option<Vec<_>> = sent.split('\n').map(|line| line.strip_prefix("data: ")).collect();
            let lines = lines.unwrap().join("\n");
            prop_assert_eq!(lines, data.replace("\r\n", "\n").replace('\r', "\n"));
        }
    }
}
