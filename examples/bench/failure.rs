//! The costs of calls, kills, timers and supervisors.

use std::hint::black_box;
use std::time::{Duration, Instant};

use lunatic::actor::{Actor, ActorRef};
use lunatic::mailbox::ReplyTo;
use lunatic::supervisor::{DynamicOptions, DynamicSupervisor, Intensity};
use lunatic::{Address, ExitReason, Mailbox, Process, sleep, timer};

use super::timed;

/// Calls a server `n` times. A call includes watching for an exit of the callee.
pub(crate) fn call(n: u64) -> Duration {
    type Request = (u64, ReplyTo<u64>);
    let server = Process::spawn(|| {
        let requests = Mailbox::<Request>::new();
        loop {
            let (number, reply) = requests.receive();
            reply.send(number + 1);
        }
    });
    let server = Address::<Request>::of(server.unwrap());
    timed(|| {
        let last = (0..n).fold(0, |number, _| server.call(|reply| (number, reply)).unwrap());
        assert_eq!(last, n);
    })
}

/// Kills a busy process with `n` messages in its mailbox, and waits until it has exited.
pub(crate) fn kill(n: u64) -> Duration {
    let busy = Process::spawn(|| {
        let mut x = 0_u64;
        loop {
            x = black_box(x + 1);
        }
    })
    .unwrap();
    let to = Address::<u64>::of(busy);
    (0..n).for_each(|number| to.send(number));
    timed(|| {
        busy.kill();
        assert_eq!(busy.join(), ExitReason::Killed);
    })
}

/// Sets `n` timers, so that all exist at the same time, and cancels them.
pub(crate) fn timers(n: u64) -> Duration {
    // Other processes can set at most 32,768 timers of one process.
    let owners: Vec<_> = (0..n.div_ceil(32_768))
        .map(|_| Process::spawn(|| sleep(Duration::MAX)).unwrap())
        .collect();
    timed(|| {
        let timers: Vec<_> = (0..n)
            .map(|number| {
                let owner = owners[(number / 32_768) as usize];
                timer::send_after(Address::<u64>::of(owner), number, Duration::from_secs(3600))
            })
            .collect();
        assert_eq!(timers.into_iter().filter(|timer| timer.cancel()).count() as u64, n);
    })
}

struct Idle;

impl Actor for Idle {
    type Args = u64;
    type Call = ReplyTo<()>;
    type Cast = ();

    fn init(_: u64) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    fn handle_call(&mut self, reply: ReplyTo<()>) -> lunatic::actor::Next {
        reply.send(());
        lunatic::actor::Next::Continue
    }
}

/// Starts `n` children of one supervisor, and kills a tenth of them, which are then restarted.
pub(crate) fn supervise(n: u64) -> Duration {
    let options = DynamicOptions {
        intensity: Intensity {
            restarts: u32::MAX,
            period: Duration::from_secs(3600),
        },
        quiet: true,
        ..DynamicOptions::default()
    };
    let start = Instant::now();
    let supervisor = DynamicSupervisor::<Idle>::start(options).unwrap();
    let children: Vec<ActorRef<Idle>> = (0..n).map(|number| supervisor.start_child(number).unwrap()).collect();
    for child in children.iter().step_by(10) {
        child.process().kill();
    }
    for child in children.iter().step_by(10) {
        child.process().join();
    }
    // The exits were signalled before this call, so the children counted here include the restarted ones.
    let alive = supervisor.child_actors().unwrap();
    assert_eq!(alive.len() as u64, n);
    let time = start.elapsed();
    assert!(alive.iter().all(|child| child.process().is_alive()));
    time
}
