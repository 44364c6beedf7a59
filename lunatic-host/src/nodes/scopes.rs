//! The scopes of names of visitors: processes whose parents have the same scope share one here, and no others.
//!
//! A scope has a random number, which its host sends with each spawn on another node. So a sandbox with names of its own
//! does not see, through its children on another node, the names of other programs there. The scope of a visitor is never
//! one of a program of this node.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use lunatic_kernel::registry::Scope;
use parking_lot::Mutex;

/// How many scopes are known before those are removed that nobody has any more.
const KNOWN_MIN: usize = 64;

#[derive(Default)]
struct Known {
    scopes: HashMap<u128, Weak<Scope>>,
    /// How many may be known before they are looked through.
    max: usize,
}

/// The scopes of visitors, by their numbers.
#[derive(Default)]
pub(super) struct Scopes(Mutex<Known>);

impl Scopes {
    /// The scope with this number. It exists as long as a process has it.
    pub(super) fn of(&self, number: u128) -> Arc<Scope> {
        let known = &mut *self.0.lock();
        if let Some(scope) = known.scopes.get(&number).and_then(Weak::upgrade) {
            return scope;
        }
        if known.scopes.len() >= known.max {
            known.scopes.retain(|_, scope| scope.strong_count() > 0);
            known.max = (2 * known.scopes.len()).max(KNOWN_MIN);
        }
        let scope = Arc::new(Scope::numbered(number));
        known.scopes.insert(number, Arc::downgrade(&scope));
        scope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_scope_as_long_as_it_is_used() {
        let scopes = Scopes::default();
        let (one, other) = (scopes.of(1), scopes.of(2));
        assert!(Arc::ptr_eq(&one, &scopes.of(1)) && !Arc::ptr_eq(&one, &other));
        // Its children on a third node have it, too.
        assert_eq!(one.number(|| 9), 1);
        for number in 10..10_000 {
            scopes.of(number);
            assert!(scopes.0.lock().scopes.len() <= KNOWN_MIN);
        }
        assert!(Arc::ptr_eq(&one, &scopes.of(1)) && Arc::ptr_eq(&other, &scopes.of(2)));
    }

    #[test]
    fn a_scope_has_one_number() {
        let scope = Scope::default();
        assert_eq!((scope.number(|| 3), scope.number(|| 4)), (3, 3));
    }
}
