//! The first version of the room.

use std::io::Write;

use lunatic::actor::{Actor, Next};
use lunatic::net::TcpStream;
use lunatic::{ExitReason, Process, code};
use serde::{Deserialize, Serialize};

/// The people in the room.
#[derive(Serialize, Deserialize)]
pub(crate) struct Room {
    people: Vec<Person>,
}

#[derive(Serialize, Deserialize)]
struct Person {
    process: Process,
    stream: TcpStream,
}

/// Messages to the room about the people in it.
#[derive(Serialize, Deserialize)]
pub(crate) enum Heard {
    Came(Process, TcpStream),
    Said(Process, String),
    Left(Process),
}

impl Actor for Room {
    type Args = ();
    type Call = ();
    type Cast = Heard;

    code::keep_state!();

    fn init((): ()) -> Result<Self, ExitReason> {
        let people = Vec::new();
        Ok(Self { people })
    }

    fn handle_cast(&mut self, heard: Heard) -> Next {
        match heard {
            Heard::Came(process, stream) => {
                self.people.push(Person { process, stream });
                self.say(&format!("{process} comes in"));
            }
            Heard::Said(process, line) => self.say(&format!("{process}: {line}")),
            Heard::Left(process) => {
                self.people.retain(|person| person.process != process);
                self.say(&format!("{process} has left"));
            }
        }
        Next::Continue
    }
}

impl Room {
    fn say(&mut self, line: &str) {
        for person in &mut self.people {
            // If writing fails, that person is about to leave.
            let _ = person.stream.write_all(format!("{line}\n").as_bytes());
        }
    }
}
