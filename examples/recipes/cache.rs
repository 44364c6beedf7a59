//! A cache: values expire, and of many who ask for a value that is missing, one process loads it for all.
//!
//! Run it with `cargo lunatic run --example cache`.

use std::collections::HashMap;
use std::time::Duration;

use lunatic::actor::{Actor, ActorRef, Info, Next};
use lunatic::mailbox::ReplyTo;
use lunatic::process::Monitor;
use lunatic::{ExitReason, Process, Task, sleep, this_process, time, timer};
use serde::{Deserialize, Serialize};

/// Stands for a slow service that sometimes fails.
fn load(key: &str) -> String {
    sleep(Duration::from_secs(2));
    assert!(key != "dragon", "there are no dragons");
    format!("a red {key}")
}

// ANCHOR: messages
/// The value, or why it could not be loaded.
type Answer = Result<String, String>;

#[derive(Serialize, Deserialize)]
enum Call {
    Get(String, ReplyTo<Answer>),
    /// How often something was loaded.
    Loads(ReplyTo<u32>),
}

#[derive(Serialize, Deserialize)]
enum Cast {
    /// From a loader: the value of a key.
    Loaded(String, String),
    /// From a timer.
    Expired(String),
}
// ANCHOR_END: messages

// ANCHOR: actor
struct Cache {
    expiry: Duration,
    entries: HashMap<String, Entry>,
    loads: u32,
}

enum Entry {
    /// A process loads the value, and these callers wait for it.
    Loading(Monitor, Vec<ReplyTo<Answer>>),
    Loaded(String),
}

impl Actor for Cache {
    type Args = Duration;
    type Call = Call;
    type Cast = Cast;

    fn init(expiry: Duration) -> Result<Self, ExitReason> {
        Ok(Cache {
            expiry,
            entries: HashMap::new(),
            loads: 0,
        })
    }

    fn handle_call(&mut self, call: Call) -> Next {
        match call {
            Call::Get(key, reply) => match self.entries.get_mut(&key) {
                Some(Entry::Loaded(value)) => reply.send(Ok(value.clone())),
                Some(Entry::Loading(_, waiting)) => waiting.push(reply),
                None => self.load(key, reply),
            },
            Call::Loads(reply) => reply.send(self.loads),
        }
        Next::Continue
    }

    fn handle_cast(&mut self, cast: Cast) -> Next {
        match cast {
            Cast::Loaded(key, value) => {
                let before = self.entries.insert(key.clone(), Entry::Loaded(value.clone()));
                if let Some(Entry::Loading(monitor, waiting)) = before {
                    monitor.demonitor();
                    waiting.into_iter().for_each(|reply| reply.send(Ok(value.clone())));
                }
                timer::send_after(here().casts(), Cast::Expired(key), self.expiry);
            }
            Cast::Expired(key) => _ = self.entries.remove(&key),
        }
        Next::Continue
    }

    /// A loader has exited without a value.
    fn handle_info(&mut self, info: Info) -> Next {
        if let Info::Down { monitor: down, reason } = info {
            let is_of_it =
                |_: &String, entry: &mut Entry| matches!(entry, Entry::Loading(monitor, _) if *monitor == down);
            for (_, entry) in self.entries.extract_if(is_of_it) {
                if let Entry::Loading(_, waiting) = entry {
                    let answer = Err(format!("the loader {reason}"));
                    waiting.into_iter().for_each(|reply| reply.send(answer.clone()));
                }
            }
        }
        Next::Continue
    }
}

impl Cache {
    /// Starts a loader. The cache goes on meanwhile, and whatever happens to the loader, the callers get an answer.
    fn load(&mut self, key: String, reply: ReplyTo<Answer>) {
        self.loads += 1;
        let cache = here();
        let loader = Process::spawn_with(key.clone(), move |key: String| {
            let value = load(&key);
            cache.cast(Cast::Loaded(key, value));
        });
        match loader {
            Ok(loader) => _ = self.entries.insert(key, Entry::Loading(loader.monitor(), vec![reply])),
            Err(error) => reply.send(Err(error.to_string())),
        }
    }
}

fn here() -> ActorRef<Cache> {
    ActorRef::of(this_process())
}
// ANCHOR_END: actor

fn main() {
    // The clock of this demonstration stands still but when all processes wait, so that its output is always the same.
    time::pause();
    let cache = Cache::start(Duration::from_secs(60)).unwrap();
    let get = move |key: &'static str| cache.call(|reply| Call::Get(key.to_owned(), reply)).unwrap();
    let loads = || cache.call(Call::Loads).unwrap();

    let askers: Vec<_> = (0..10).map(|_| Task::spawn(move || get("umbrella")).unwrap()).collect();
    let answers: Vec<Answer> = askers.into_iter().map(|asker| asker.join().unwrap()).collect();
    println!("{} answers, {:?}, loads: {}", answers.len(), answers[0], loads());

    println!("again {:?}, loads: {}", get("umbrella"), loads());
    time::advance(Duration::from_secs(61));
    println!("a minute later {:?}, loads: {}", get("umbrella"), loads());
    println!("{:?}, loads: {}", get("dragon"), loads());
}
