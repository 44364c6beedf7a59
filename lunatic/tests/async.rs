//! Futures in a process, from the inside: run with `cargo lunatic test`.

use std::cell::{Cell, RefCell};
use std::future::{Future as _, pending, poll_fn, ready};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use lunatic::channel::ReceiveError;
use lunatic::task::{Either, block_on, join, select, sleep, sleep_until, spawn_local, timeout};
use lunatic::{Address, Channel, Mailbox, Process, time};

const HOUR: Duration = Duration::from_secs(3600);

#[lunatic::test]
fn a_future_runs_to_its_end() {
    assert_eq!(block_on(async { 7 }), 7);
    let text = String::from("borrowed");
    assert_eq!(block_on(async { text.len() }), 8);
    // A future that wakes itself is polled again.
    let mut polls = 0;
    let done = poll_fn(|context| {
        polls += 1;
        context.waker().wake_by_ref();
        if polls == 3 { Poll::Ready(polls) } else { Poll::Pending }
    });
    assert_eq!(block_on(done), 3);
}

#[lunatic::test]
fn futures_sleep_at_the_same_time() {
    time::pause();
    let start = Instant::now();
    block_on(join(sleep(2 * HOUR), join(sleep(HOUR), sleep_until(start + 3 * HOUR))));
    assert_eq!(start.elapsed(), 3 * HOUR);
    block_on(sleep(Duration::ZERO));
    let first = block_on(select(sleep(HOUR), sleep(Duration::MAX)));
    assert_eq!((first, start.elapsed()), (Either::First(()), 4 * HOUR));
    assert_eq!(block_on(timeout(HOUR, pending::<()>())), None);
    assert_eq!(block_on(timeout(HOUR, ready(1))), Some(1));
    assert_eq!(start.elapsed(), 5 * HOUR);
    // Many, of which each is woken in its time.
    let order = Rc::new(RefCell::new(Vec::new()));
    block_on(async {
        let tasks: Vec<_> = (0..1000_u32)
            .map(|n| {
                let (order, hours) = (order.clone(), n * 7 % 1000);
                spawn_local(async move {
                    sleep(hours * HOUR).await;
                    order.borrow_mut().push(hours);
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
    });
    assert!(order.borrow().iter().copied().eq(0..1000));
}

#[lunatic::test]
fn tasks_run_beside_each_other() {
    let count = Rc::new(Cell::new(0));
    let seen = count.clone();
    let output = block_on(async move {
        let spin = spawn_local({
            let count = count.clone();
            // Never waits, and wakes itself again and again.
            poll_fn(move |context| {
                count.set(count.get() + 1);
                context.waker().wake_by_ref();
                Poll::<()>::Pending
            })
        });
        sleep(Duration::from_millis(5)).await;
        assert_eq!(spin.cancel(), None);
        let nested = spawn_local(async { spawn_local(async { 5 }).await + 1 });
        let finished = spawn_local(async { "ended" });
        sleep(Duration::from_millis(1)).await;
        assert!(finished.is_finished());
        assert_eq!(finished.cancel(), Some("ended"));
        nested.await
    });
    assert_eq!(output, 6);
    assert!(seen.get() > 1);
    // A task goes on in the next `block_on`, also without its handle.
    let done = Rc::new(Cell::new(false));
    let own = done.clone();
    drop(spawn_local(async move { own.set(true) }));
    assert!(!done.get());
    block_on(sleep(Duration::from_millis(1)));
    assert!(done.get());
    // What is cancelled is dropped.
    let held = Rc::new(());
    let own = held.clone();
    let task = spawn_local(async move {
        pending::<()>().await;
        drop(own);
    });
    block_on(sleep(Duration::from_millis(1)));
    assert_eq!(Rc::strong_count(&held), 2);
    task.cancel();
    assert_eq!(Rc::strong_count(&held), 1);
}

#[lunatic::test]
fn futures_wait_for_channels_mail_and_time_at_once() {
    let (numbers, words, inbox) = (Channel::<u32>::new(0), Channel::<String>::new(0), Mailbox::<u64>::new());
    let here = inbox.address();
    Process::spawn(move || {
        for number in 0..100 {
            numbers.send(number);
            here.send(u64::from(number));
            if number % 10 == 0 {
                words.send(number.to_string());
            }
        }
    })
    .unwrap();
    block_on(async {
        let sum = spawn_local(async move {
            let mut sum = 0;
            for _ in 0..100 {
                sum += numbers.receive_async().await.unwrap();
            }
            sum
        });
        let count = spawn_local(async move {
            let mut len = 0;
            for _ in 0..10 {
                len += words.receive_async().await.unwrap().len();
            }
            len
        });
        let mut mail = 0;
        for _ in 0..100 {
            mail += inbox.receive_async().await.unwrap();
        }
        assert_eq!((sum.await, count.await, mail), (4950, 19, 4950));
        assert_eq!(timeout(Duration::from_millis(5), numbers.receive_async()).await, None);
        // Two of them wait for the same.
        let both = [0, 1].map(|_| spawn_local(async move { numbers.receive_async().await.unwrap() }));
        sleep(Duration::from_millis(1)).await;
        numbers.send(1);
        numbers.send(2);
        let mut got = Vec::new();
        for task in both {
            got.push(task.await);
        }
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}

#[lunatic::test]
fn a_channel_that_closes_ends_the_wait() {
    let told = Channel::<Channel<u32>>::new(0);
    let owner = Process::spawn(move || {
        told.send(Channel::new(0));
        lunatic::sleep(HOUR);
    })
    .unwrap();
    let channel = told.receive();
    let received = block_on(async {
        let receiving = spawn_local(channel.receive_async());
        sleep(Duration::from_millis(1)).await;
        owner.kill();
        receiving.await
    });
    assert_eq!(received, Err(ReceiveError::Closed));
}

#[lunatic::test]
fn a_wait_leaves_the_worker_to_others() {
    let (asked, answered) = (Channel::<u32>::new(0), Channel::<u32>::new(0));
    Process::spawn(move || {
        block_on(async {
            for _ in 0..1000 {
                let number = asked.receive_async().await.unwrap();
                answered.send(number + 1);
            }
        });
    })
    .unwrap();
    for number in 0..1000 {
        asked.send(number);
        assert_eq!(answered.receive(), number + 1);
    }
}

#[lunatic::test]
fn crates_that_need_no_executor_of_their_own_run() {
    use futures_lite::{FutureExt as _, StreamExt as _, future, stream};

    block_on(async {
        // A bounded channel inside of the process.
        let (send, receive) = async_channel::bounded::<u32>(2);
        let sending = spawn_local(async move {
            for number in 0..100 {
                send.send(number).await.unwrap();
            }
        });
        let received: Vec<u32> = receive.collect().await;
        assert!(received.into_iter().eq(0..100));
        sending.await;

        let both = future::zip(async { 1 }, async {
            future::yield_now().await;
            2
        });
        assert_eq!(both.await, (1, 2));
        let late = async {
            sleep(Duration::from_millis(1)).await;
            "late"
        };
        assert_eq!(late.or(async { "early" }).await, "early");
        let sum = stream::iter(1..=4).then(|n| async move {
            sleep(Duration::from_micros(n)).await;
            n
        });
        assert_eq!(sum.fold(0, |sum, n| sum + n).await, 10);
    });
}

#[lunatic::test]
#[should_panic(expected = "nothing can wake them")]
fn a_future_that_nothing_can_wake_is_an_error() {
    block_on(pending::<()>());
}

#[lunatic::test]
#[should_panic(expected = "`block_on` was called inside of `block_on`")]
fn an_executor_does_not_run_inside_of_itself() {
    block_on(async { block_on(async {}) });
}

#[lunatic::test]
#[should_panic(expected = "outside of `lunatic::task::block_on`")]
fn a_future_of_lunatic_needs_the_executor() {
    let _ = pin!(sleep(HOUR)).poll(&mut Context::from_waker(Waker::noop()));
}

#[lunatic::test]
#[should_panic(expected = "256 channels, sockets and kinds of messages")]
fn only_so_many_sources_are_waited_for_at_a_time() {
    let channels: Vec<_> = (0..257).map(|_| Channel::<u32>::new(0)).collect();
    block_on(async {
        let tasks: Vec<_> = channels
            .into_iter()
            .map(|channel| spawn_local(async move { channel.receive_async().await }))
            .collect();
        for task in tasks {
            let _ = task.await;
        }
    });
}

#[lunatic::test]
fn mail_of_other_types_stays() {
    let (numbers, words) = (Mailbox::<u32>::new(), Mailbox::<String>::new());
    let this = lunatic::process::this_process();
    Address::<u32>::of(this).send(1);
    Address::<String>::of(this).send("word".into());
    block_on(async {
        assert_eq!(words.receive_async().await.unwrap(), "word");
        assert_eq!(numbers.receive_async().await.unwrap(), 1);
    });
}
