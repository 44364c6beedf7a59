use proptest::prelude::*;

use super::*;
use crate::environment::now;

#[test]
fn a_charge_that_an_outer_budget_refuses_is_taken_from_none() {
    let outer = Budget::outermost(
        Caps {
            memory: Some(10),
            ..Caps::default()
        },
        now(),
    );
    let caps = Caps {
        memory: Some(100),
        ..Caps::default()
    };
    let inner = Budget::new(Some(outer.clone()), caps, now()).unwrap();
    inner.charge(Resource::Memory, 7).unwrap();
    let refused = inner.charge(Resource::Memory, 4).unwrap_err();
    assert_eq!((refused.resource, refused.cap), (Resource::Memory, 10));
    assert_eq!((inner.usage().memory, outer.usage().memory), (7, 7));
    inner.charge(Resource::Memory, 3).unwrap();
    inner.give_back(Resource::Memory, 10);
    assert_eq!((inner.usage().memory, outer.usage().memory), (0, 0));
    assert!(inner.charge(Resource::Memory, u64::MAX).is_err());
}

#[test]
fn time_that_a_descendant_uses_is_used_for_all() {
    let caps = |ms| Caps {
        cpu: Some(Duration::from_millis(ms)),
        ..Caps::default()
    };
    let outer = Budget::outermost(caps(10), now());
    let (one, two) = (
        Budget::new(Some(outer.clone()), caps(20), now()).unwrap(),
        Budget::new(Some(outer.clone()), caps(20), now()).unwrap(),
    );
    one.spend(Duration::from_millis(6));
    assert!(!two.is_spent() && !outer.is_spent());
    two.spend(Duration::from_millis(4));
    assert!(one.is_spent() && two.is_spent() && outer.is_spent());
}

#[test]
fn a_share_is_met_over_time() {
    let budget = Budget::outermost(
        Caps {
            cpu_share: Some(25),
            ..Caps::default()
        },
        now(),
    );
    let (start, slice) = (now(), Duration::from_millis(1));
    let (mut now, mut ran) = (start, Duration::ZERO);
    while now < start + Duration::from_secs(10) {
        match budget.must_wait(now) {
            Some(wait) => now += wait,
            None => {
                budget.spend(slice);
                (now, ran) = (now + slice, ran + slice);
            }
        }
    }
    let percent = ran.as_millis() * 100 / (now - start).as_millis();
    assert!((24..=26).contains(&percent), "{percent} %");
}

#[test]
fn a_share_holds_after_any_sleep() {
    for percent in [1, 25, 8_192, 1_000_000, u32::MAX] {
        let caps = Caps {
            cpu_share: Some(percent),
            ..Caps::default()
        };
        let mut now = now();
        let budget = Budget::outermost(caps, now);
        for days in [1, 30, 3650] {
            now += Duration::from_secs(days * 24 * 60 * 60);
            assert_eq!(budget.must_wait(now), None, "{percent} %, {days} days");
            // Never more than the share of a tenth of a second.
            let most = Duration::from_millis(1).saturating_mul(percent);
            budget.spend(most);
            assert_eq!(budget.must_wait(now), None);
            budget.spend(most);
            let wait = budget.must_wait(now).expect("it has used up twice as much");
            // Until a tenth of that is left.
            let expected = Duration::from_millis(110);
            assert!(
                wait.abs_diff(expected) < Duration::from_micros(1),
                "{percent} %: {wait:?}"
            );
        }
    }
}

#[test]
fn all_bytes_count_as_memory_and_messages_have_a_cap_of_their_own() {
    let caps = Caps {
        memory: Some(100),
        messages: Some(60),
        ..Caps::default()
    };
    let budget = Budget::outermost(caps, now());
    budget.charge(Resource::Memory, 30).unwrap();
    budget.charge(Resource::Messages, 50).unwrap();
    let refused = budget.charge(Resource::Messages, 11).unwrap_err();
    assert_eq!((refused.resource, refused.cap), (Resource::Messages, 60));
    let refused = budget.charge(Resource::Channels, 21).unwrap_err();
    assert_eq!((refused.resource, refused.cap), (Resource::Memory, 100));
    budget.charge(Resource::Channels, 20).unwrap();
    assert_eq!((budget.usage().memory, budget.used(Resource::Messages)), (100, 50));
    budget.give_back(Resource::Messages, 50);
    budget.give_back(Resource::Channels, 20);
    assert_eq!(budget.usage().memory, 30);
}

#[test]
fn what_is_owed_is_charged_and_said_to_be_too_much() {
    let host = Budget::outermost(
        Caps {
            memory: Some(1000),
            ..Caps::default()
        },
        now(),
    );
    let budget = Budget::outermost(
        Caps {
            memory: Some(100),
            ..Caps::default()
        },
        now(),
    );
    let purse = Purse::new(Some(&budget), &host);
    assert_eq!(purse.owe(Resource::Messages, 90), Ok(()));
    assert_eq!(
        purse.owe(Resource::Messages, 20).map_err(|exhausted| exhausted.cap),
        Err(100)
    );
    assert_eq!(
        purse.charge(Resource::Messages, 1).map_err(|exhausted| exhausted.cap),
        Err(100)
    );
    assert_eq!((budget.usage().memory, host.usage().memory), (110, 110));
    assert_eq!(purse.settle(Resource::Messages, 110, 0), Ok(()));
    let mut receipt = Receipt::new(Purse::new(None, &host).to_account(), Resource::Buffers);
    receipt.grow(700).unwrap();
    assert!(receipt.grow(301).is_err());
    receipt.settle(400).unwrap();
    assert_eq!((budget.usage().memory, host.usage().memory), (0, 400));
    drop(receipt);
    assert_eq!(host.usage().memory, 0);
}

#[test]
fn budgets_lie_within_each_other_only_so_deep() {
    let mut innermost = Budget::outermost(Caps::default(), now());
    for _ in 1..DEPTH_MAX {
        innermost = Budget::new(Some(innermost), Caps::default(), now()).unwrap();
    }
    assert_eq!(
        Budget::new(Some(innermost), Caps::default(), now()).err(),
        Some(TooDeep)
    );
}

proptest! {
    /// Charges and returns over a random tree of budgets, against sums over the tree.
    #[test]
    fn a_tree_never_holds_more_than_any_cap(
        parents in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(0_u64..50)), 1..8),
        charges in prop::collection::vec((any::<prop::sample::Index>(), 1_u64..20), 1..60),
    ) {
        let mut tree: Vec<(Arc<Budget>, Option<usize>, u64)> = Vec::new();
        for (parent, cap) in parents {
            let parent = (!tree.is_empty()).then(|| parent.index(tree.len()));
            let caps = Caps { processes: cap, ..Caps::default() };
            let budget = Budget::new(parent.map(|at| tree[at].0.clone()), caps, now()).unwrap();
            tree.push((budget, parent, cap.unwrap_or(u64::MAX)));
        }
        let mut held = vec![0_u64; tree.len()];
        let around = |at: usize| std::iter::successors(Some(at), |at| tree[*at].1);
        for (at, amount) in charges {
            let at = at.index(tree.len());
            let fits = around(at).all(|at| held[at] + amount <= tree[at].2);
            prop_assert_eq!(tree[at].0.charge(Resource::Processes, amount).is_ok(), fits);
            if fits {
                around(at).for_each(|at| held[at] += amount);
            }
            for (budget, held) in tree.iter().zip(&held) {
                prop_assert_eq!(budget.0.usage().processes, *held);
            }
        }
    }
}
