//! The life cycle of an actor: start, message loop, exit.

use std::time::Instant;

use lunatic_sys::codes::{self, DESCRIBE, REFERENCE_BIT, mail as kind};
use lunatic_sys::layout::Header;
use serde::de::DeserializeOwned;

use super::{Actor, AnyMessage, CALL, CAST, Info, Next, STOP, StartError};
use crate::code::{self, Messages};
use crate::codec::{self, DefaultCodec};
use crate::exit::ExitReason;
use crate::host::mail::Called;
use crate::host::{self, Refused, mail};
use crate::mailbox::{self, Mail, ReplyTo, unexpected};
use crate::process::{self, Builder, Process, this_process};
use crate::task;

/// The tag of the message with the actor's argument. It is below 16, so no message type has it.
const ARGS: u64 = 5;

/// How many mails an actor handles before an alarm that is due, if mail keeps coming.
const MAILS_BEFORE_ALARM: u32 = 256;

/// Starts an actor from the bytes of its argument. If the builder asks for a link, the link is made once the actor is
/// ready: until then an exit of the actor is the result of the start, and must not terminate a caller that does not
/// trap exits.
pub(super) fn start<A: Actor>(builder: &Builder, args: &[u8]) -> Result<Process, StartError> {
    match builder.unlinked() {
        Some(unlinked) => start_linked::<A>(&unlinked, args, true),
        None => start_linked::<A>(builder, args, false),
    }
}

/// Starts an actor from the bytes of its argument, for a caller that traps exits. The link holds from the spawn on, so
/// that the actor exits with the caller even before it is ready.
pub(crate) fn start_from_bytes<A: Actor>(builder: &Builder, args: &[u8]) -> Result<Process, StartError> {
    start_linked::<A>(builder, args, false)
}

/// The argument goes to the actor as a call, and that it is ready is the answer: for that there is room even if the
/// caller's mailbox is full.
fn start_linked<A: Actor>(builder: &Builder, args: &[u8], links_when_ready: bool) -> Result<Process, StartError> {
    let reference = mail::reference_for_call();
    let ready = ReplyTo::new(this_process(), reference);
    let process = match builder.spawn_raw(&move || run::<A>(ready, links_when_ready), 0) {
        Ok((process, _)) => process,
        Err(error) => {
            mail::close(reference);
            return Err(StartError::Spawn(error));
        }
    };
    let why = match mail::call(process.raw(), ARGS, args, reference, codes::NO_TIMEOUT, |_| ()) {
        Ok(Called::Answered(())) => return Ok(process),
        Ok(Called::Gone(reason)) => return Err(StartError::Init(ExitReason::from_bytes(&reason))),
        Err(Refused::Full) => "its mailbox is full".to_owned(),
        Err(Refused::Limit) => host::limit(),
        Err(refused) => unexpected(refused),
    };
    // It would wait for its argument for ever.
    process.unlink();
    process.kill();
    process.join();
    Err(StartError::Args(why))
}

/// The entry of an actor's process.
fn run<A: Actor>(ready: ReplyTo<()>, links_when_ready: bool) {
    let args = mail::receive(&[ARGS], codes::NO_TIMEOUT, |_, bytes| decode::<A, A::Args>(bytes));
    let args = args.unwrap_or_else(|refused| unexpected(refused));
    let actor = match A::init(args) {
        Ok(actor) => actor,
        Err(reason) => {
            // The starter gets the reason as the result of the start, not as an exit signal.
            ready.process().unlink();
            process::exit(reason);
        }
    };
    if links_when_ready {
        // If the caller has exited meanwhile, the link makes this process exit too.
        ready.process().link();
    }
    ready.send(());
    live(actor);
}

/// The entry of an actor's process that moves to this version of the program; called by the host.
extern "C" fn resume<A: Actor>() {
    let left = code::left();
    let misread = left.messages.and_then(|old| old.conflict(&Messages::of::<A>()));
    if let Some(why) = misread {
        host::code::refuse(&format!("{}: {why}", std::any::type_name::<A>()));
    }
    match A::code_change(left.saved, left.from) {
        Ok(mut actor) => {
            host::code::accept();
            actor.changed();
            live(actor);
            process::flush();
        }
        Err(error) => host::code::refuse(&error.to_string()),
    }
}

/// Hands the actor over to another version that waits for it. Returns if the actor stays in this version. If `describes` is set, the
/// other version also learns what the messages of the actor look like in this one.
#[cold]
fn change<A: Actor>(actor: &A, describes: bool) {
    let why = match actor.save() {
        // Whoever upgrades is told why the actor stays.
        Some(Ok(saved)) => {
            let messages = describes.then(Messages::of::<A>);
            return drop(code::hand_over(&saved, messages.as_ref()));
        }
        Some(Err(error)) => error.to_string(),
        None => format!("`{}` does not save its state", std::any::type_name::<A>()),
    };
    host::code::decline(&why);
}

/// Runs the actor from its first message to its exit.
fn live<A: Actor>(mut actor: A) {
    if host::code::offer(resume::<A>, lunatic_sys::codes::offer::MAIL) {
        // A change was announced before this version had made its offer.
        change(&actor, false);
    }
    let reason = handle_all(&mut actor);
    actor.terminate(&reason);
    // At a normal exit the output of `print!` is flushed; `process::exit` would skip that.
    if !reason.is_normal() {
        process::exit(reason);
    }
}

/// Handles mail until the actor stops, and returns the reason.
fn handle_all<A: Actor>(actor: &mut A) -> ExitReason {
    let parent = process::parent();
    // How many mails were handled while an alarm was due.
    let mut late = 0;
    loop {
        let timeout_ns = match actor.alarm() {
            None => codes::NO_TIMEOUT,
            Some(alarm) => host::timeout_ns(alarm.saturating_duration_since(Instant::now())),
        };
        late = if timeout_ns == 0 { late + 1 } else { 0 };
        let next = if late > MAILS_BEFORE_ALARM {
            None
        } else {
            // Receive mail of every tag: mail that nobody asks for must not stay in the mailbox for ever.
            match mail::receive(&[], timeout_ns, |header, bytes| handle(actor, parent, header, bytes)) {
                Ok(next) => Some(next),
                Err(Refused::Empty | Refused::TimedOut) => None,
                Err(refused) => unexpected(refused),
            }
        };
        let next = next.unwrap_or_else(|| {
            late = 0;
            actor.handle_alarm()
        });
        if let Next::Stop(reason) = next {
            return reason;
        }
    }
}

fn handle<A: Actor>(actor: &mut A, parent: Option<Process>, header: &Header, bytes: &[u8]) -> Next {
    if header.kind == kind::CHANGE {
        change(actor, header.reference == DESCRIBE);
        return Next::Continue;
    }
    if header.tag & REFERENCE_BIT != 0 {
        // All other references are closed before the call that opened them returns, so this one belongs to a task.
        task::keep(header, bytes);
        return Next::Continue;
    }
    match (header.tag, mailbox::read_signal::<()>(header, bytes)) {
        (_, Some(Mail::Exit { from, reason })) if Some(from) == parent => Next::Stop(reason),
        (_, Some(Mail::Exit { from, reason })) => actor.handle_info(Info::Exit { from, reason }),
        (_, Some(Mail::Down { monitor, reason })) => actor.handle_info(Info::Down { monitor, reason }),
        (CALL, _) => actor.handle_call(decode::<A, A::Call>(bytes)),
        (CAST, _) => actor.handle_cast(decode::<A, A::Cast>(bytes)),
        (STOP, _) => Next::Stop(ExitReason::from_bytes(bytes)),
        (tag, _) => actor.handle_info(Info::Message(AnyMessage::new(tag, bytes))),
    }
}

/// Decodes a message to the actor. Bytes that cannot be decoded terminate the actor: they come from a handle that was
/// made for another type.
fn decode<A: Actor, T: DeserializeOwned>(bytes: &[u8]) -> T {
    codec::decode::<DefaultCodec, T>(bytes).unwrap_or_else(|error| {
        panic!(
            "{} received a message that it cannot decode: {}",
            std::any::type_name::<A>(),
            crate::chain(&error)
        )
    })
}
