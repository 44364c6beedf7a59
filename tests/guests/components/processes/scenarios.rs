//! What processes of a component do with the functions of Lunatic: processes themselves. The first argument names the scenario
//! to run.

use std::time::Duration;

use super::calls::{calls, polls_mail, too_many_subscriptions};
use super::host::{
    Mail, Options, Process, Reason, Refusal, end, lookup, receive, register, remove_monitor, rest, spawn, trap_exits,
    unregister,
};
use super::messages::{channels, floods_channels, groups, long_messages, messages, names, timers};
use super::parts::{addressed, with_address};

pub(super) fn main() {
    let scenarios: &[(&str, fn())] = &[
        ("joins", joins),
        ("links_and_monitors", links_and_monitors),
        ("messages", messages),
        ("long_messages", long_messages),
        ("signals", signals),
        ("kills_waiting", kills_waiting),
        ("limits_of_children", limits_of_children),
        ("names", names),
        ("groups", groups),
        ("channels", channels),
        ("floods_channels", floods_channels),
        ("timers", timers),
        ("waits_forever", waits_forever),
        ("spins_beside", spins_beside),
        ("floods_handles", floods_handles),
        ("floods_children", floods_children),
        ("too_many_tags", too_many_tags),
        ("calls", calls),
        ("polls_mail", polls_mail),
        ("too_many_subscriptions", too_many_subscriptions),
        ("long_name", long_name),
        ("long_reason", long_reason),
        ("answers", answers),
        ("without_rights", without_rights),
        ("configures", configures),
    ];
    let name = std::env::args().nth(1).unwrap_or_default();
    if name == "--list" {
        return scenarios.iter().for_each(|(name, _)| println!("{name}"));
    }
    match scenarios.iter().find(|(known, _)| *known == name) {
        Some((_, scenario)) => scenario(),
        None => panic!("there is no scenario {name:?}"),
    }
}

pub(super) fn child(name: &str) -> Process {
    spawn(name, b"", &Options::default()).unwrap().0
}

fn monitored(name: &str, tag: u64) -> (Process, u64) {
    let options = Options {
        monitor: Some(tag),
        ..Options::default()
    };
    let (child, reference) = spawn(name, b"", &options).unwrap();
    (child, reference.expect("a monitor was asked for"))
}

pub(super) fn nanoseconds(time: Duration) -> Option<u64> {
    Some(time.as_nanos() as u64)
}

/// Twice, because a process that ended long ago is another case.
fn joins() {
    assert!(Process::parent().is_none());
    for name in ["succeeds", "fails", "panics", "traps"] {
        let child = child(name);
        let reason = child.join(None).unwrap();
        assert_eq!(child.join(None), Some(reason.clone()));
        assert!(!child.is_alive());
        println!("{name}: {reason}");
    }
    let (child, reference) = spawn("exits", b"in its own words", &Options::default()).unwrap();
    assert_eq!(reference, None);
    println!("exits: {}", child.join(None).unwrap());
    let waits = self::child("waits");
    assert_eq!(waits.join(Some(0)), None);
    assert_eq!(waits.join(nanoseconds(Duration::from_millis(5))), None);
    assert!(waits.is_alive());
    waits.kill().unwrap();
    println!("waits: {}", waits.join(None).unwrap());
}

fn links_and_monitors() {
    assert!(!trap_exits(true));
    let options = Options {
        link: true,
        monitor: Some(0),
        ..Options::default()
    };
    let (child, reference) = spawn("fails", b"", &options).unwrap();
    let address = child.address();
    let reference = reference.unwrap();
    let reason = || String::from("exit 1");
    let (sender, process) = (address, address);
    assert_eq!(
        receive(&[reference], None),
        Some(Mail::Down {
            process,
            reference,
            tag: reference,
            reason: reason()
        })
    );
    assert_eq!(
        receive(&[], None),
        Some(Mail::Exit {
            sender,
            reason: reason()
        })
    );
    // A monitor that comes later.
    let waits = self::child("waits");
    let reference = waits.monitor(77).unwrap();
    waits.kill().unwrap();
    let killed = Mail::Down {
        process: waits.address(),
        reference,
        tag: 77,
        reason: "killed".into(),
    };
    assert_eq!(receive(&[77], None), Some(killed));
    let (waits, reference) = monitored("waits", 5);
    assert!(remove_monitor(reference, true) && !remove_monitor(reference, true));
    waits.link().unwrap();
    waits.unlink();
    waits.kill().unwrap();
    assert_eq!(waits.join(None).unwrap(), "killed");
    assert_eq!(receive(&[], Some(0)), None);
    // A link to a process that has ended is a signal.
    waits.link().unwrap();
    assert_eq!(
        receive(&[], None),
        Some(Mail::Exit {
            sender: waits.address(),
            reason: "no-process".into()
        })
    );
    // And without traps, the process ends with the one that it is linked to.
    assert!(trap_exits(false));
    let options = Options {
        link: true,
        ..Options::default()
    };
    let _ = spawn("exits", b"both", &options).unwrap();
    receive(&[], None);
}

fn signals() {
    let (waits, _) = monitored("waits", 1);
    waits.exit_signal(&Reason::Normal).unwrap();
    assert!(waits.is_alive());
    waits.exit_signal(&Reason::Error("asked to")).unwrap();
    assert_eq!(waits.join(None).unwrap(), "error asked to");
    let options = Options {
        trap_exits: true,
        ..Options::default()
    };
    let (traps, _) = spawn("waits", b"", &options).unwrap();
    traps.exit_signal(&Reason::Error("asked to")).unwrap();
    // The signal is an entry of the mailbox, which it has waited for.
    assert_eq!(traps.join(None).unwrap(), "normal");
    let (traps, _) = spawn("spins", b"", &options).unwrap();
    traps.exit_signal(&Reason::Killed).unwrap();
    assert_eq!(traps.join(None).unwrap(), "killed");
    Process::this().kill().unwrap();
    unreachable!("the process was killed")
}

fn kills_waiting() {
    let argument = with_address(Process::this().address(), b"");
    for name in ["joins", "receives", "sends"] {
        let (child, _) = spawn(name, &argument, &Options::default()).unwrap();
        assert!(receive(&[1], None).is_some());
        // Long enough for it to wait; if it does not wait yet, it is killed before that.
        assert_eq!(child.join(nanoseconds(Duration::from_millis(1))), None);
        child.kill().unwrap();
        assert_eq!(child.join(None).unwrap(), "killed");
    }
}

fn limits_of_children() {
    let options = Options {
        memory_max: Some(32 << 20),
        ..Options::default()
    };
    let (child, _) = spawn("allocates", b"", &options).unwrap();
    println!("{}", child.join(None).unwrap().split(' ').next().unwrap());
    let options = Options {
        mailbox_max: Some(2),
        ..Options::default()
    };
    let (child, _) = spawn("spins", b"", &options).unwrap();
    assert_eq!(
        [1, 2, 3].map(|tag| child.send(tag, b"")),
        [Ok(()), Ok(()), Err(Refusal::Full)]
    );
    assert!(matches!(
        spawn("waits", &[0; 100_000], &Options::default()),
        Err(Refusal::Limit(_))
    ));
}

fn waits_forever() {
    println!("waits");
    child("waits").join(None);
}

/// On one worker, while a child spins.
fn spins_beside() {
    let spinning = child("spins");
    let (echo, this) = (child("echoes"), Process::this());
    for _ in 0..10 {
        echo.send(1, &with_address(this.address(), b"")).unwrap();
        assert!(receive(&[2], None).is_some());
    }
    spinning.kill().unwrap();
    assert_eq!(spinning.join(None).unwrap(), "killed");
}

fn floods_handles() {
    loop {
        std::mem::forget(Process::this());
    }
}

fn floods_children() {
    let mut children = Vec::new();
    let refusal = loop {
        match spawn("waits", b"", &Options::default()) {
            Ok((child, _)) => children.push(child),
            Err(refusal) => break refusal,
        }
    };
    assert!(matches!(refusal, Refusal::Limit(_)), "{refusal:?}");
    println!("{} children", children.len());
}

fn too_many_tags() {
    receive(&[1; 257], Some(0));
}

fn long_name() {
    lookup(&"x".repeat(256));
}

fn long_reason() {
    end(&Reason::Error(&"x".repeat(100_000)));
}

/// Tells its parent its address, and sends back what it gets, until a message is empty.
fn answers() {
    let (this, parent) = (Process::this(), Process::parent().expect("a parent"));
    parent.send(7, &with_address(this.address(), b"")).unwrap();
    while let Some(Mail::Message { tag, mut body, more }) = receive(&[], None) {
        body.extend(rest(u32::MAX));
        assert!(more <= 1 << 20);
        let (sender, body) = addressed(&body);
        if body.is_empty() {
            return;
        }
        assert_eq!(sender.address(), parent.address());
        sender.send(tag + 1, body).unwrap();
    }
}

/// A child that sees one folder and may not spawn.
fn configures() {
    let config = ["dir=/data::/mine:ro", "arg=confined", "arg=x"];
    let options = Options {
        config: &config,
        ..Options::default()
    };
    for _ in 0..2 {
        let (child, _) = spawn("is_confined", b"", &options).unwrap();
        assert_eq!(child.join(None).unwrap(), "normal");
    }
    let refused = |entry: &str| {
        let options = Options {
            config: &[entry],
            ..Options::default()
        };
        spawn("waits", b"", &options).unwrap_err()
    };
    assert!(matches!(refused("no entry"), Refusal::BadConfig(_)));
    assert!(matches!(refused("dir=/elsewhere"), Refusal::Denied(_)));
    assert!(matches!(refused(&"x".repeat(100_000)), Refusal::BadConfig(_)));
    // What follows a zero byte is no other entry.
    assert!(matches!(refused("arg=x\0dir=/data::/mine"), Refusal::BadConfig(_)));
    // A limit of 0 is the smallest one, and not that of the caller.
    let options = Options {
        memory_max: Some(0),
        ..Options::default()
    };
    let child = spawn("succeeds", b"", &options);
    assert!(child.is_err() || child.unwrap().0.join(None).unwrap() != "normal");
}

/// As a child that may neither spawn nor register.
fn without_rights() {
    let this = Process::this();
    for refused in [
        spawn("waits", b"", &Options::default()).map(drop),
        register("name", &this),
        unregister("parent"),
    ] {
        match refused {
            Err(Refusal::Denied(text)) => println!("{text}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(lookup("parent").is_some());
}
