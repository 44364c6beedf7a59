//! A call with a timeout: an answer that comes too late is dropped, and cannot be mistaken for the answer to a later
//! call.
//!
//! Run it with `cargo lunatic run --example timeout`.

use std::time::Duration;

use lunatic::mailbox::{CallError, ReplyTo};
use lunatic::{Address, Mailbox, Process, sleep};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Question {
    text: String,
    patience: Duration,
    reply: ReplyTo<String>,
}

fn main() {
    let oracle = Process::spawn(|| {
        let questions = Mailbox::<Question>::new();
        loop {
            let Question { text, patience, reply } = questions.receive();
            sleep(patience);
            reply.send(format!("the answer to `{text}` is 42"));
        }
    })
    .unwrap();
    let oracle = Address::<Question>::of(oracle);

    let ask = |text: &str, thinks: u64, waits: u64| {
        let patience = Duration::from_millis(thinks);
        let text = text.to_owned();
        let answer = oracle.call_timeout(|reply| Question { text, patience, reply }, Duration::from_millis(waits));
        match answer {
            Ok(answer) => println!("{answer}"),
            Err(CallError::TimedOut) => println!("no answer in {waits} ms"),
            Err(error) => println!("{error}"),
        }
    };
    ask("what is six times seven", 0, 10_000);
    ask("what is the meaning of it all", 50, 1);
    // The late answer to the previous question is not taken for the answer to this one.
    ask("what is seven times six", 0, 10_000);
    oracle.process().kill();
    ask("is anybody there", 0, 10_000);
}
