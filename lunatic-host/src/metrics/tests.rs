use std::time::Instant;

use lunatic_kernel::budget::{Account, Budget, Caps, Purse};

use super::*;

/// Somebody who may have so many bytes.
fn payer(bytes: u64) -> (Arc<Budget>, Account) {
    let caps = Caps {
        memory: Some(bytes),
        ..Caps::default()
    };
    let budget = Budget::outermost(caps, Instant::now());
    let account = Purse::new(None, &budget).to_account();
    (budget, account)
}

fn name(kind: Kind, text: &str) -> Name {
    Name::read(kind, text.as_bytes()).unwrap()
}

#[test]
fn counters_are_added_up_and_gauges_are_of_the_living() {
    let (metrics, group, (_, payer)) = (Metrics::default(), Group::new(), payer(1 << 20));
    let open = |kind, text| metrics.open(kind, name(kind, text), &[], &group, &payer).unwrap();
    let (mut one, mut other) = (Own::default(), Own::default());
    for own in [&mut one, &mut other] {
        let orders = own.number(open(Kind::Counter, "orders"));
        assert_eq!(own.number(open(Kind::Counter, "orders_total")), orders);
        assert!(own.get(orders).unwrap().add(2) && !own.get(orders).unwrap().observe(1.0));
        let open = own.number(open(Kind::Gauge, "connections"));
        assert!(own.say(open, |_| 7) && own.say(open, |said| said - 2) && !own.say(orders, |_| 1));
        assert!(!own.say(5, |_| 1) && own.get(-1).is_none());
    }
    let values = || {
        metrics
            .read()
            .into_iter()
            .map(|family| family.series[0].value.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(values(), [ValueView::Gauge(10), ValueView::Counter(4)]);
    drop(one);
    assert_eq!(values(), [ValueView::Gauge(5), ValueView::Counter(4)]);
    drop(other);
    assert_eq!(values(), [ValueView::Gauge(0), ValueView::Counter(4)]);
    let refused = metrics.open(Kind::Gauge, name(Kind::Gauge, "orders"), &[], &group, &payer);
    assert_eq!(refused.err(), Some(Refused::Kind));
}

#[test]
fn histograms_sort_values() {
    let (metrics, group, (_, payer)) = (Metrics::default(), Group::new(), payer(1 << 20));
    let series = metrics
        .open(
            Kind::Histogram,
            name(Kind::Histogram, "time"),
            &[0.1, 1.0],
            &group,
            &payer,
        )
        .unwrap();
    for value in [0.05, 0.1, 0.5, 7.0] {
        assert!(series.observe(value));
    }
    let expected = ValueView::Histogram {
        buckets: vec![2, 1, 1],
        sum: 7.65,
    };
    assert_eq!(metrics.read()[0].series[0].value, expected);
    assert!(are_bounds(&[]) && are_bounds(&[-1.0, 0.0]));
    for bounds in [
        &[1.0, 1.0][..],
        &[2.0, 1.0],
        &[f64::NAN],
        &[f64::INFINITY],
        &[0.5; BOUNDS_MAX + 1],
    ] {
        assert!(!are_bounds(bounds), "{bounds:?}");
    }
}

#[test]
fn there_are_only_so_many_and_nobody_has_all_of_them() {
    let (metrics, (budget, payer)) = (Metrics::default(), payer(16 << 20));
    let (all, sandbox) = (Group::new(), Group::new());
    let sandbox_within = Group::within(&sandbox);
    let fill = |group: &Arc<Group>, prefix: &str| {
        let open = |number: &usize| {
            let name = name(Kind::Counter, &format!("{prefix}\0number={number}"));
            metrics.open(Kind::Counter, name, &[], group, &payer).is_ok()
        };
        (0..2 * SERIES_MAX).take_while(open).count()
    };
    let greedy = fill(&sandbox_within, "greedy");
    let others = fill(&all, "others");
    assert!(
        greedy > 100 && others > 100 && greedy + others <= SERIES_MAX,
        "{greedy} {others}"
    );
    assert_eq!(metrics.refused(), 2);
    assert!(budget.usage().memory >= ((greedy + others) * SERIES_SIZE) as u64);
    drop(metrics);
    assert_eq!(budget.usage().memory, 0);
}

#[test]
fn who_cannot_pay_opens_none() {
    let (metrics, group, (_, payer)) = (Metrics::default(), Group::new(), payer(100));
    let refused = metrics.open(Kind::Counter, name(Kind::Counter, "a"), &[], &group, &payer);
    assert_eq!(refused.err(), Some(Refused::TooMany));
    assert!(metrics.read().is_empty());
}
