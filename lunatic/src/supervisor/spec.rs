//! The specification of a supervisor: its children, and how it treats them.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Backoff, Child, Intensity, Restart};
use crate::actor::{self, Actor};
use crate::channel::Message;
use crate::code::StateError;
use crate::mailbox::tag_of;

/// Defines the children of a supervisor; OTP's callback module of a supervisor.
pub trait Supervise: Sized + 'static {
    /// The argument that the supervisor is started with.
    type Args: Message;

    /// Returns the children and how to treat them. Runs in the supervisor's own process when it starts, and again when
    /// it moves to another [version](crate::code) of the program.
    fn init(args: Self::Args) -> Spec;
}

/// Which other children are restarted together with a child that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// None.
    OneForOne,
    /// All.
    OneForAll,
    /// Those that were started after it.
    RestForOne,
}

/// Whether the supervisor terminates when [significant](Child::significant) children have exited by themselves and are
/// not restarted: transient ones after an orderly exit, temporary ones after any exit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AutoShutdown {
    /// It does not.
    #[default]
    Never,
    /// The first such exit does.
    AnySignificant,
    /// The exit of the last significant child does.
    AllSignificant,
}

pub(super) type MakeChild = fn(String, Vec<u8>) -> Child;

/// A type of actors that may be added.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addable {
    pub(super) make: MakeChild,
    /// Checks that the bytes are an argument of the actor.
    pub(super) check: fn(&[u8]) -> Result<(), StateError>,
}

/// The children of a supervisor, and how it treats them.
#[derive(Debug)]
#[must_use]
pub struct Spec {
    pub(super) strategy: Strategy,
    pub(super) intensity: Intensity,
    pub(super) backoff: Option<Backoff>,
    pub(super) auto_shutdown: AutoShutdown,
    pub(super) children: Vec<Child>,
    pub(super) addable: HashMap<u64, Addable>,
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

    /// Makes a specification in which a child that fails is restarted alone.
    pub fn one_for_one() -> Self {
        Self::new(Strategy::OneForOne)
    }

    /// Makes a specification in which all children are restarted if one fails.
    pub fn one_for_all() -> Self {
        Self::new(Strategy::OneForAll)
    }

    /// Makes a specification in which a child that fails is restarted together with those after it.
    pub fn rest_for_one() -> Self {
        Self::new(Strategy::RestForOne)
    }

    /// Allows `restarts` restarts within `period`; with one more the supervisor gives up. The default is 1 in 5 s, as
    /// in OTP.
    pub fn intensity(mut self, restarts: u32, period: Duration) -> Self {
        self.intensity = Intensity { restarts, period };
        self
    }

    /// Sets how long restarts wait, for each child without its own [back-off](Child::backoff). By default restarts are
    /// immediate, as in OTP.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// Sets whether the exit of significant children terminates the supervisor. The default is [`AutoShutdown::Never`].
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.auto_shutdown = auto_shutdown;
        self
    }

    /// Adds a child, which is started after those added before it.
    pub fn child(mut self, child: Child) -> Self {
        self.children.push(child);
        self
    }

    /// Allows actors of this type to be [added](crate::actor::ActorRef::add_child) while the supervisor is running.
    pub fn addable<A: Actor>(mut self) -> Self {
        let addable = Addable {
            make: Child::actor_from_bytes::<A>,
            check: actor::check_args::<A>,
        };
        self.addable.insert(tag_of::<A>(""), addable);
        self
    }

    /// Turns off the reports about restarts on standard error.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Returns the error in the specification, if there is one.
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
