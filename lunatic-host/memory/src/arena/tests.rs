use super::*;
use crate::testing::{kernel_maps, kernel_version, page_table_bytes, resident_bytes, run_alone};

const PAGE: usize = 4096;

fn arena(options: ArenaOptions) -> Arc<Arena> {
    Arena::new(options).unwrap()
}

/// Writes one byte to the slot, and reads it again.
fn touch(slot: &Slot, at: usize) {
    assert!(at < slot.len());
    // SAFETY: `at` lies within an open slot that the caller holds.
    unsafe {
        slot.base().add(at).write(7);
        assert_eq!(slot.base().add(at).read(), 7);
    }
}

fn first_byte(slot: &Slot) -> u8 {
    // SAFETY: the slot is open, and held by the caller.
    unsafe { slot.base().read() }
}

#[test]
fn the_slot_given_back_last_is_taken_first() {
    let arena = arena(ArenaOptions {
        slots_max: 3,
        ..ArenaOptions::default()
    });
    let [a, b, c] = [(); 3].map(|()| arena.take().unwrap());
    assert_eq!([a.id(), b.id(), c.id()], [SlotId(0), SlotId(1), SlotId(2)]);
    assert!(matches!(arena.take(), Err(ArenaError::Full { slots_max: 3, .. })));
    assert_eq!((arena.taken(), arena.left()), (3, 0));
    let bases = (a.base(), b.base());
    drop(a);
    drop(b);
    let (b, a) = (arena.take().unwrap(), arena.take().unwrap());
    assert_eq!((a.base(), b.base()), bases);
    assert_eq!((a.id(), b.id()), (SlotId(0), SlotId(1)));
}

#[test]
fn slots_do_not_overlap_across_chunks() {
    // Chunks of 2, 4, 8, 16, 32, 32, ... slots.
    let arena = arena(ArenaOptions {
        slot_size: 3 * PAGE,
        chunk_size: 6 * PAGE,
        ..ArenaOptions::default()
    });
    let mut slots: Vec<Slot> = (0..100).map(|_| arena.take().unwrap()).collect();
    assert_eq!(arena.chunks(), 7);
    for slot in &slots {
        let start = slot.base().as_ptr() as usize;
        touch(slot, 0);
        touch(slot, slot.len() - 1);
        for address in [start, start + slot.len() - 1] {
            assert_eq!(arena.slot_at(address), Some(start..start + slot.len()));
        }
    }
    assert_eq!(arena.slot_at(&raw const arena as usize), None);
    slots.sort_by_key(|slot| slot.base());
    assert!(
        slots
            .windows(2)
            .all(|pair| pair[0].base().as_ptr().wrapping_add(3 * PAGE) <= pair[1].base().as_ptr())
    );
}

#[test]
fn an_address_of_a_slot_never_taken_is_in_no_slot() {
    let arena = arena(ArenaOptions::default());
    let slot = arena.take().unwrap();
    assert_eq!(arena.slot_at(slot.base().as_ptr() as usize + slot.len()), None);
}

#[test]
fn a_warm_slot_keeps_its_bytes_and_goes_first() {
    let arena = arena(ArenaOptions {
        warm_max: 1,
        ..ArenaOptions::default()
    });
    let [mut a, mut b, c] = [(); 3].map(|()| arena.take().unwrap());
    for slot in [&a, &b] {
        touch(slot, 0);
    }
    a.set_note(5);
    assert!(a.keep_warm());
    assert!(!b.keep_warm(), "one warm slot is enough");
    b.release(0..b.len());
    let ids = (a.id(), c.id(), b.id());
    drop(a);
    drop(b);
    drop(c);
    let a = arena.take().unwrap();
    assert_eq!((a.id(), a.note(), a.was_warm()), (ids.0, 5, true));
    assert_eq!(first_byte(&a), 7);
    let [c, mut b] = [(); 2].map(|()| arena.take().unwrap());
    assert_eq!((c.id(), b.id(), b.was_warm()), (ids.1, ids.2, false));
    assert_eq!(first_byte(&b), 0);
    assert!(b.keep_warm(), "the warm slot was taken, so there is room again");
}

#[test]
fn ten_thousand_slots_use_few_maps_and_give_their_memory_back() {
    run_alone("arena::tests::alone_ten_thousand_slots");
}

#[test]
#[ignore = "runs in a process of its own: counts maps and memory"]
fn alone_ten_thousand_slots() {
    let arena = arena(ArenaOptions {
        slot_size: 128 << 10,
        ..ArenaOptions::default()
    });
    let (maps, resident) = (kernel_maps(), resident_bytes());
    let mut slots: Vec<Slot> = (0..10_000).map(|_| arena.take().unwrap()).collect();
    for slot in &slots {
        touch(slot, 0);
        touch(slot, slot.len() / 2);
    }
    assert!(
        kernel_maps() < maps + 10,
        "{} maps before, {} with 10,000 slots",
        maps,
        kernel_maps()
    );
    let full = resident_bytes();
    assert!(full > resident + 10_000 * 2 * PAGE);
    for slot in &mut slots {
        slot.release(0..slot.len());
    }
    drop(slots);
    let left = resident_bytes();
    assert!(
        left < resident + (4 << 20),
        "{resident} before, {full} full, {left} after"
    );
    let tables = page_table_bytes();
    arena.trim();
    if kernel_version() >= (6, 14) && cfg!(target_arch = "x86_64") {
        let left = page_table_bytes();
        assert!(left < tables - (2 << 20), "{tables} before trimming, {left} after");
    }
}

/// Whoever takes a slot finds it empty, also one that waited to be released; and few wait.
#[test]
fn slots_are_released_together_before_anybody_takes_them() {
    let arena = arena(ArenaOptions::default());
    for number in [1, 31, 32, 33, 100] {
        let mut slots: Vec<Slot> = (0..number).map(|_| arena.take().unwrap()).collect();
        for slot in &mut slots {
            assert_eq!((first_byte(slot), slot.was_warm()), (0, false));
            touch(slot, 0);
            slot.release_at_end(0..slot.len());
        }
        drop(slots);
        assert_eq!(arena.state.lock().unreleased.len(), number % 32);
    }
    assert_eq!(arena.state.lock().used, 100, "all are taken again");
}

#[test]
fn trimming_empties_free_slots_only() {
    let arena = arena(ArenaOptions {
        slot_size: 2 * PAGE,
        chunk_size: 8 * PAGE,
        warm_max: 9,
        ..Default::default()
    });
    let mut slots: Vec<Slot> = (0..20).map(|_| arena.take().unwrap()).collect();
    for slot in &mut slots {
        touch(slot, 0);
        slot.set_note(5);
    }
    let kept: Vec<Slot> = slots.extract_if(.., |slot| slot.id().0 % 5 == 2).collect();
    for mut slot in slots {
        if !slot.keep_warm() {
            slot.release(0..PAGE);
        }
    }
    arena.trim();
    for slot in &kept {
        assert_eq!((slot.note(), first_byte(slot)), (5, 7));
    }
    let again: Vec<Slot> = (0..17).map(|_| arena.take().unwrap()).collect();
    let ids: Vec<u32> = again.iter().map(|slot| slot.id().0).collect();
    assert_eq!(
        ids,
        [0, 1, 3, 4, 5, 6, 8, 9, 10, 11, 13, 14, 15, 16, 18, 19, 20],
        "from the first on"
    );
    for slot in &again {
        assert_eq!((slot.note(), slot.was_warm(), first_byte(slot)), (0, false, 0));
        touch(slot, slot.len() - 1);
    }
}

#[test]
fn slots_can_be_taken_while_the_arena_is_trimmed() {
    let arena = arena(ArenaOptions {
        slot_size: PAGE,
        warm_max: 8,
        ..ArenaOptions::default()
    });
    std::thread::scope(|scope| {
        for thread in 1..4u8 {
            let arena = &arena;
            scope.spawn(move || {
                for round in 0..2000 {
                    let mut slots: Vec<Slot> = (0..round % 20).map(|_| arena.take().unwrap()).collect();
                    for slot in &slots {
                        // SAFETY: the slot is open and held.
                        unsafe { slot.base().write(thread) };
                    }
                    for slot in &mut slots {
                        assert_eq!(first_byte(slot), thread, "a slot belongs to one thread");
                        if !slot.keep_warm() {
                            slot.release(0..PAGE);
                        }
                    }
                }
            });
        }
        for _ in 0..200 {
            arena.trim();
        }
    });
    assert_eq!(arena.taken(), 0);
    arena.trim();
    let slots: Vec<Slot> = (0..60).map(|_| arena.take().unwrap()).collect();
    assert!(
        slots
            .iter()
            .enumerate()
            .all(|(n, slot)| slot.id() == SlotId(n as u32) && !slot.was_warm())
    );
}

#[test]
fn a_limit_on_address_space_is_an_error_and_not_an_abort() {
    run_alone("arena::tests::alone_little_address_space");
}

#[test]
#[ignore = "runs in a process of its own: limits its address space"]
fn alone_little_address_space() {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let used = statm.split(' ').next().unwrap().parse::<u64>().unwrap() * PAGE as u64;
    let limit = libc::rlimit {
        rlim_cur: used + (512 << 20),
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: `limit` is valid for reading for the time of the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    let small = arena(ArenaOptions {
        name: "small",
        slot_size: 1 << 20,
        ..ArenaOptions::default()
    });
    let mut slots = vec![];
    let error = loop {
        match small.take() {
            Ok(slot) => slots.push(slot),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, ArenaError::AddressSpace { name: "small", .. }),
        "{error}"
    );
    assert!(
        (100..512).contains(&slots.len()),
        "{} slots of 1 MiB in 512 MiB",
        slots.len()
    );
    touch(&slots[slots.len() - 1], 0);
    let large = arena(ArenaOptions {
        name: "large",
        slot_size: 4 << 30,
        ..ArenaOptions::default()
    });
    assert_eq!(
        large.take().unwrap_err().to_string(),
        "no address space for large (4294967296 bytes): raise `ulimit -v`, or lower vm.overcommit_memory from 2"
    );
    // What is left is enough for the rest of the program.
    assert_eq!(vec![1u8; 256 << 10].len(), 256 << 10);
}

#[test]
fn a_slot_of_impossible_size_is_an_error() {
    let options = ArenaOptions {
        slot_size: usize::MAX - 5,
        ..ArenaOptions::default()
    };
    assert!(matches!(Arena::new(options), Err(ArenaError::AddressSpace { .. })));
}
