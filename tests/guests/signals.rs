//! Links, exits, mail and selects, in processes that wait: also run with a host that freezes every process that waits.

use std::time::Duration;

use lunatic::actor::{Actor, Next};
use lunatic::mailbox::{Mail, ReplyTo, Select};
use lunatic::process::{exit, trap_exit};
use lunatic::{Address, Channel, ExitReason, Mailbox, Process, Task, this_process, timer};

lunatic_test_guests::scenarios!(
    a_blocked_process_is_killed,
    a_blocked_process_ends_with_its_link,
    a_blocked_process_traps_an_exit,
    mail_reaches_a_blocked_process,
    calls_go_through_blocked_processes,
    selects_wake_for_each_source,
    timers_reach_a_blocked_process,
    tasks_of_blocked_processes_are_joined,
    an_error_of_its_own_is_reported,
    the_main_process_ends_with_its_link,
);

/// Spawns a process that tells when it is about to wait.
fn waiting(wait: fn()) -> Process {
    let ready = Channel::new(0);
    let process = Process::spawn(move || {
        ready.send(());
        wait();
    });
    ready.receive();
    process.unwrap()
}

fn forever() {
    Mailbox::<()>::new().receive();
}

fn a_blocked_process_is_killed() {
    for _ in 0..100 {
        let process = waiting(forever);
        process.kill();
        assert_eq!(process.join(), ExitReason::Killed);
    }
}

fn a_blocked_process_ends_with_its_link() {
    for _ in 0..100 {
        let process = waiting(|| {
            Process::spawn_link(|| exit(ExitReason::Exit(3))).unwrap();
            forever();
        });
        assert_eq!(process.join(), ExitReason::Exit(3));
    }
}

fn a_blocked_process_traps_an_exit() {
    for _ in 0..100 {
        let process = waiting(|| {
            trap_exit(true);
            match Mailbox::<()>::new().receive_mail() {
                Mail::Exit { reason, .. } => exit(reason),
                other => panic!("{other:?}"),
            }
        });
        process.exit(&ExitReason::Exit(4));
        assert_eq!(process.join(), ExitReason::Exit(4));
    }
}

fn mail_reaches_a_blocked_process() {
    let (numbers, words) = (Mailbox::<u64>::new(), Mailbox::<String>::new());
    let (to_numbers, to_words) = (numbers.address(), words.address());
    Process::spawn(move || {
        for number in 0..1000 {
            to_numbers.send(number);
        }
        to_words.send("done".to_owned());
    })
    .unwrap();
    assert_eq!(words.receive(), "done");
    assert!((0..1000).all(|number| numbers.receive() == number));
}

struct Relay(Option<lunatic::actor::ActorRef<Relay>>);

impl Actor for Relay {
    type Args = u32;
    type Call = (u64, ReplyTo<u64>);
    type Cast = ();

    fn init(depth: u32) -> Result<Self, ExitReason> {
        Ok(Self((depth > 0).then(|| Relay::start_link(depth - 1).unwrap())))
    }

    fn handle_call(&mut self, (number, reply): Self::Call) -> Next {
        match &self.0 {
            Some(next) => reply.send(next.call(|reply| (number + 1, reply)).unwrap()),
            None => reply.send(number),
        }
        Next::Continue
    }
}

fn calls_go_through_blocked_processes() {
    let first = Relay::start(50).unwrap();
    for number in 0..100 {
        assert_eq!(first.call(|reply| (number, reply)).unwrap(), number + 50);
    }
    first.stop();
}

fn selects_wake_for_each_source() {
    let (mail, channel) = (Mailbox::<u8>::new(), Channel::<u8>::new(0));
    let (to, select) = (mail.address(), Select::new().mailbox(&mail).channel(&channel).signals());
    for round in 0..300 {
        let source = round % 3;
        let process = Process::spawn(move || match source {
            0 => to.send(1),
            1 => channel.send(2),
            _ => {}
        });
        let monitor = (source == 2).then(|| process.unwrap().monitor());
        assert_eq!(select.wait(), source);
        match source {
            0 => assert_eq!(mail.receive(), 1),
            1 => assert_eq!(channel.receive(), 2),
            _ => match Mailbox::<()>::new().receive_mail() {
                Mail::Down { monitor: told, .. } => assert_eq!(Some(told), monitor),
                other => panic!("{other:?}"),
            },
        }
    }
}

fn timers_reach_a_blocked_process() {
    let bells = Mailbox::<u32>::new();
    for number in 0..20 {
        timer::send_after(bells.address(), number, Duration::from_millis(1));
        assert_eq!(bells.receive(), number);
    }
}

fn tasks_of_blocked_processes_are_joined() {
    let tasks: Vec<_> = (0..100_u64)
        .map(|number| {
            let compute = move || {
                let inner = Task::spawn(move || number * 2).unwrap();
                inner.join().unwrap() + 1
            };
            Task::spawn(compute).unwrap()
        })
        .collect();
    for (number, task) in (0..).zip(tasks) {
        assert_eq!(task.join(), Ok(number * 2 + 1));
    }
}

fn an_error_of_its_own_is_reported() {
    trap_exit(true);
    let child = Process::builder()
        .name("clerk")
        .link()
        .trap_exit()
        .spawn(|| exit(ExitReason::Error("out of paper".to_owned())));
    let _ = child.unwrap().join();
}

fn the_main_process_ends_with_its_link() {
    let here = Address::<()>::of(this_process());
    Process::spawn_link(move || {
        here.send(());
        exit(ExitReason::Error("my child is broken".to_owned()));
    })
    .unwrap();
    forever();
    forever();
}
