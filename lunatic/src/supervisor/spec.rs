//! What a supervisor is told: its children, and how it sees to them.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Backoff, Child, Intensity, Restart};
use crate::actor::Actor;
use crate::channel::Message;
use crate::mailbox::tag_of;

/// Says whom a supervisor supervises: OTP's callback module of a supervisor.
pub trait Supervise: Sized + 'static {
    /// What it begins with.
    type Args: Message;

    /// The children and how to see to them. Called in the supervisor's own process when it starts.
    fn init(args: Self::Args) -> Spec;
}

/// Who else is restarted with a child that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// Nobody.
    OneForOne,
    /// All children.
    OneForAll,
    /// All that were started after it.
    RestForOne,
}

/// When the end of [significant](Child::significant) children in good order ends the supervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AutoShutdown {
    /// Never.
    #[default]
    Never,
    /// When the first has ended.
    AnySignificant,
    /// When the last has ended.
    AllSignificant,
}

pub(super) type MakeChild = fn(String, Vec<u8>) -> Child;

/// The children of a supervisor, and how it sees to them.
#[derive(Debug)]
#[must_use]
pub struct Spec {
    pub(super) strategy: Strategy,
    pub(super) intensity: Intensity,
    pub(super) backoff: Option<Backoff>,
    pub(super) auto_shutdown: AutoShutdown,
    pub(super) children: Vec<Child>,
    pub(super) addable: HashMap<u64, MakeChild>,
    pub(super) quiet: bool,
}

impl Spec {
    fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            intensity: Intensity::default(),
            backoff: None,
            auto_shutdown: AutoShutdown::Never,
            children: Vec::new(),
            addable: HashMap::new(),
            quiet: false,
        }
    }

    /// A child that fails is restarted alone.
    pub fn one_for_one() -> Self {
        Self::new(Strategy::OneForOne)
    }

    /// If a child fails, all are restarted.
    pub fn one_for_all() -> Self {
        Self::new(Strategy::OneForAll)
    }

    /// If a child fails, it and those after it are restarted.
    pub fn rest_for_one() -> Self {
        Self::new(Strategy::RestForOne)
    }

    /// How many restarts are too many: more than `restarts` within `period`. If nothing is said: more than 1 in 5 s.
    pub fn intensity(mut self, restarts: u32, period: Duration) -> Self {
        self.intensity = Intensity { restarts, period };
        self
    }

    /// How long the restarts of each child wait that has no [back-off](Child::backoff) of its own. If nothing is said, they
    /// do not wait, as in OTP.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// When the end of significant children ends the supervisor. If nothing is said: never.
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.auto_shutdown = auto_shutdown;
        self
    }

    /// Adds a child, to be started after those before it.
    pub fn child(mut self, child: Child) -> Self {
        self.children.push(child);
        self
    }

    /// Lets actors of this type be [added](crate::actor::ActorRef::add_child) while the supervisor runs.
    pub fn addable<A: Actor>(mut self) -> Self {
        self.addable.insert(tag_of::<A>(""), Child::actor_from_bytes::<A>);
        self
    }

    /// Does not write restarts to standard error.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// What is wrong with it, if anything.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut ids = std::collections::HashSet::new();
        for child in &self.children {
            if !ids.insert(&child.id) {
                return Err(format!("two children have the id `{}`", child.id));
            }
            self.check_significance(child)?;
        }
        if self.intensity.period.is_zero() {
            return Err("the period of the restart intensity is 0".to_owned());
        }
        Ok(())
    }

    fn check_significance(&self, child: &Child) -> Result<(), String> {
        if child.significant && self.auto_shutdown == AutoShutdown::Never {
            return Err(format!(
                "child `{}` is significant, but the supervisor never shuts down for that",
                child.id
            ));
        }
        if child.significant && child.restart == Restart::Permanent {
            return Err(format!(
                "child `{}` is significant and permanent: it never ends for good",
                child.id
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(id: &str) -> Child {
        Child::process(id, || {})
    }

    #[track_caller]
    fn faulty(spec: Spec, wrong: &str) {
        let error = spec.check().unwrap_err();
        assert!(error.contains(wrong), "{error}");
    }

    #[test]
    fn faulty_specs_say_what_is_wrong() {
        faulty(
            Spec::one_for_one().child(idle("a")).child(idle("a")),
            "two children have the id `a`",
        );
        faulty(Spec::one_for_one().intensity(3, Duration::ZERO), "period");
        faulty(
            Spec::one_for_one().child(idle("a").restart(Restart::Transient).significant()),
            "never shuts down",
        );
        let any = || Spec::one_for_one().auto_shutdown(AutoShutdown::AnySignificant);
        faulty(any().child(idle("a").significant()), "significant and permanent");
        any()
            .child(idle("a").restart(Restart::Temporary).significant())
            .check()
            .unwrap();
    }
}
