//! `lunatic:poll`: the mailbox as something that a process can wait for together with sockets and timers.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use lunatic_sys::codes::TAGS_LEN_MAX;
use wasmtime::component::{LinkerInstance, Resource};
use wasmtime::{Error, Result};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe as pollable};

use super::{View, define};
use crate::instance::Ctx;
use crate::wasm::{Kernel, Process};

pub(super) fn add(interface: &mut LinkerInstance<'_, Ctx>) -> Result<()> {
    define(interface, "subscribe", subscribe)
}

/// Ready while the process has mail with one of the tags.
struct Subscription {
    kernel: Arc<Kernel>,
    process: Arc<Process>,
    tags: Box<[u64]>,
    /// The number of tags of all subscriptions.
    all: Arc<AtomicUsize>,
}

impl Subscription {
    /// How many tags it counts as.
    fn weight(tags: &[u64]) -> usize {
        tags.len().max(1)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.all.fetch_sub(Self::weight(&self.tags), Ordering::Relaxed);
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Subscription {
    /// The mailbox wakes the process itself, and then all that it polls is asked again.
    async fn ready(&mut self) {
        poll_fn(|_| match self.kernel.has_mail_or_waits(&self.process, &self.tags) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

fn subscribe(view: &mut View<'_>, (tags,): (Vec<u64>,)) -> Result<(Resource<DynPollable>,)> {
    let (kernel, process) = (view.0.kernel.clone(), view.process().clone());
    let all = view.state().mail_tags.clone();
    // A sender compares its tag with all of them.
    let sum = all.load(Ordering::Relaxed) + Subscription::weight(&tags);
    if sum > TAGS_LEN_MAX {
        return Err(Error::msg(format!(
            "the subscriptions of a mailbox have at most {TAGS_LEN_MAX} tags together, not {sum}"
        )));
    }
    let made = view.giving(
        |trap| trap,
        |state| {
            all.store(sum, Ordering::Relaxed);
            let subscription = Subscription {
                kernel,
                process,
                tags: tags.into(),
                all,
            };
            let subscription = state.table().push(subscription)?;
            // Dropped with the pollable.
            pollable(state.table(), subscription)
        },
    )?;
    Ok((made,))
}

impl View<'_> {
    /// Must be called after a poll: from now on, mail wakes the process no more.
    pub(in crate::imports::component) fn stop_waiting_for_mail(&mut self) {
        if self.state().mail_tags.load(Ordering::Relaxed) > 0 {
            self.0.kernel.wait_for_mail(self.process(), None);
        }
    }
}
