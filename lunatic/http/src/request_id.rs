//! Ids that identify requests in logs and on error pages.

use std::cell::Cell;
use std::fmt;

thread_local! {
    /// A random number of this process, drawn when an id is first displayed.
    static PROCESS: Cell<Option<u64>> = const { Cell::new(None) };
    /// The number of requests so far.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The id of a request, such as `9d2c41f07a3be658-3`: a random number for the process that serves the connection, followed
/// by a count of that process's requests.
///
/// Error pages show the id to the client. The [`RequestLog`](crate::RequestLog) and the report of a panic show it to the
/// operator. The id is not a secret, and clients cannot choose it.
///
/// The random number has 64 bits. A process draws it when it first displays an id, so an id that is never displayed costs
/// nothing.
///
/// # Examples
///
/// ```
/// use lunatic_http::{Body, Method, Request, Uri};
///
/// let request = Request::new(Method::GET, Uri::from_static("/"), Body::empty());
/// let shown = request.id().to_string();
/// assert_eq!(shown, request.id().to_string());
/// assert_eq!(shown.split_once('-').unwrap().0.len(), 16);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

impl RequestId {
    pub(crate) fn next() -> Self {
        Self(COUNT.replace(COUNT.get() + 1) + 1)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = PROCESS.get().unwrap_or_else(rand::random);
        PROCESS.set(Some(process));
        write!(f, "{process:016x}-{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_stay() {
        let (one, two) = (RequestId::next(), RequestId::next());
        assert_ne!(one.to_string(), two.to_string());
        assert_eq!(one.to_string(), one.to_string());
        let of_other = std::thread::spawn(|| RequestId::next().to_string()).join().unwrap();
        assert_ne!(one.to_string()[..16], of_other[..16]);
    }
}
