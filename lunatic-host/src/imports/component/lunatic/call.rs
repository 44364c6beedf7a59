//! `lunatic:process/mailbox`, the part about calls.

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Payer as _, Receipt, Resource as Charged};
use lunatic_kernel::calls::{CallRefusal, Unanswered as NoAnswer};
use lunatic_kernel::channel::SendRefusal;
use lunatic_kernel::connections::until_room;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::relations::mailbox::Mail;
use lunatic_kernel::wait::{Wait, block};
use wasmtime::Result;
use wasmtime::component::{ComponentType, Lower, Resource};

use super::exit::Reason;
use super::handle::{Handle, Refusal};
use super::{View, mailbox, wait, with_content};
use crate::imports::channel::sent;
use crate::wasm::Wasm;

/// An answer.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Answer {
    body: Vec<u8>,
    more: u64,
}

/// Why a call has no answer.
#[derive(ComponentType, Lower)]
#[component(variant)]
pub(super) enum Unanswered {
    #[component(name = "timed-out")]
    TimedOut,
    #[component(name = "gone")]
    Gone(Reason),
    #[component(name = "refused")]
    Refused(Refusal),
    #[component(name = "not-open")]
    NotOpen,
}

/// How a call ended.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Outcome {
    answer: Result<Answer, Unanswered>,
    next: u64,
}

/// The receiver, the tag, the message, the reference and the timeout.
pub(super) type Request = (Resource<Handle>, u64, Vec<u8>, u64, Option<u64>);

/// What the kernel returns for a call: the answer, if there is one, and the next reference. `None` if the reference was not
/// open.
type Ended = Option<(Result<Option<Mail>, NoAnswer>, u64)>;

pub(super) async fn call(view: &mut View<'_>, request: Request) -> Result<Outcome> {
    let (to, tag, body, reference, timeout) = request;
    let callee = view.id_of(&to)?;
    mailbox::drop_rest(view);
    let ended = match callee.is_here() {
        true => call_here(view, callee, (reference, tag), body, timeout).await,
        false => call_elsewhere(view, callee, (reference, tag), body, timeout).await,
    };
    let Some((result, next)) = ended else {
        return Ok(Outcome {
            answer: Err(Unanswered::NotOpen),
            next: 0,
        });
    };
    let answer = match result {
        Ok(None) => Err(Unanswered::TimedOut),
        Ok(Some(mail)) if mail.kind.is_message() => {
            let (body, more) = mailbox::in_parts(view, mail.body.into_vec())?;
            Ok(Answer { body, more })
        }
        // The end of the callee.
        Ok(Some(mail)) => Err(Unanswered::Gone(Reason::of_bytes(&mail.body))),
        Err(NoAnswer::Gone(reason)) => Err(Unanswered::Gone(reason.into())),
        Err(NoAnswer::Refused(refusal)) => {
            let code = sent(view.0, Err(refusal));
            Err(Unanswered::Refused(view.refused(code)))
        }
    };
    Ok(Outcome { answer, next })
}

/// Ends a call that was not begun.
fn ended(view: &View<'_>, reference: u64, why: NoAnswer) -> Ended {
    let (kernel, process) = (&view.0.kernel, view.process());
    let (_, next) = kernel.end_call(process, reference, true)?;
    Some((Err(why), next))
}

async fn call_here(
    view: &mut View<'_>,
    callee: Id,
    (reference, tag): (u64, u64),
    body: Vec<u8>,
    timeout: Option<u64>,
) -> Ended {
    let Some(process) = view.0.kernel.find(callee) else {
        let reason: ExitReason = view.0.kernel.exit_reason(callee);
        return ended(view, reference, NoAnswer::Gone(reason));
    };
    let begun = with_content(view.0, body, |ctx, content| {
        ctx.kernel.begin_call(ctx.process(), process, reference, tag, content)
    });
    match begun {
        Ok(waits) => Some(answer(&wait(view, WaitFor::Call, callee, timeout), reference, waits, timeout).await),
        Err(CallRefusal::Unanswered(why)) => {
            let next = ended(view, reference, why.clone()).map_or(0, |(_, next)| next);
            Some((Err(why), next))
        }
        Err(CallRefusal::NotOpen) => None,
    }
}

/// Calls a process of another node; waits also while there is no room for the request. The time for the answer is what is left
/// of the time for both.
async fn call_elsewhere(
    view: &mut View<'_>,
    callee: Id,
    (reference, tag): (u64, u64),
    body: Vec<u8>,
    timeout: Option<u64>,
) -> Ended {
    let mut paid = Receipt::new(view.process().purse().to_account(), Charged::Buffers);
    if paid.grow(body.len()).is_err() {
        return ended(view, reference, NoAnswer::Refused(SendRefusal::Limit));
    }
    let room = wait(view, WaitFor::Send, callee, timeout);
    let (kernel, process) = (room.kernel.clone(), room.process.clone());
    let trace = view.0.current.trace().clone();
    loop {
        match kernel.begin_call_elsewhere(&process, callee, reference, tag, (&body, &trace)) {
            Ok(waits) => {
                let rest = timeout.map(|_| room.rest_ns());
                drop((room, body, paid));
                let waiting = wait(view, WaitFor::Call, callee, rest);
                return Some(answer(&waiting, reference, waits, rest).await);
            }
            Err(CallRefusal::NotOpen) => return None,
            Err(CallRefusal::Unanswered(NoAnswer::Refused(SendRefusal::Full))) => {
                if !until_room(&room, callee.peer()).await {
                    let (_, next) = kernel.end_call(&process, reference, true)?;
                    return Some((Ok(None), next));
                }
            }
            Err(CallRefusal::Unanswered(why)) => return ended(view, reference, why),
        }
    }
}

/// Waits for the answer to a call until the timeout; first of all if `waits` is set.
async fn answer(
    waiting: &Wait<'_, Wasm>,
    reference: u64,
    waits: bool,
    timeout: Option<u64>,
) -> (Result<Option<Mail>, NoAnswer>, u64) {
    let is_polled = timeout == Some(0);
    let mut waits = waits && !is_polled;
    loop {
        if waits {
            block(waiting).await;
        }
        // Only the first check may find an answer without a wait.
        waits = true;
        let gives_up = is_polled || waiting.is_late();
        if let Some((answer, next)) = waiting.kernel.end_call(&waiting.process, reference, gives_up) {
            return (Ok(answer), next);
        }
    }
}
