//! What the processes do that the program spawns.

use super::calls::serves;
use super::channel::Channel;
use super::host::{Address, Mail, Options, Process, Reason, Refusal, end, receive, spawn};

/// The host calls this in the processes that this program spawns.
#[unsafe(export_name = "lunatic:process/entry@0.1.0#run")]
unsafe extern "C" fn run(name: *mut u8, name_len: usize, argument: *mut u8, argument_len: usize) -> u32 {
    let take = |start, len| match len {
        0 => Vec::new(),
        // SAFETY: the host has allocated the bytes for this call.
        len => unsafe { Vec::from_raw_parts(start, len, len) },
    };
    let (name, argument) = (take(name, name_len), take(argument, argument_len));
    let name = String::from_utf8(name).expect("the host passes UTF-8");
    u32::from(part(&name, &argument).is_err())
}

fn part(name: &str, argument: &[u8]) -> Result<(), ()> {
    match name {
        "succeeds" => {}
        "fails" => return Err(()),
        "exits" => end(&Reason::Error(std::str::from_utf8(argument).unwrap())),
        "panics" => panic!("on purpose"),
        "traps" => core::arch::wasm32::unreachable(),
        "waits" => _ = receive(&[], None),
        "sleeps" => _ = receive(&[u64::MAX >> 1], None),
        "serves" => serves(),
        "echoes" => echoes(),
        "fills" => fills(argument),
        "joins" | "receives" | "sends" => waits_in(name, argument),
        "is_confined" => is_confined(),
        "makes_a_channel" => {
            let channel = Channel::new(None).unwrap();
            addressed(argument)
                .0
                .send(1, &with_address(channel.address(), b""))
                .unwrap();
            receive(&[], None);
        }
        "spins" => loop {
            std::hint::black_box(argument);
        },
        "allocates" => println!("{}", std::hint::black_box(vec![1_u8; 64 << 20]).len()),
        name => panic!("there is no part {name:?}"),
    }
    Ok(())
}

/// Sends each message back to its sender, whose address it begins with.
fn echoes() {
    while let Some(Mail::Message { tag, body, .. }) = receive(&[], None) {
        let (sender, body) = addressed(&body);
        sender.send(tag + 1, body).unwrap();
    }
}

/// Sends two messages to the channel with the address in the argument.
fn fills(argument: &[u8]) {
    let channel = Channel::of_address(address_in(argument).0).unwrap();
    for text in [b"first", b"other"] {
        channel.send(text, None).unwrap();
    }
}

pub(super) fn address_in(bytes: &[u8]) -> (Address, &[u8]) {
    let (id, rest) = bytes.split_first_chunk().expect("an address");
    let (key, rest) = rest.split_first_chunk().expect("an address");
    ((u64::from_le_bytes(*id), u64::from_le_bytes(*key)), rest)
}

pub(super) fn addressed(body: &[u8]) -> (Process, &[u8]) {
    let (address, rest) = address_in(body);
    (Process::of_address(address).expect("a valid address"), rest)
}

pub(super) fn with_address((id, key): Address, body: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes(), &key.to_le_bytes(), body].concat()
}

/// Tells the process with the address in the argument that it is about to wait, and waits in this way.
fn waits_in(name: &str, argument: &[u8]) {
    let (parent, _) = addressed(argument);
    let channel = Channel::new(Some(1)).unwrap();
    parent.send(1, b"").unwrap();
    match name {
        "joins" => _ = parent.join(None),
        "receives" => _ = channel.receive(None),
        _ => {
            channel.send(b"there is room for one", None).unwrap();
            channel.send(b"and for no other", None).unwrap();
        }
    }
    unreachable!("the wait does not end");
}

fn is_confined() {
    let arguments: Vec<_> = std::env::args().collect();
    assert_eq!(arguments, ["confined", "x"]);
    assert_eq!(std::fs::read_to_string("/mine/given").unwrap(), "given");
    assert!(std::fs::read("/data/given").is_err());
    assert!(std::fs::write("/mine/other", "").is_err());
    assert!(matches!(
        spawn("waits", b"", &Options::default()),
        Err(Refusal::Denied(_))
    ));
}
