use proptest::prelude::*;

use super::*;
use crate::budget::Resource;

const EXHAUSTED: Exhausted = Exhausted {
    resource: Resource::Messages,
    cap: 0,
};

fn message(tag: u64, number: u8) -> Mail {
    Mail {
        kind: Kind::Message(Id::NONE),
        tag,
        body: Body::from_slice(&[number]),
    }
}

fn push(mailbox: &mut Mailbox, mail: Mail) -> Pushed {
    mailbox.push(mail, Moment::default(), |_| Ok(())).unwrap()
}

#[test]
fn an_owner_can_wait_for_several_lists_of_tags() {
    let wakes = |mailbox: &mut Mailbox, tag| push(mailbox, message(tag, 0)) == Pushed::Queued { wake: true };
    let waiting = |lists: &[&[u64]]| {
        let mut mailbox = Mailbox::default();
        lists.iter().for_each(|tags| mailbox.wait_also_for(tags));
        mailbox
    };
    assert!(wakes(&mut waiting(&[&[1, 2], &[3]]), 2));
    assert!(wakes(&mut waiting(&[&[1, 2], &[3]]), 3));
    assert!(!wakes(&mut waiting(&[&[1, 2], &[3]]), 4));
    assert!(wakes(&mut waiting(&[&[1], &[]]), 4));
    assert!(wakes(&mut waiting(&[&[], &[1]]), 4));
    // The same list again takes no room; with too many tags, any wakes.
    let many: Vec<u64> = (0..TAGS_LEN_MAX as u64).collect();
    assert!(!wakes(&mut waiting(&[&many, &many]), 1000));
    assert!(wakes(&mut waiting(&[&many, &[1000]]), 2000));
    // It is woken once, and the entry is in the lists, because the owner does not take it by these tags.
    let mut mailbox = waiting(&[&[1], &[2]]);
    assert!(wakes(&mut mailbox, 2));
    assert!(!wakes(&mut mailbox, 2));
    assert!(mailbox.has(&[2]) && !mailbox.has(&[1]));
    assert_eq!(mailbox.take(&[]).map(|mail| mail.tag), Some(2));
}

#[test]
fn what_is_put_first_is_taken_first_and_wakes_whoever_takes_all() {
    let change = || Mail {
        kind: Kind::Change,
        tag: 6,
        body: Body::new(),
    };
    let mut mailbox = Mailbox::default();
    push(&mut mailbox, message(1, 1));
    push(&mut mailbox, message(2, 2));
    assert_eq!(mailbox.push_first(change(), |_| Ok(())), Ok(false));
    assert_eq!(mailbox.take(&[2]).unwrap().body[0], 2);
    assert_eq!(mailbox.take(&[]).unwrap().kind, Kind::Change);
    assert_eq!(mailbox.take(&[]).unwrap().body[0], 1);
    assert_eq!(mailbox.take(&[]), None);
    for (tags, wakes) in [(&[][..], true), (&[6], true), (&[1], false)] {
        mailbox.wait_to_take(tags);
        assert_eq!(mailbox.push_first(change(), |_| Ok(())), Ok(wakes));
        assert_eq!(mailbox.take(&[]).unwrap().kind, Kind::Change);
    }
    // What was handed over is on its way already.
    mailbox.wait_to_take(&[]);
    push(&mut mailbox, message(1, 3));
    assert_eq!(mailbox.push_first(change(), |_| Ok(())), Ok(false));
    assert_eq!(mailbox.take(&[]).unwrap().body[0], 3);
    assert_eq!(mailbox.take(&[]).unwrap().kind, Kind::Change);
}

#[test]
fn a_waiting_owner_is_woken_once_and_only_for_its_tags() {
    let mut mailbox = Mailbox::default();
    mailbox.wait_for(&[2, 3]);
    assert_eq!(push(&mut mailbox, message(1, 0)), Pushed::Queued { wake: false });
    assert_eq!(push(&mut mailbox, message(3, 1)), Pushed::Queued { wake: true });
    assert_eq!(push(&mut mailbox, message(2, 2)), Pushed::Queued { wake: false });
    mailbox.wait_for(&[]);
    assert_eq!(push(&mut mailbox, message(9, 3)), Pushed::Queued { wake: true });
    mailbox.wait_for(&[]);
    mailbox.wait_no_more();
    assert_eq!(push(&mut mailbox, message(9, 4)), Pushed::Queued { wake: false });
}

#[test]
fn what_is_charged_is_what_it_grows_by_and_a_refused_entry_changes_nothing() {
    let (mut mailbox, mut charged) = (Mailbox::default(), 0);
    for number in 0..1000 {
        let mut mail = message(number % 7, 0);
        mail.body.resize(number as usize, 1);
        let refused = mailbox.push(mail.clone(), Moment::default(), |_| Err(EXHAUSTED));
        if refused.is_err() {
            assert_eq!((mailbox.size(), mailbox.len()), (charged, number as usize));
            let pushed = mailbox.push(mail, Moment::default(), |bytes| {
                charged += bytes;
                Ok(())
            });
            assert_eq!(pushed, Ok(Pushed::Queued { wake: false }));
        }
        assert_eq!((mailbox.size(), mailbox.len()), (charged, number as usize + 1));
    }
}

#[test]
fn a_reference_takes_only_so_many_messages() {
    let mut mailbox = Mailbox::default();
    let reference = 7 | REFERENCE_BIT;
    mailbox.open(reference);
    for _ in 0..REFERENCE_LEN_MAX {
        assert_eq!(
            push(&mut mailbox, message(reference, 0)),
            Pushed::Queued { wake: false }
        );
    }
    assert_eq!(push(&mut mailbox, message(reference, 0)), Pushed::Full);
    // Signals are never refused, and other tags have no bound.
    let mut down = message(reference, 0);
    down.kind = Kind::Down(Id::NONE, reference);
    assert_eq!(push(&mut mailbox, down), Pushed::Queued { wake: false });
    assert_eq!(push(&mut mailbox, message(7, 0)), Pushed::Queued { wake: false });
    mailbox.take(&[reference]).unwrap();
    mailbox.take(&[reference]).unwrap();
    assert_eq!(
        push(&mut mailbox, message(reference, 0)),
        Pushed::Queued { wake: false }
    );
    mailbox.close(reference);
    assert_eq!(mailbox.len(), 1);
}

/// Whatever is taken out of the middle, and whether the clock stands still or goes back.
#[test]
fn the_time_of_the_oldest_entry_is_known() {
    let mut mailbox = Mailbox::default();
    let mut push = |tag, ms| {
        let pushed = mailbox.push(message(tag, 0), Moment(ms), |_| Ok(()));
        assert!(matches!(pushed, Ok(Pushed::Queued { .. })));
    };
    for (tag, ms) in [(1, 10), (2, 10), (1, 25), (2, 24), (1, 40)] {
        push(tag, ms);
    }
    let oldest = |mailbox: &Mailbox| mailbox.oldest().map(|moment| moment.0);
    assert_eq!((oldest(&mailbox), mailbox.total()), (Some(10), 5));
    mailbox.take(&[1]).unwrap();
    assert_eq!(oldest(&mailbox), Some(10), "of another tag");
    mailbox.take(&[2]).unwrap();
    let change = Mail {
        kind: Kind::Change,
        ..message(7, 0)
    };
    let change = Mail {
        body: Body::new(),
        ..change
    };
    mailbox.push_first(change, |_| Ok(())).unwrap();
    assert_eq!(oldest(&mailbox), Some(25), "what is put before all others has no time");
    mailbox.take(&[1]).unwrap();
    assert_eq!(oldest(&mailbox), Some(25), "time does not go back");
    while mailbox.take(&[]).is_some() {}
    assert_eq!(oldest(&mailbox), None);
    mailbox.wait_to_take(&[]);
    mailbox.push(message(3, 0), Moment(50), |_| Ok(())).unwrap();
    assert_eq!((oldest(&mailbox), mailbox.total()), (Some(50), 6), "handed over");
}

#[test]
fn an_emptied_mailbox_gives_its_memory_back() {
    let mut mailbox = Mailbox::default();
    for number in 0..10_000_u64 {
        push(&mut mailbox, message(number, 0));
    }
    while mailbox.take(&[]).is_some() {}
    assert_eq!((mailbox.slots.capacity(), mailbox.size(), mailbox.len()), (0, 0, 0));
}

#[derive(Debug, Clone)]
enum Step {
    Push(u64, bool),
    Take(Vec<u64>),
    Open(u64),
    Close(u64),
    TakeDown(u64),
    TakeOrWait(Vec<u64>),
    Wait(Vec<u64>),
    WaitNoMore,
}

fn tag() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, (0..3_u64).prop_map(|reference| reference | REFERENCE_BIT)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (tag(), any::<bool>()).prop_map(|(tag, down)| Step::Push(tag, down)),
        3 => proptest::collection::vec(tag(), 0..4).prop_map(Step::Take),
        1 => (0..3_u64).prop_map(|reference| Step::Open(reference | REFERENCE_BIT)),
        1 => tag().prop_map(Step::Close),
        1 => (0..200_u64).prop_map(Step::TakeDown),
        3 => proptest::collection::vec(tag(), 0..3).prop_map(Step::TakeOrWait),
        1 => proptest::collection::vec(tag(), 0..3).prop_map(Step::Wait),
        1 => Just(Step::WaitNoMore),
    ]
}

proptest! {
    /// A list that is searched from its beginning each time does the same.
    #[test]
    fn it_does_what_a_plain_list_does(steps in proptest::collection::vec(step(), 0..400)) {
        let mut mailbox = Mailbox::default();
        let (mut list, mut open) = (Vec::<Mail>::new(), std::collections::HashSet::new());
        let mut waits: Option<Vec<u64>> = None;
        let is_one_of = |mail: &Mail, tags: &[u64]| tags.is_empty() || tags.contains(&mail.tag);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push(tag, down) => {
                    let mut mail = message(tag, number as u8);
                    if down {
                        mail.kind = Kind::Down(Id::NONE, number as u64);
                    }
                    let kept = tag & REFERENCE_BIT == 0 || open.contains(&tag);
                    let pushed = push(&mut mailbox, mail.clone());
                    let wake = kept && waits.take_if(|tags| is_one_of(&mail, tags)).is_some();
                    prop_assert_eq!(pushed, if kept { Pushed::Queued { wake } } else { Pushed::Dropped });
                    if kept {
                        list.push(mail);
                    }
                }
                Step::Take(tags) => {
                    let place = list.iter().position(|mail| is_one_of(mail, &tags));
                    prop_assert_eq!(mailbox.has(&tags), place.is_some());
                    prop_assert_eq!(mailbox.take(&tags), place.map(|place| list.remove(place)));
                }
                Step::TakeOrWait(tags) => {
                    let place = list.iter().position(|mail| is_one_of(mail, &tags));
                    prop_assert_eq!(mailbox.take(&tags), place.map(|place| list.remove(place)));
                    if place.is_none() {
                        mailbox.wait_to_take(&tags);
                        waits = Some(tags);
                    }
                }
                Step::Wait(tags) => {
                    mailbox.wait_for(&tags);
                    waits = Some(tags);
                }
                Step::WaitNoMore => {
                    mailbox.wait_no_more();
                    waits = None;
                }
                Step::Open(reference) => prop_assert_eq!(mailbox.open(reference), open.insert(reference)),
                Step::Close(tag) => {
                    mailbox.close(tag);
                    if open.remove(&tag) {
                        list.retain(|mail| mail.tag != tag);
                    }
                }
                Step::TakeDown(reference) => {
                    let place = list.iter().position(|mail| mail.kind == Kind::Down(Id::NONE, reference));
                    let is_it = |mail: &Mail| mail.kind == Kind::Down(Id::NONE, reference);
                    let slots = (0..mailbox.slots.len() as u32).map(|place| (&mailbox.slots[place], place));
                    let slots = slots.filter(|(slot, _)| slot.mail.as_ref().is_some_and(is_it));
                    let slot = slots.min_by_key(|(slot, _)| slot.number).map_or(NONE, |(_, place)| place);
                    prop_assert_eq!(mailbox.take_down(slot, reference), place.map(|place| list.remove(place)));
                    prop_assert_eq!(mailbox.take_down(slot, u64::MAX), None);
                }
            }
            prop_assert_eq!(mailbox.len(), list.len());
            prop_assert_eq!(mailbox.outside, list.iter().map(Mail::size_outside).sum::<usize>());
        }
    }
}
