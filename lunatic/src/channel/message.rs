//! The types of messages.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type whose values can be sent. Do not implement this trait: every type that serde can serialize and deserialize is
/// a message.
///
/// Sender and receiver have no memory in common: a message is written as bytes by the sender and read by the receiver.
/// Therefore it must own all its data: `String` is a message, `&str` is not, because the text that it refers to stays
/// with the sender.
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
pub trait Message: Sendable {}

// Without this attribute the compiler explains the blanket implementation and omits the text above.
#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> Message for T {}

/// What is required of messages where they are sent and received: every [`Message`] is `Sendable`, and nothing else is.
///
/// It exists only for clear errors: a type that is no message is explained in full where its channel is made, and briefly
/// where the channel is used.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent or received as a message",
    label = "not a message: see the error where the channel is made"
)]
pub trait Sendable: Serialize + DeserializeOwned + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> Sendable for T {}
