//! Dumps are what they say, for us and for other readers, and a broken one harms nobody.

use proptest::prelude::*;
use wasmparser::{KnownCustom, Parser, Payload};

use super::*;

fn about() -> About {
    About {
        process: "#17".into(),
        names: vec!["a\u{1b}[31m".into()],
        report: "process #17 panicked: \u{1b}]52;c;AAAA\u{7}\n    again\n".into(),
        mailbox: vec![Entry {
            kind: "message".into(),
            tag: "0000000000000007".into(),
            len: 5,
            start: "68656c6c6f".into(),
            ..Entry::default()
        }],
        mailbox_len: 3,
        memory_bytes: 2 << 16,
        ..About::default()
    }
}

fn dump(bytes: &[u8], room: u64) -> Vec<u8> {
    let frames = [(7, 0x21), (3, 0)].map(|(function, offset)| CodePlace { function, offset });
    let core = Written {
        module: "shop.wasm",
        frames: &frames,
        globals: &[Value::I32(-1), Value::F64(0x7ff8_0000_0000_0001)],
        memory: Some(Memory {
            bytes,
            touched: std::iter::once(0..bytes.len()).collect(),
        }),
    };
    let (mut about, mut file) = (about(), Vec::new());
    write(&core, &mut about, room, &mut file).unwrap();
    file
}

fn memory() -> Vec<u8> {
    let mut bytes = vec![0; 2 << 16];
    bytes[70_000..70_005].copy_from_slice(b"hello");
    bytes[131_071] = 9;
    bytes
}

#[test]
fn what_was_written_is_read() {
    let memory = memory();
    let file = dump(&memory, u64::MAX);
    assert!(file.len() < 3 * 4096, "{}", file.len());
    let core = Core::read(&file).unwrap();
    assert_eq!(core.about, about());
    assert_eq!(
        (core.program, core.frames.len(), core.frames[0].function),
        ("shop.wasm", 2, 7)
    );
    assert_eq!(core.globals, [Value::I32(-1), Value::F64(0x7ff8_0000_0000_0001)]);
    assert_eq!((core.memory_len, core.written()), (2 << 16, (2 * 4096, 2)));
    assert_eq!(core.bytes(0..2 << 16), Some(memory));
    assert_eq!(core.bytes(1..(2 << 16) + 1), None);
    assert_eq!(core.hex(70_000, 17).unwrap().lines().count(), 2);
    assert!(core.hex(70_000, 17).unwrap().contains("68 65 6c 6c 6f 00"));
}

#[test]
fn what_there_is_no_room_for_is_missing_and_said() {
    let file = dump(&memory(), 5000);
    let core = Core::read(&file).unwrap();
    assert_eq!((core.written().0, core.about.memory_missing), (5000, 2 * 4096 - 5000));
    assert!(core.to_string().contains("3192 had no room"), "{core}");
}

/// The validator of WebAssembly, and the readers of wasmparser for each section.
#[test]
fn other_readers_take_it() {
    let file = dump(&memory(), u64::MAX);
    wasmparser::validate(&file).expect("it is a valid module");
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(&file) {
        let Payload::CustomSection(section) = payload.unwrap() else {
            continue;
        };
        match section.as_known() {
            KnownCustom::CoreDump(core) => found.push(core.name.to_owned()),
            KnownCustom::CoreDumpStack(stack) => {
                assert_eq!((stack.name, stack.frames[0].codeoffset), ("#17", 0x21));
                found.push("stack".into());
            }
            KnownCustom::CoreDumpModules(modules) => found.push(modules.modules.join(" ")),
            KnownCustom::CoreDumpInstances(instances) => {
                let instance = &instances.instances[0];
                assert_eq!((&*instance.memories, &*instance.globals), (&[0][..], &[0, 1][..]));
                found.push("instances".into());
            }
            _ => found.push(section.name().to_owned()),
        }
    }
    assert_eq!(found, ["shop.wasm", SECTION, "stack", "shop.wasm", "instances"]);
}

#[test]
fn what_is_no_dump_is_said_to_be_none() {
    let module = wat::parse_str("(module (memory 1))").unwrap();
    assert_eq!(Core::read(&module).unwrap_err(), ReadError::NoDump);
    for bytes in [&b""[..], b"MZ", b"\0asm", b"\0asm\x02\0\0\0"] {
        assert!(matches!(Core::read(bytes), Err(ReadError::NoModule(_))), "{bytes:?}");
    }
}

/// A terminal obeys nothing of what a guest has put into a dump.
fn is_harmless(core: &Core<'_>) -> bool {
    !core
        .to_string()
        .contains(|c: char| c != '\n' && c != '\t' && c.is_control())
}

#[test]
fn a_terminal_obeys_nothing_of_a_dump() {
    let file = dump(&memory(), u64::MAX);
    let core = Core::read(&file).unwrap();
    assert!(is_harmless(&core), "{core}");
    assert!(
        core.to_string()
            .contains("message, tag 0000000000000007, 5 bytes: 68656c6c6f  hello")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any change of any bytes, and any end.
    #[test]
    fn a_broken_dump_is_refused_or_shown(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        end in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut file = dump(&memory(), 6000);
        // Most of it is data of the memory, which is not interesting.
        let interesting = file.len() - 5500;
        for (at, byte) in changes {
            file[at.index(interesting)] = byte;
        }
        if is_cut {
            file.truncate(end.index(file.len()));
        }
        if let Ok(core) = Core::read(&file) {
            prop_assert!(is_harmless(&core));
            let _ = (core.hex(0, 64), core.hex(u64::MAX - 3, 64), serde_json::to_string(&core.to_json()).unwrap());
        }
    }
}
