//! Programs that log, with the crates `log` and `tracing`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use lunatic::actor::{Actor, ActorRef};
use lunatic::net::TcpStream;
use lunatic::{ExitReason, Process, ProcessConfig, sleep, trace};

lunatic_test_guests::scenarios![
    everywhere,
    fields_and_spans,
    forged,
    steps,
    computing,
    flood,
    sandboxed,
    crash,
    denied,
    traced,
    long,
    cost,
];

/// Longer than a test waits; to wait for ever would be a deadlock.
const LONG: Duration = Duration::from_secs(3600);

/// Spans within spans, entered and left in any order, and in a child.
fn traced() {
    let outer = tracing::info_span!("outer");
    let entered = outer.enter();
    let inner = tracing::info_span!("inner", id = 7, late = tracing::field::Empty);
    let within = inner.enter();
    inner.record("late", true);
    drop(entered);
    assert!(trace::current().is_some());
    drop(within);
    assert!(trace::current().is_none());
    drop(inner);
    drop(tracing::info_span!(parent: None, "apart"));
    let child = outer.in_scope(|| Process::spawn(|| drop(tracing::info_span!("child"))).unwrap());
    child.join();
}

fn argument(at: usize) -> String {
    std::env::args().nth(at).unwrap()
}

struct Clerk;

impl Actor for Clerk {
    type Args = ();
    type Call = ();
    type Cast = ();

    fn init((): ()) -> Result<Self, ExitReason> {
        log::info!("in an actor");
        Ok(Self)
    }
}

/// Each kind of process has a logger, without anything being installed.
fn everywhere() {
    log::info!("in main");
    tracing::info!("also in main");
    Process::spawn(|| log::warn!("in a process")).unwrap().join();
    let argument = "an argument".to_owned();
    Process::spawn_with(argument, |said: String| log::error!("with {said}"))
        .unwrap()
        .join();
    let named = Process::builder()
        .name("clerk")
        .spawn(|| tracing::info!("in a named process"));
    named.unwrap().join();
    let _clerk: ActorRef<Clerk> = Clerk::start(()).unwrap();
    // The same instance serves one process after the other.
    for number in 0..3 {
        Process::spawn(move || log::info!(target: "again", "number {number}"))
            .unwrap()
            .join();
    }
}

fn fields_and_spans() {
    use tracing::{Span, debug_span, field, info, info_span, instrument};

    #[instrument(level = "info", skip(secret))]
    fn pack(item: &str, secret: &str) {
        info!(left = 2_u64, share = 0.5, broken = false, what = ?Some(secret.len()), "packed");
    }

    let order = info_span!("order", id = 7, customer = field::Empty);
    let entered = order.enter();
    Span::current().record("customer", "Ada Lovelace");
    pack("umbrella", "a secret");
    // Not enabled, and so in no record.
    let _unseen = debug_span!("unseen").entered();
    info!(parent: None, "alone");
    drop(entered);
    info!("outside");
    let inner = info_span!(parent: &order, "inner");
    drop(order);
    info!(parent: &inner, "still known");
}

fn forged() {
    let text = "first\n2026-01-01T00:00:00Z ERROR [#1 main] bank: forged\u{1b}[31m \u{202e}\"}";
    log::info!("{text}");
    tracing::info!(name = text, "{text}");
    log::info!(target: "a\nb", "target");
    Process::builder()
        .name("evil\n\u{1b}]0;x\u{7}")
        .spawn(|| log::info!("named"))
        .unwrap()
        .join();
}

/// Says one thing of each kind at each step, until it is stopped.
fn steps() {
    println!("ready");
    loop {
        sleep(Duration::from_millis(2));
        log::debug!("a step");
        log::info!(target: "other", "a step elsewhere");
    }
}

/// As [`steps`], without a wait in between.
fn computing() {
    println!("ready");
    loop {
        tracing::debug!("computing");
        black_box(0);
    }
}

/// Logs as many records as the second argument says.
fn flood() {
    let count: u32 = argument(2).parse().unwrap();
    for number in 0..count {
        log::info!("record {number} {}", "x".repeat(200));
    }
    println!("done");
    if std::env::args().nth(3).is_some() {
        sleep(LONG);
    }
}

fn sandboxed() {
    let quiet = ProcessConfig::new().discard_stderr();
    let speak = || {
        assert!(!log::log_enabled!(log::Level::Error));
        log::error!("nobody hears this");
    };
    let ended = Process::builder().config(&quiet).spawn(speak).unwrap().join();
    assert_eq!(ended, ExitReason::Normal);
    let kept = ProcessConfig::new().capture_stderr();
    let child = Process::builder()
        .config(&kept)
        .spawn(|| log::error!("for the parent"))
        .unwrap();
    assert_eq!(child.join(), ExitReason::Normal);
    let text = String::from_utf8(child.take_stderr()).unwrap();
    assert!(
        text.contains("ERROR [#") && text.ends_with("logs: for the parent\n"),
        "{text}"
    );
    log::info!("they have ended");
}

fn crash() {
    log::info!("before");
    let child = Process::spawn(|| panic!("first line\nsecond line")).unwrap();
    assert!(matches!(child.join(), ExitReason::Panic(_)));
    log::info!("after");
}

fn denied() {
    assert!(TcpStream::connect("127.0.0.1:1").is_err());
}

fn long() {
    log::info!("{}", "ö".repeat(1 << 20));
    let text = "x".repeat(1 << 20);
    tracing::info!(a = text, b = text, c = text, d = text, "fields");
    for _ in 0..1000 {
        let _ = tracing::info_span!("deeper", text).entered();
    }
    log::info!("the end");
}

/// Prints what a record costs, in nanoseconds: not written, and written.
fn cost() {
    let measure = |name: &str, rounds: u32, act: &dyn Fn(u32)| {
        act(0);
        let start = Instant::now();
        (0..rounds).for_each(act);
        println!("{name} {:.1}", start.elapsed().as_nanos() as f64 / f64::from(rounds));
    };
    let rounds: u32 = argument(2).parse().unwrap();
    measure("nothing", rounds, &|round| _ = black_box(round));
    measure("log-off", rounds, &|round| log::debug!("round {round}"));
    measure("tracing-off", rounds, &|round| tracing::debug!(round, "round"));
    measure("log-on", rounds / 100, &|round| log::info!("round {round}"));
    measure("tracing-on", rounds / 100, &|round| tracing::info!(round, "round"));
    measure("yield", rounds / 10, &|_| lunatic::yield_now());
    measure("yield-and-log-off", rounds / 10, &|round| {
        lunatic::yield_now();
        log::debug!("round {round}");
    });
    measure("spawn", rounds / 10, &|_| _ = Process::spawn(|| ()).unwrap().join());
}
