//! What can be sent.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type whose values can be sent. Nothing to implement: all types that serde can write and read are messages.
///
/// Sender and receiver have no memory in common, so a message is written as bytes in one and read in the other. It must
/// therefore own all it has: `String` is a message, `&str` is not, since the text it refers to stays behind.
///
/// # Examples
///
/// ```no_run
/// use lunatic::Channel;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Order {
///     number: u32,
///     items: Vec<String>,
/// }
///
/// let orders = Channel::<Order>::new(0);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a message: serde cannot write and read it",
    label = "not a message",
    note = "processes share no memory: a message is written as bytes in one and read in another",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to a type of your own (with the crate `serde` and its \
            feature `derive`); send what owns its data, such as `String` in place of `&str`"
)]
pub trait Message: Serialize + DeserializeOwned + 'static {}

// Without this attribute the compiler explains the blanket implementation and leaves out the text above.
#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> Message for T {}
