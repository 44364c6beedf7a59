//! The second version of the room: people can choose names, and see who is there.

use std::io::Write;

use lunatic::actor::{Actor, Next};
use lunatic::net::TcpStream;
use lunatic::{ExitReason, Process, code};
use serde::{Deserialize, Serialize};

// ANCHOR: state
/// The people in the room.
#[derive(Serialize, Deserialize)]
pub(crate) struct Room {
    people: Vec<Person>,
    /// The number of lines that were said in this version.
    #[serde(default)]
    lines: u64,
}

#[derive(Serialize, Deserialize)]
struct Person {
    process: Process,
    stream: TcpStream,
    /// Chosen with `/name`.
    #[serde(default)]
    name: Option<String>,
}
// ANCHOR_END: state

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

    // ANCHOR: actor
    code::keep_state!();

    fn init((): ()) -> Result<Self, ExitReason> {
        let people = Vec::new();
        Ok(Self { people, lines: 0 })
    }

    fn changed(&mut self) {
        self.say("the room was renovated: try /who and /name");
    }
    // ANCHOR_END: actor

    fn handle_cast(&mut self, heard: Heard) -> Next {
        match heard {
            Heard::Came(process, stream) => {
                self.people.push(Person {
                    process,
                    stream,
                    name: None,
                });
                self.say(&format!("{process} comes in"));
            }
            Heard::Said(process, line) => self.hear(process, &line),
            Heard::Left(process) => {
                let name = self.name(process);
                self.people.retain(|person| person.process != process);
                self.say(&format!("{name} has left"));
            }
        }
        Next::Continue
    }
}

impl Room {
    fn hear(&mut self, process: Process, line: &str) {
        match (line, line.strip_prefix("/name ")) {
            ("/who", _) => {
                let names: Vec<String> = self.people.iter().map(Person::name).collect();
                let text = format!("{} are here, and have said {} lines\n", names.join(", "), self.lines);
                if let Some(person) = self.find(process) {
                    let _ = person.stream.write_all(text.as_bytes());
                }
            }
            (_, Some(name)) => {
                let before = self.name(process);
                if let Some(person) = self.find(process) {
                    person.name = Some(name.to_owned());
                }
                self.say(&format!("{before} is {name}"));
            }
            _ => {
                self.lines += 1;
                let name = self.name(process);
                self.say(&format!("{name}: {line}"));
            }
        }
    }

    fn find(&mut self, process: Process) -> Option<&mut Person> {
        self.people.iter_mut().find(|person| person.process == process)
    }

    fn name(&mut self, process: Process) -> String {
        self.find(process)
            .map_or_else(|| process.to_string(), |person| person.name())
    }

    fn say(&mut self, line: &str) {
        for person in &mut self.people {
            // If writing fails, that person is about to leave.
            let _ = person.stream.write_all(format!("{line}\n").as_bytes());
        }
    }
}

impl Person {
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.process.to_string())
    }
}
