//! What may be sent. Nothing is called: there are no processes where this test runs.

use std::collections::HashMap;

use lunatic::channel::{ReceiveTimeoutError, TryReceiveError, TrySendError};
use lunatic::{Channel, ExitReason, Process};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Words(Vec<String>),
    Map(HashMap<u32, Option<Box<Message>>>),
    Handles(Process, Channel<Message>),
    End(ExitReason),
}

/// Not `Debug`, and yet `unwrap` can be called on results of sending it.
#[derive(Serialize, Deserialize)]
struct Opaque;

fn talk() {
    let channel = Channel::new(0);
    channel.send(Message::Words(vec!["hello".to_owned()]));
    channel.send(Message::Handles(lunatic::this_process(), channel));
    match channel.try_send(Message::Map(HashMap::new())) {
        Err(TrySendError::Full(message)) => channel.send(message),
        Err(error) => drop(error.into_message()),
        Ok(()) => {}
    }
    match channel.try_receive() {
        Ok(Message::End(reason)) => println!("it {reason}"),
        Ok(message) => println!("{message:?}"),
        Err(TryReceiveError::Empty) => {}
        Err(error) => panic!("{error}"),
    }
    if let Err(ReceiveTimeoutError::Decode(error)) = channel.receive_timeout(std::time::Duration::MAX) {
        println!("{}", error.type_name());
    }

    // The type follows from what is sent, also inside a closure.
    let squares = Channel::new(8);
    Process::spawn(move || squares.send((7_u8, 49_u16))).unwrap();
    let (_, square): (u8, u16) = squares.receive();
    assert_eq!(square, 49);

    Channel::new(1).try_send(Opaque).unwrap();
}

fn main() {
    let _: fn() = talk;
}
