//! A client that receives events for as long as it likes.

use std::fmt;
use std::ops::ControlFlow;

use http::Method;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;

use crate::client::{Client, Trouble, refused};

/// The longest event of a door in bytes.
const LINE_LEN_MAX: usize = 1 << 20;

impl Client {
    /// Requests a stream of events, and calls `each` for every event until it breaks or the stream ends.
    ///
    /// # Errors
    ///
    /// See [`Trouble`]; also if the program ends meanwhile.
    pub fn follow<T: DeserializeOwned>(
        &self,
        path: &str,
        mut each: impl FnMut(T) -> ControlFlow<()>,
    ) -> Result<(), Trouble> {
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let executor = executor.map_err(|error| no_answer(&error))?;
        executor.block_on(async {
            let (answer, _connection) = self.begin(Method::GET, path).await?;
            let (status, mut body) = (answer.status(), answer.into_body());
            if !status.is_success() {
                let said = body.collect().await.map_err(|error| no_answer(&error))?;
                return Err(refused(status, &said.to_bytes()));
            }
            let mut lines = Lines::default();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| no_answer(&error))?;
                let Ok(data) = frame.into_data() else { continue };
                if lines.add(&data, &mut each)?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }
}

fn no_answer(error: &dyn fmt::Display) -> Trouble {
    Trouble::NoAnswer(error.to_string())
}

/// The received part of a stream that is not a complete line yet.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn add<T: DeserializeOwned>(
        &mut self,
        data: &[u8],
        each: &mut impl FnMut(T) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Trouble> {
        self.0.extend_from_slice(data);
        let whole = self.0.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let rest = self.0.split_off(whole);
        let lines = std::mem::replace(&mut self.0, rest);
        if self.0.len() > LINE_LEN_MAX {
            return Err(no_answer(&"a line has no end"));
        }
        let events = lines.split(|byte| *byte == b'\n');
        for event in events.filter_map(|line| line.strip_prefix(b"data: ")) {
            let event = serde_json::from_slice(event).map_err(|error| no_answer(&error))?;
            if each(event).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_may_come_in_pieces() {
        let mut heard = Vec::new();
        let mut each = |number: u32| {
            heard.push(number);
            if number == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let mut lines = Lines::default();
        for piece in ["event: x\nda", "ta: 1\n", "\ndata: 2\n\n: a comment\n"] {
            assert!(lines.add(piece.as_bytes(), &mut each).unwrap().is_continue());
        }
        assert!(lines.add(b"data: 3\n\ndata: 4\n\n", &mut each).unwrap().is_break());
        assert_eq!(heard, [1, 2, 3]);
    }
}
