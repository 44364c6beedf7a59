//! Programs that are looked at: each prints `ready` when there is something to be seen.

use std::time::Duration;

use lunatic::actor::Actor;
use lunatic::registry::register;
use lunatic::supervisor::{Child, Spec, Supervise, Supervisor};
use lunatic::{Channel, ExitReason, Mailbox, Process, sleep, yield_now};

lunatic_test_guests::scenarios![a_shop, a_crowd];

/// Longer than a test waits; to wait for ever would be a deadlock.
const LONG: Duration = Duration::from_secs(3600);

fn ready() -> ! {
    println!("ready");
    loop {
        sleep(LONG);
    }
}

struct Idle;

impl Actor for Idle {
    type Args = ();
    type Call = ();
    type Cast = ();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self)
    }
}

struct Shelves;

impl Supervise for Shelves {
    type Args = ();

    fn init((): ()) -> Spec {
        (1..=3).fold(Spec::one_for_one(), |spec, number| {
            spec.child(Child::actor::<Idle>(number.to_string(), ()).name(format!("shelf {number}")))
        })
    }
}

struct Shop;

impl Supervise for Shop {
    type Args = ();

    fn init((): ()) -> Spec {
        Spec::one_for_one()
            .child(Child::supervisor::<Shelves>("shelves", ()))
            .child(Child::process("computes", compute))
            .child(Child::process("customers", customers))
            .child(Child::process("accidents", accidents))
            .child(Child::process("unread", unread))
    }
}

/// Computes for half of the time.
fn compute() {
    loop {
        for _ in 0..20 {
            std::hint::black_box((0..200_000u64).fold(0, |sum, number| sum ^ number.wrapping_mul(sum | 1)));
            yield_now();
        }
        sleep(Duration::from_millis(20));
    }
}

/// Some come and go.
fn customers() {
    loop {
        for _ in 0..5 {
            Process::spawn(|| sleep(Duration::from_millis(30))).unwrap();
        }
        sleep(Duration::from_millis(50));
    }
}

/// What panics says so in the language of browsers.
fn accidents() {
    loop {
        sleep(Duration::from_millis(700));
        Process::spawn(|| panic!("<b>not bold</b><img src=x onerror=document.title='taken'>")).unwrap();
    }
}

/// Is sent what it never reads, and has a name that is none.
fn unread() {
    let hello = Channel::new(1);
    let name = "<img src=x onerror=document.title='taken'>";
    let reader = Process::spawn(move || {
        hello.send(Mailbox::<u32>::new().address());
        loop {
            sleep(LONG);
        }
    });
    register(name, reader.unwrap()).unwrap();
    let reader = hello.receive();
    for number in 0..1234 {
        reader.send(number);
    }
    loop {
        sleep(LONG);
    }
}

fn a_shop() {
    let _shop = Supervisor::<Shop>::start(()).unwrap();
    ready();
}

/// As many processes that wait as the second argument says. The last has a name, and mail.
fn a_crowd() {
    let crowd: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    for _ in 1..crowd {
        Process::spawn(|| sleep(LONG)).unwrap();
    }
    let hello = Channel::new(1);
    let reader = Process::spawn(move || {
        hello.send(Mailbox::<u32>::new().address());
        sleep(LONG);
    });
    register("needle", reader.unwrap()).unwrap();
    let reader = hello.receive();
    (0..77).for_each(|number| reader.send(number));
    ready();
}
