//! Programs that work for requests of which the trace is known, with `lunatic::trace`.

use std::time::Duration;

use lunatic::registry::Group;
use lunatic::rights::Right;
use lunatic::trace::{self, Builder, Context, Kind, span};
use lunatic::{Channel, ExitReason, Mailbox, Process, ProcessConfig, timer};

lunatic_test_guests::scenarios![
    contexts_travel,
    open_spans_stay_current,
    nested,
    fields,
    cut_off,
    sandboxed,
    too_many,
    flood,
    long_states_are_paid_for,
];

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn context(state: &str) -> Context {
    Context::parse(PARENT, state).unwrap()
}

/// The current context as text; empty if there is none.
fn current() -> String {
    trace::current().map(|context| context.to_text()).unwrap_or_default()
}

fn main_context() -> String {
    context("a=1").to_text()
}

/// Whatever way a message takes, its receiver works for the request of its sender; and then for none, if the next has none.
fn contexts_travel() {
    assert_eq!(current(), "");
    assert!(trace::set(Some(&context("a=1"))));
    assert_eq!(current(), main_context());
    let said = Channel::<String>::new(0);
    // A spawn, with and without options.
    Process::spawn(move || said.send(current())).unwrap();
    assert_eq!(said.receive(), main_context());
    Process::builder()
        .name("child")
        .spawn(move || said.send(current()))
        .unwrap();
    assert_eq!(said.receive(), main_context());
    // Messages, short and long, to a process that began without one.
    trace::set(None);
    let jobs = Channel::<Vec<u8>>::new(0);
    let mail = Channel::<lunatic::Address<Vec<u8>>>::new(0);
    Process::spawn(move || {
        let mailbox = Mailbox::<Vec<u8>>::new();
        Group::named("group").join(lunatic::this_process()).unwrap();
        mail.send(mailbox.address());
        for _ in 0..6 {
            let _ = mailbox.receive();
            said.send(current());
        }
        for _ in 0..3 {
            let _ = jobs.receive();
            said.send(current());
        }
    })
    .unwrap();
    let to = mail.receive();
    let group = Group::named("group");
    let expect = |expected: &str| assert_eq!(said.receive(), expected);
    let traced = || assert!(trace::set(Some(&context("a=1"))));
    traced();
    to.send(vec![1]);
    expect(&main_context());
    traced();
    to.send(vec![1; 3 << 20]);
    expect(&main_context());
    trace::set(None);
    to.send(vec![1]);
    expect("");
    traced();
    assert_eq!(group.broadcast(&vec![1_u8]), 1);
    expect(&main_context());
    traced();
    timer::send_after(to, vec![1], Duration::from_millis(1));
    expect(&main_context());
    traced();
    let interval = timer::send_interval(to, vec![1], Duration::from_millis(1));
    expect("");
    // It may come again, and nobody receives that.
    interval.cancel();
    traced();
    jobs.send(vec![1]);
    trace::set(None);
    jobs.send(vec![1]);
    traced();
    jobs.send(vec![1; 3 << 20]);
    for expected in [&main_context(), "", &main_context()] {
        assert_eq!(said.receive(), expected);
    }
}

/// What is received while a span is open is current when the span has ended.
fn open_spans_stay_current() {
    let jobs = Channel::<u8>::new(0);
    trace::set(Some(&context("other=1")));
    jobs.send(1);
    trace::set(Some(&context("own=1")));
    let own = current();
    {
        let around = span("around");
        let within = current();
        assert_ne!(within, own);
        assert!(around.is_recorded() && within.contains("own=1"));
        jobs.receive();
        assert_eq!(current(), within);
        {
            let _inner = span("inner");
            assert_ne!(current(), within);
        }
        assert_eq!(current(), within);
    }
    assert!(current().ends_with("other=1"));
    // An answer changes nothing.
    trace::set(Some(&context("own=1")));
    let server = Process::spawn(|| {
        let asked = Mailbox::<lunatic::mailbox::ReplyTo<String>>::new();
        let reply = asked.receive();
        let theirs = current();
        let _span = span("server");
        reply.send(theirs);
    });
    let address = lunatic::Address::<lunatic::mailbox::ReplyTo<String>>::of(server.unwrap());
    assert_eq!(address.call(|reply| reply).unwrap(), own);
    assert_eq!(current(), own);
}

/// A request through three processes.
fn nested() {
    trace::set(Some(&context("a=1")));
    let _request = Builder::new("request").kind(Kind::Server).begin();
    let done = Channel::<()>::new(0);
    let clerk = Process::spawn(move || {
        let _work = span("work");
        Process::spawn(move || {
            let _child = span("child");
            done.send(());
        })
        .unwrap()
        .join();
    });
    done.receive();
    clerk.unwrap().join();
    let _root = Builder::new("root").root().begin();
}

fn fields() {
    let mut told = Builder::new("told").field("early", "yes").begin();
    told.record("count", 3);
    told.record("share", 0.5);
    told.record("count", 4);
    told.record("otel.name", "renamed");
    told.fail("as it should");
    drop(told);
    let mut full = span("full");
    for number in 0..100 {
        full.record(&format!("field{number}"), number);
    }
    drop(full);
    drop(span(&"n".repeat(1000)));
    let mut long = span("long");
    (0..5).for_each(|number| long.record(&format!("text{number}"), "x".repeat(4000)));
}

fn cut_off() {
    let ready = Channel::<()>::new(0);
    for fails in [true, false] {
        let child = Process::spawn(move || {
            let _span = span(if fails { "panics" } else { "killed" });
            ready.send(());
            assert!(!fails, "as it should");
            lunatic::sleep(Duration::from_secs(3600));
        });
        let child = child.unwrap();
        ready.receive();
        if !fails {
            child.kill();
        }
        child.join();
    }
}

/// A sandbox hands a context on, and says nothing of its own.
fn sandboxed() {
    trace::set(Some(&context("a=1")));
    let said = Channel::<(String, bool, bool)>::new(0);
    let ask = move || {
        let begun = current();
        let is_recorded = span("sandboxed").is_recorded();
        let other = Context::parse(&PARENT.replace('4', "5"), "").unwrap();
        said.send((begun, is_recorded, trace::set(Some(&other))));
    };
    for (config, may) in [
        (ProcessConfig::new(), false),
        (ProcessConfig::new().allow(Right::Trace), true),
    ] {
        Process::builder().config(&config).spawn(ask).unwrap();
        assert_eq!(said.receive(), (main_context(), may, may));
        trace::set(Some(&context("a=1")));
    }
}

fn too_many() {
    let open: Vec<_> = (0..2000).map(|number| span(&format!("open{number}"))).collect();
    let recorded = open.iter().filter(|span| span.is_recorded()).count();
    assert_eq!(recorded, 1024);
    drop(open);
    assert_eq!(current(), "");
    assert!(span("again").is_recorded());
}

/// More spans than anybody takes, of a sandbox; then one of somebody else.
fn flood() {
    let config = ProcessConfig::inherit();
    let child = Process::builder().config(&config).spawn(|| {
        for _ in 0..20_000 {
            drop(span("flood"));
        }
    });
    child.unwrap().join();
    drop(span("after"));
}

/// What a context takes up in queues is paid for like the messages: who gets too many is refused more.
fn long_states_are_paid_for() {
    let config = ProcessConfig::inherit().tree_memory(16 << 20);
    let child = Process::builder().config(&config).spawn(|| {
        let queue = Channel::<()>::new(0);
        let state = format!("a={}", "x".repeat(500));
        let mut sent = 0;
        loop {
            trace::set(Some(&context(&state)));
            if queue.try_send(()).is_err() {
                break;
            }
            sent += 1;
        }
        // An empty message is 32 bytes there, and each has a context of half a KiB.
        assert!((5_000..32_000).contains(&sent), "{sent}");
        // All is given back.
        (0..sent).for_each(|_| queue.receive());
        assert!(queue.try_send(()).is_ok());
    });
    assert_eq!(child.unwrap().join(), ExitReason::Normal);
}
