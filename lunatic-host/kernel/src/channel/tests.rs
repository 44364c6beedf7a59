use std::sync::Arc;

use lunatic_sys::trace::Context;

use super::*;
use crate::budget::{Account, Budget, Caps, Purse};
use crate::environment::now;
use crate::waiters::KEPT_WAITERS;

const OWNER: Id = Id::NONE;

/// Who waits pays for its channels out of a purse of its own.
type Channels = super::Channels<Account>;

/// Channels with a given number of bytes for messages, and the account that pays.
fn channels(messages: u64) -> (Channels, Account) {
    let caps = Caps {
        messages: Some(messages),
        ..Caps::default()
    };
    let budget = Budget::outermost(caps, now());
    (Channels::new(100), Purse::new(None, &budget).to_account())
}

fn channel(messages: u64) -> (Channels, Id) {
    let (channels, payer) = channels(messages);
    let id = channels.open(0, OWNER, &payer, 0).unwrap();
    (channels, id)
}

fn receive(channels: &Channels, id: Id) -> Result<Vec<u8>, ReceiveRefusal> {
    channels.try_receive(id).map(|(message, ..)| message.into_vec())
}

#[test]
fn messages_keep_their_order_and_their_bytes() {
    let (channels, id) = channel(1 << 20);
    let messages: Vec<Vec<u8>> = (0..200).map(|len| vec![len as u8; len]).collect();
    for message in &messages {
        channels.try_send(id, message).unwrap();
    }
    for message in messages {
        assert_eq!(receive(&channels, id), Ok(message));
    }
    assert_eq!(receive(&channels, id), Err(ReceiveRefusal::Empty));
}

#[test]
fn the_room_of_those_that_waited_is_given_back() {
    let (channels, payer) = channels(1 << 20);
    let id = channels.open(0, OWNER, &payer, 0).unwrap();
    let room = || channels.table.get(id).unwrap().receivers.list.capacity();
    let wait = || channels.wait_to_receive(id, &payer, None).unwrap();
    let tickets: Vec<Ticket> = (0..10_000).map(|_| wait()).collect();
    assert!(room() >= 10_000);
    for ticket in &tickets[..5_000] {
        channels.leave_receive(id, *ticket, false);
    }
    for _ in 0..4_999 {
        assert!(channels.try_send(id, b"1").unwrap().is_some());
    }
    assert!(room() < 100, "{}", room());
    assert!(channels.try_send(id, b"1").unwrap().is_some() && channels.try_send(id, b"1").unwrap().is_none());
}

#[test]
fn a_list_that_was_emptied_keeps_no_more_room_than_is_paid_for() {
    let (channels, payer) = channels(1 << 20);
    let id = channels.open(0, OWNER, &payer, 0).unwrap();
    for waiters in [1, 4, 5, 30] {
        for _ in 0..waiters {
            channels.wait_to_receive(id, &payer, None).unwrap();
        }
        for _ in 0..waiters {
            assert!(channels.try_send(id, b"1").unwrap().is_some());
        }
        while receive(&channels, id).is_ok() {}
        let room = channels.table.get(id).unwrap().receivers.list.capacity();
        assert!(room <= KEPT_WAITERS, "{room} after {waiters}");
    }
}

#[test]
fn a_bound_is_kept() {
    let (channels, payer) = channels(1 << 20);
    let id = channels.open(0, OWNER, &payer, 2).unwrap();
    assert!(channels.try_send(id, b"1").is_ok() && channels.try_send(id, b"2").is_ok());
    assert_eq!(channels.try_send(id, b"3").map(drop), Err(SendRefusal::Full));
    assert_eq!(receive(&channels, id), Ok(b"1".to_vec()));
    assert!(channels.try_send(id, b"3").is_ok());
}

#[test]
fn a_closed_channel_takes_and_gives_nothing() {
    let (channels, id) = channel(1 << 20);
    channels.try_send(id, b"lost").unwrap();
    let closed = channels.close(0, id).unwrap();
    assert_eq!(
        (closed.waiters.count(), closed.messages.len(), closed.outside),
        (0, 1, 0)
    );
    assert_eq!(channels.try_send(id, b"late").map(drop), Err(SendRefusal::Closed));
    assert_eq!(receive(&channels, id), Err(ReceiveRefusal::Closed));
    assert!(channels.close(0, id).is_none(), "closing twice is closing once");
}

/// Whatever was sent, received and closed: nothing queued, nothing charged.
#[test]
fn all_queues_together_keep_their_limit_and_give_everything_back() {
    let (channels, payer) = channels(100_000);
    let [first, second] = [(); 2].map(|()| channels.open(0, OWNER, &payer, 0).unwrap());
    let used = || payer.purse().used(Resource::Messages);
    for (id, len) in [(first, 1000), (second, 10)] {
        while channels.try_send(id, &vec![7; len]).is_ok() {}
    }
    assert!(used() > 90_000);
    assert_eq!(
        channels.try_send(second, &[7; 50_000]).map(drop),
        Err(SendRefusal::Limit)
    );
    while receive(&channels, first).is_ok() {}
    assert!(
        channels.try_send(second, &[7; 50_000]).is_ok(),
        "what was received makes room"
    );
    for id in [first, second] {
        assert!(channels.close(0, id).is_some());
    }
    assert_eq!((used(), payer.purse().used(Resource::Channels)), (0, 0));
}

/// With traces and without, long messages and short ones.
#[test]
fn what_a_channel_is_charged_is_its_size_at_every_moment() {
    let (channels, payer) = channels(u64::MAX);
    let id = channels.open(0, OWNER, &payer, 0).unwrap();
    let check = || {
        let used = payer.purse().used(Resource::Messages);
        assert_eq!(used as usize, channels.table.get(id).unwrap().size());
    };
    let context = Arc::new(Context {
        trace: [1; 16],
        span: [1; 8],
        flags: 1,
        state: "".into(),
    });
    for (count, taken) in [(3000, 2990), (5, 0), (5000, 5010)] {
        for number in 0..count {
            let trace = (number % 3 > 0).then(|| context.clone());
            let message = || Message::from_vec(vec![7; number % 50]);
            let now = Moment(number as u64 / 100);
            assert!(channels.try_send_made(id, 1, trace, now, message).is_ok());
            check();
        }
        for _ in 0..taken {
            assert!(channels.try_receive(id).is_ok());
            check();
        }
    }
    let view = channels.view(id).unwrap();
    assert_eq!(view.len, 5);
    while channels.try_receive(id).is_ok() {
        check();
    }
    assert!(channels.table.get(id).unwrap().traces.is_none());
    drop(channels.close(0, id));
    assert_eq!(payer.purse().used(Resource::Messages), 0);
}

/// Between two pauses of a call, a send copies no more than a thousand messages.
#[test]
fn a_long_queue_grows_and_shrinks_by_pieces() {
    let (channels, payer) = channels(u64::MAX);
    let id = channels.open(0, OWNER, &payer, 0).unwrap();
    let used = || payer.purse().used(Resource::Messages) as usize;
    let mut most = 0;
    for _ in 0..100_000 {
        let before = used();
        channels.try_send(id, b"1").unwrap();
        most = most.max(used() - before);
    }
    let piece = 1024 * MESSAGE_SIZE;
    assert!(most < piece + 100, "{most}");
    assert!(used() < 100_000 * MESSAGE_SIZE + 3 * piece);
    for _ in 0..90_000 {
        channels.try_receive(id).unwrap();
    }
    assert!(used() < 10_000 * MESSAGE_SIZE + 3 * piece);
}

#[test]
fn a_message_can_be_too_long() {
    let (channels, id) = channel(u64::MAX);
    let zeros = vec![0; MESSAGE_LEN_MAX + 1];
    assert_eq!(channels.try_send(id, &zeros).map(drop), Err(SendRefusal::Limit));
    assert!(channels.try_send(id, &zeros[1..]).is_ok());
}
