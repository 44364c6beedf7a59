//! A core module that compiles a component, spawns it, and exchanges messages with it. The arguments are those of the
//! component, which it inherits.

use lunatic_sys::codes::{IN_PLACE_LEN_MAX, NO_TIMEOUT, OK, exit};
use lunatic_sys::layout::{Header, RawHandle, SpawnOptions, Spawned};
use lunatic_sys::{buffer, mailbox, module, process, registry};

// SAFETY of all calls below: each pointer is that of a value that lives during the call, with its length.

fn main() {
    let file = std::fs::read("/data/component.wasm").unwrap();
    let mut compiled = RawHandle::default();
    // SAFETY: as above.
    assert_eq!(unsafe { module::compile(file.as_ptr(), file.len(), &mut compiled) }, OK);
    let scenario = std::env::args().nth(1).unwrap();
    let config: &[u8] = match &*scenario {
        "without_rights" => b"inherit\0deny=spawn\0deny=names\0",
        _ => b"",
    };
    register("parent");
    let options = SpawnOptions {
        config: config.as_ptr().expose_provenance() as u64,
        config_len: config.len() as u32,
        ..SpawnOptions::default()
    };
    let mut spawned = Spawned::default();
    let entry = "_start";
    // SAFETY: as above.
    let result = unsafe {
        module::spawn_export(
            compiled.id,
            compiled.key,
            entry.as_ptr(),
            entry.len(),
            &options,
            &mut spawned,
        )
    };
    assert_eq!(result, OK);
    if scenario == "answers" {
        talk(spawned.process);
    }
    let RawHandle { id, key } = spawned.process;
    // SAFETY: as above.
    assert_eq!(unsafe { process::join(id, key, NO_TIMEOUT) }, exit::NORMAL);
}

fn register(name: &str) {
    let mut this = RawHandle::default();
    // SAFETY: as above.
    unsafe {
        process::this(&mut this);
        assert_eq!(registry::register(name.as_ptr(), name.len(), this.id, this.key), OK);
    }
}

fn talk(child: RawHandle) {
    assert_eq!(receive(), (7, bytes(child)));
    let mut this = RawHandle::default();
    // SAFETY: as above.
    unsafe { process::this(&mut this) };
    for len in [5, 1000, 100_000, (3 << 19) + 1] {
        let text: Vec<u8> = (0..len).map(|at| (at % 253) as u8).collect();
        send(child, len as u64, &[bytes(this), text.clone()].concat());
        let (tag, body) = receive();
        assert!(tag == len as u64 + 1 && body == text, "{len}");
    }
    send(child, 0, &bytes(this));
    println!("done");
}

fn bytes(handle: RawHandle) -> Vec<u8> {
    [handle.id.to_le_bytes(), handle.key.to_le_bytes()].concat()
}

fn send(to: RawHandle, tag: u64, body: &[u8]) {
    // SAFETY: as above.
    unsafe {
        if body.len() > IN_PLACE_LEN_MAX {
            assert_eq!(buffer::put(body.as_ptr(), body.len()), OK);
        }
        assert_eq!(mailbox::send(to.id, to.key, tag, body.as_ptr(), body.len()), OK);
    }
}

/// The tag and the body of the next message.
fn receive() -> (u64, Vec<u8>) {
    let mut header = Header::default();
    // SAFETY: as above.
    unsafe {
        let len = mailbox::receive(std::ptr::null(), 0, &mut header, std::ptr::null_mut(), 0, NO_TIMEOUT);
        let mut body = vec![0; usize::try_from(len).unwrap()];
        if !body.is_empty() {
            buffer::take(body.as_mut_ptr(), body.len());
        }
        (header.tag, body)
    }
}
