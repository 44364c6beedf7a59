//! Processes, mailboxes, links, monitors, kills, configurations.

use std::time::Duration;

use lunatic::serializer::Bincode;
use lunatic::MailboxError::TimedOut;
use lunatic::MessageSignal::{Message, Signal};
use lunatic::{
    spawn, spawn_link, LinkDiedSignal, LunaticError, Mailbox, Param, Process, ProcessConfig, ProcessDiedSignal, Tag,
    WasmModule,
};

#[lunatic::test]
fn a_child_gets_what_it_captures_and_answers(mailbox: Mailbox<String>) {
    let parent = mailbox.this();
    let child = spawn!(|parent, mailbox: Mailbox<Vec<u8>>| {
        let bytes = mailbox.receive();
        parent.send(String::from_utf8(bytes).unwrap());
    });
    child.send(b"hello".to_vec());
    assert_eq!(mailbox.receive(), "hello");
}

#[lunatic::test]
fn many_children_are_told_apart(mailbox: Mailbox<(u32, u32)>) {
    for number in 0..200 {
        let parent = mailbox.this();
        Process::spawn_link((parent, number), |(parent, number), _: Mailbox<()>| {
            parent.send((number, number * number));
        });
    }
    let mut all: Vec<_> = (0..200).map(|_| mailbox.receive()).collect();
    all.sort_unstable();
    assert!(all.iter().enumerate().all(|(at, (number, square))| at == *number as usize && square == &(number * number)));
}

#[lunatic::test]
fn a_chain_of_a_thousand_linked_processes(mailbox: Mailbox<u32>) {
    fn link((parent, depth): (Process<u32>, u32), mailbox: Mailbox<u32>) {
        if depth == 0 {
            return parent.send(0);
        }
        Process::spawn_link((mailbox.this(), depth - 1), link);
        parent.send(mailbox.receive() + 1);
    }
    Process::spawn_link((mailbox.this(), 1000), link);
    assert_eq!(mailbox.receive(), 1000);
}

#[lunatic::test]
fn a_failed_child_that_is_not_linked_harms_nobody(mailbox: Mailbox<()>) {
    let child = spawn!(|| panic!("on purpose"));
    while child.is_alive() {
        lunatic::sleep(Duration::from_millis(1));
    }
    assert!(matches!(mailbox.receive_timeout(Duration::from_millis(10)), Err(TimedOut)));
}

// Ignored because it must fail: the runner's tests ask for it by name.
#[lunatic::test]
#[ignore]
fn a_failed_child_that_is_linked_takes_its_parent_along() {
    spawn_link!(|| panic!("on purpose"));
    lunatic::sleep(Duration::from_secs(60));
}

#[lunatic::test]
fn a_link_tells_of_a_failure_under_its_tag_and_nothing_of_a_normal_end(mailbox: Mailbox<()>) {
    let mailbox = mailbox.catch_link_failure();
    let well = Tag::new();
    let bad = Tag::new();
    Process::spawn_link_tag((), well, |_, _: Mailbox<()>| {});
    Process::spawn_link_tag((), bad, |_, _: Mailbox<()>| panic!("on purpose"));
    match mailbox.receive() {
        Signal(LinkDiedSignal(tag)) => assert_eq!(tag, bad),
        other => panic!("{other:?}"),
    }
    assert!(matches!(mailbox.receive_timeout(Duration::from_millis(20)), Err(TimedOut)));
}

#[lunatic::test]
fn a_kill_counts_as_a_failure(mailbox: Mailbox<()>) {
    let mailbox = mailbox.catch_link_failure();
    let tag = Tag::new();
    let child = Process::spawn_link_tag((), tag, |_, mailbox: Mailbox<()>| mailbox.receive());
    child.kill();
    assert!(matches!(mailbox.receive(), Signal(LinkDiedSignal(died)) if died == tag));
    assert!(!child.is_alive());
}

#[lunatic::test]
fn a_link_to_what_has_ended_is_a_death(mailbox: Mailbox<()>) {
    let child = spawn!(|| {});
    while child.is_alive() {
        lunatic::sleep(Duration::from_millis(1));
    }
    child.unlink();
    let mailbox = mailbox.catch_link_failure();
    child.link();
    assert!(matches!(mailbox.receive(), Signal(LinkDiedSignal(_))));
}

#[lunatic::test]
fn a_monitor_tells_of_each_end_once(mailbox: Mailbox<()>) {
    let mailbox = mailbox.monitorable();
    let child = Process::spawn((), |_, mailbox: Mailbox<()>| mailbox.receive());
    mailbox.monitor(child);
    mailbox.monitor(child);
    child.send(());
    match mailbox.receive() {
        Signal(ProcessDiedSignal(id)) => assert_eq!(id, child.id()),
        other => panic!("{other:?}"),
    }
    let other = Process::spawn((), |_, mailbox: Mailbox<()>| mailbox.receive());
    mailbox.monitor(other);
    mailbox.stop_monitoring(other);
    other.kill();
    assert!(matches!(mailbox.receive_timeout(Duration::from_millis(20)), Err(TimedOut)));
}

#[lunatic::test]
fn messages_are_received_by_tag_out_of_order(mailbox: Mailbox<u32>) {
    let this = mailbox.this();
    let (one, two) = (Tag::new(), Tag::new());
    this.send(0);
    this.tag_send(one, 1);
    this.tag_send(two, 2);
    assert_eq!(mailbox.tag_receive(&[two]), 2);
    assert_eq!(mailbox.tag_receive(&[two, one]), 1);
    assert!(matches!(mailbox.tag_receive_timeout(&[one], Duration::from_micros(10)), Err(TimedOut)));
    assert_eq!(mailbox.receive(), 0);
}

#[lunatic::test]
fn messages_to_the_dead_are_ignored(mailbox: Mailbox<()>) {
    let child = Process::spawn((), |_, _: Mailbox<u32>| {});
    while child.is_alive() {
        lunatic::sleep(Duration::from_millis(1));
    }
    child.send(1);
    assert!(matches!(mailbox.receive_timeout(Duration::from_millis(1)), Err(TimedOut)));
}

#[lunatic::test]
fn handles_travel_in_messages(mailbox: Mailbox<Process<u32>>) {
    let this = mailbox.this();
    spawn!(|this, mailbox: Mailbox<u32>| {
        this.send(mailbox.this());
        assert_eq!(mailbox.receive(), 7);
    });
    let child = mailbox.receive();
    assert!(child.is_alive());
    child.send(7);
}

#[lunatic::test]
fn a_fresh_configuration_allows_nothing(mailbox: Mailbox<u32>) {
    let mailbox = mailbox.catch_link_failure();
    let mut config = ProcessConfig::new().unwrap();
    assert!(!config.can_spawn_processes() && !config.can_create_configs() && !config.can_compile_modules());
    Process::spawn_link_config(&config, (), |_, _: Mailbox<()>| {
        spawn!(|| {});
    });
    assert!(matches!(mailbox.receive(), Signal(LinkDiedSignal(_))));
    config.set_can_spawn_processes(true);
    let this = mailbox.this();
    Process::spawn_link_config(&config, this, |this, _: Mailbox<()>| {
        spawn!(|this| this.send(5));
    });
    assert!(matches!(mailbox.receive(), Message(5)));
}

#[lunatic::test]
fn a_child_cannot_get_more_than_its_parent_has(mailbox: Mailbox<bool>) {
    let mut config = ProcessConfig::new().unwrap();
    config.set_can_create_configs(true);
    config.set_can_spawn_processes(true);
    config.set_max_memory(32 << 20);
    let this = mailbox.this();
    Process::spawn_link_config(&config, this, |this, _: Mailbox<()>| {
        let mut config = ProcessConfig::new().unwrap();
        config.set_can_compile_modules(true);
        config.set_max_memory(u64::from(u32::MAX));
        Process::spawn_link_config(&config, this, |this, _: Mailbox<()>| {
            let may_compile = !matches!(WasmModule::new(b"(module)"), Err(LunaticError::PermissionDenied));
            let much = std::panic::catch_unwind(|| Vec::<u8>::new().try_reserve(64 << 20).is_ok());
            this.send(may_compile || much.unwrap_or(false));
        });
    });
    assert!(!mailbox.receive());
}

#[lunatic::test]
fn variables_and_arguments_reach_the_child_and_only_it(mailbox: Mailbox<(Vec<String>, Option<String>)>) {
    let mut config = ProcessConfig::new().unwrap();
    config.add_environment_variable("FOR_THE_CHILD", "yes");
    config.add_command_line_argument("first");
    config.add_command_line_argument("second");
    let this = mailbox.this();
    Process::spawn_link_config(&config, this, |this, _: Mailbox<()>| {
        this.send((std::env::args().collect(), std::env::var("FOR_THE_CHILD").ok()));
    });
    assert_eq!(mailbox.receive(), (vec!["first".to_owned(), "second".to_owned()], Some("yes".to_owned())));
    assert!(std::env::var("FOR_THE_CHILD").is_err());
}

#[lunatic::test]
fn memory_is_limited(mailbox: Mailbox<()>) {
    let mailbox = mailbox.catch_link_failure();
    let mut config = ProcessConfig::new().unwrap();
    config.set_max_memory(1_300_000);
    assert_eq!(config.get_max_memory(), 1_300_000);
    Process::spawn_link_config(&config, (), |_, _: Mailbox<()>| {
        std::hint::black_box(vec![1_u8; 4_000_000]);
    });
    assert!(matches!(mailbox.receive(), Signal(LinkDiedSignal(_))));
}

#[lunatic::test]
fn fuel_is_limited(mailbox: Mailbox<usize>) {
    fn work(count: usize) -> usize {
        (0..count).map(|number| number.to_string().len()).sum()
    }
    let mailbox = mailbox.catch_link_failure();
    let mut config = ProcessConfig::new().unwrap();
    config.set_max_fuel(1);
    assert_eq!(config.get_max_fuel(), 1);
    let this = mailbox.this();
    Process::spawn_link_config(&config, this, |this, _: Mailbox<()>| this.send(work(10_000)));
    assert!(matches!(mailbox.receive(), Signal(LinkDiedSignal(_))));
    config.set_max_fuel(10_000);
    Process::spawn_link_config(&config, this, |this, _: Mailbox<()>| this.send(work(10_000)));
    assert!(matches!(mailbox.receive(), Message(38_890)));
}

#[lunatic::test]
fn modules_are_compiled_sent_and_spawned(mailbox: Mailbox<WasmModule>) {
    let bad = WasmModule::new(b"not a module").err().unwrap();
    assert!(!bad.to_string().is_empty());
    let text = br#"(module
        (import "lunatic::message" "create_data" (func $create (param i64 i64)))
        (import "lunatic::message" "write_data" (func $write (param i32 i32) (result i32)))
        (import "lunatic::message" "send" (func $send (param i64) (result i32)))
        (memory (export "memory") 1)
        (func (export "answer") (param $to i64) (param $number i32)
            (i32.store (i32.const 16) (local.get $number))
            (call $create (i64.const 0) (i64.const 0))
            (drop (call $write (i32.const 16) (i32.const 4)))
            (drop (call $send (local.get $to)))))"#;
    let module = WasmModule::new(text).unwrap();
    let this = mailbox.this();
    spawn!(|this, module| this.send(module));
    let module = mailbox.receive();
    // SAFETY: the module was received above; what comes from now on are the numbers that its process sends.
    let numbers = unsafe { Mailbox::<u32>::new() };
    module.spawn::<(), Bincode>("answer", &[Param::I64(this.id() as i64), Param::I32(77)]).unwrap();
    assert_eq!(numbers.receive(), 77);
}
