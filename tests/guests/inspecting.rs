//! Processes that look at others.

use std::time::Duration;

use lunatic::inspect::{InspectError, Order, Query, State, Wait, process, processes};
use lunatic::process::trap_exit;
use lunatic::registry::register;
use lunatic::rights::{Right, may};
use lunatic::{Channel, ExitReason, Mailbox, Process, ProcessConfig, sleep, this_process, yield_now};

lunatic_test_guests::scenarios![
    all_are_seen_by_the_main_process,
    orders_pages_and_names,
    what_a_process_has_is_shown,
    one_with_less_sees_itself_and_its_own,
    without_the_right_nothing_is_seen,
    a_thousand_at_once,
    the_age_of_the_oldest_mail_is_shown,
];

const LONG: Duration = Duration::from_secs(3600);

fn idle() -> Process {
    Process::spawn(|| sleep(LONG)).unwrap()
}

/// Looks until all of them wait, so that what they do is known.
fn all_wait(these: &[Process]) {
    while !these
        .iter()
        .all(|these| matches!(process(*these).unwrap().info.state, State::Waiting(_)))
    {
        yield_now();
    }
}

fn all_are_seen_by_the_main_process() {
    assert!(may(Right::Inspect));
    let children = [idle(), idle()];
    let page = processes(&Query::new()).unwrap();
    assert_eq!((page.matched, page.shown.len()), (3, 3));
    let find = |process| page.shown.iter().find(|info| info.process == process).unwrap();
    let main = find(this_process());
    assert!(main.is_main && main.parent.is_none() && main.state == State::Running);
    assert_eq!(main.title(), "main");
    for child in children {
        let info = find(child);
        assert_eq!(info.parent, Some(this_process()));
        assert!(info.title().contains("inspecting::idle"), "{info:?}");
    }
    children[0].kill();
    children[0].join();
    assert_eq!(process(children[0]), Err(InspectError::Ended));
    assert_eq!(processes(&Query::new()).unwrap().matched, 2);
}

fn orders_pages_and_names() {
    let children = [idle(), idle(), idle()];
    register("the second", children[1]).unwrap();
    for (child, count) in children.iter().zip([1_u32, 3, 2]) {
        let address = lunatic::Address::<u32>::of(*child);
        (0..count).for_each(|number| address.send(number));
    }
    let query = Query::new().order(Order::Mailbox);
    let fullest = processes(&query.clone().limit(2)).unwrap();
    let ids: Vec<_> = fullest.shown.iter().map(|info| info.process).collect();
    assert_eq!((fullest.matched, &ids[..]), (4, &[children[1], children[2]][..]));
    assert_eq!((fullest.shown[0].mailbox, fullest.shown[0].mail_total), (3, 3));
    let next = processes(&query.skip(2).limit(1)).unwrap();
    assert_eq!(next.shown[0].process, children[0]);
    let named = processes(&Query::new().name("second")).unwrap();
    assert_eq!((named.matched, named.shown[0].title()), (1, "the second"));
    let idle = processes(&Query::new().name("inspecting::idle")).unwrap();
    assert_eq!(idle.matched, 3);
}

fn what_a_process_has_is_shown() {
    let (other, ready) = (idle(), Channel::<()>::new(0));
    let child = Process::spawn(move || {
        trap_exit(true);
        other.link();
        let _monitor = other.monitor();
        ready.send(());
        let _ = Mailbox::<()>::new().receive_timeout(LONG);
    })
    .unwrap();
    ready.receive();
    all_wait(&[child, other]);
    let details = process(child).unwrap();
    assert_eq!(details.info.state, State::Waiting(Wait::Mail));
    assert!(details.info.stopped.is_some() && process(this_process()).unwrap().info.stopped.is_none());
    assert!(details.info.traps_exits && details.info.memory > 0 && details.info.runs > 0);
    assert_eq!((details.links, details.monitors), (vec![other], vec![other]));
    let details = process(other).unwrap();
    assert_eq!(details.info.state, State::Waiting(Wait::Sleep));
    assert_eq!((details.links, details.monitored_by), (vec![child], vec![child]));
}

/// These are seen and no others.
fn are_seen(these: &[Process]) {
    let page = processes(&Query::new()).unwrap();
    assert_eq!(page.matched, these.len());
    for process in these {
        assert!(page.shown.iter().any(|info| info.process == *process), "{page:?}");
    }
}

fn one_with_less_sees_itself_and_its_own() {
    let outside = idle();
    let config = ProcessConfig::new().allow(Right::Spawn).allow(Right::Inspect);
    let (told, done) = (Channel::<Process>::new(0), Channel::<()>::new(0));
    let inside = Process::builder()
        .config(&config)
        .spawn(move || {
            let own = idle();
            are_seen(&[this_process(), own]);
            let refused = process(outside).unwrap_err().to_string();
            assert!(refused.contains("rights that the caller does not have"), "{refused}");
            told.send(own);
            done.receive();
        })
        .unwrap();
    let own = told.receive();
    // Who spawned it sees all of them.
    are_seen(&[this_process(), outside, inside, own]);
    done.send(());
    assert_eq!(inside.join(), ExitReason::Normal);
}

fn without_the_right_nothing_is_seen() {
    let child = Process::builder().config(&ProcessConfig::new()).spawn(|| {
        assert!(!may(Right::Inspect));
        for refused in [
            processes(&Query::new()).map(drop).unwrap_err(),
            process(this_process()).map(drop).unwrap_err(),
        ] {
            assert!(refused.to_string().contains("allow=inspect"), "{refused}");
        }
    });
    assert_eq!(child.unwrap().join(), ExitReason::Normal);
}

fn a_thousand_at_once() {
    for _ in 0..1500 {
        idle();
    }
    let page = processes(&Query::new()).unwrap();
    assert_eq!((page.matched, page.shown.len()), (1501, 1000));
    let rest = processes(&Query::new().skip(1000)).unwrap();
    assert_eq!((rest.matched, rest.shown.len()), (1501, 501));
}

fn the_age_of_the_oldest_mail_is_shown() {
    let (first, second) = (idle(), idle());
    let age = |of: Process| process(of).unwrap().info.oldest;
    assert_eq!((age(first), age(second)), (None, None));
    let send = |to: Process| lunatic::Address::<u32>::of(to).send(7);
    send(first);
    sleep(Duration::from_millis(30));
    send(second);
    send(first);
    let (older, younger) = (age(first).unwrap(), age(second).unwrap());
    // The clock of messages may be a few time slices late.
    assert!(older >= younger + Duration::from_millis(15), "{older:?} {younger:?}");
    let page = processes(&Query::new().order(Order::Oldest)).unwrap();
    let order: Vec<_> = page.shown.iter().map(|info| info.process).collect();
    assert_eq!(order, [first, second, this_process()]);
}
