//! What is checked, by random scripts from fixed seeds.

use std::sync::Arc;

use crate::arena::{Arena, ArenaOptions, Slot};
use crate::os::page_size;
use crate::residency::Pages;

/// Steps of one script: Miri takes a thousand times as long.
const STEPS: usize = if cfg!(miri) { 60 } else { 20_000 };
const PAGES: usize = 3;

/// Numbers that look random, the same ones from the same seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

fn arena() -> Arc<Arena> {
    let options = ArenaOptions {
        name: "slots",
        slot_size: PAGES * page_size(),
        warm_max: 2,
        chunk_size: 4 * PAGES * page_size(),
        ..ArenaOptions::default()
    };
    Arena::new(options).expect("three pages are a possible slot")
}

fn pages(slot: &mut Slot) -> Pages<'_> {
    // SAFETY: the slot is open, whole pages, and borrowed for as long.
    unsafe { Pages::from_raw(slot.base(), slot.len()) }
}

/// A few bytes of each page, in which one user can be told from another.
fn sign(slot: &mut Slot, mark: u8) {
    pages(slot)
        .bytes_mut()
        .chunks_mut(page_size() / 2)
        .for_each(|part| part[7] = mark);
}

fn signed(slot: &mut Slot, mark: u8) -> bool {
    pages(slot).bytes().chunks(page_size() / 2).all(|part| part[7] == mark)
}

/// Takes, gives back and trims in random order. No two slots share a byte, and a slot that was not kept warm is zero.
fn slots_come_and_go(arena: &Arc<Arena>, seed: u64) {
    let mut random = Random(seed);
    let mut held: Vec<(Slot, u8)> = Vec::new();
    for step in 0..STEPS {
        match random.below(8) {
            0..4 if held.len() < 12 => {
                let mut slot = arena.take().expect("there is no limit");
                assert!(slot.was_warm() || signed(&mut slot, 0), "an empty slot is zero");
                let mark = step as u8 | 1;
                sign(&mut slot, mark);
                held.push((slot, mark));
            }
            7 => arena.trim(),
            _ if !held.is_empty() => {
                let number = random.below(held.len());
                give_back(held.swap_remove(number));
            }
            _ => {}
        }
    }
    held.into_iter().for_each(give_back);
}

fn give_back((mut slot, mark): (Slot, u8)) {
    assert!(signed(&mut slot, mark), "nobody else wrote to it");
    if slot.keep_warm() {
        return;
    }
    if mark.is_multiple_of(3) {
        pages(&mut slot).release();
    } else {
        slot.release_at_end(0..PAGES * page_size());
    }
}

pub fn slots_are_of_one_user_each() {
    for seed in 1..4 {
        let arena = arena();
        slots_come_and_go(&arena, seed);
        assert_eq!(arena.taken(), 0);
    }
}

pub fn slots_are_of_one_thread_each() {
    let arena = arena();
    std::thread::scope(|scope| {
        for seed in 1..3 {
            let arena = &arena;
            scope.spawn(move || slots_come_and_go(arena, seed));
        }
    });
    assert_eq!(arena.taken(), 0);
}

/// Memory that was changed at random is packed, given back, and the same again.
pub fn what_was_packed_is_there_again() {
    let arena = arena();
    let mut random = Random(9);
    let image = vec![5_u8; page_size() - 24];
    let of_page = |page: u32| (page == 1).then_some(&image[..]);
    for _ in 0..STEPS.div_ceil(20) {
        let mut slot = arena.take().expect("there is no limit");
        let mut pages = pages(&mut slot);
        pages.bytes_mut()[page_size()..][..image.len()].copy_from_slice(&image);
        for _ in 0..random.below(30) {
            let at = random.below(pages.bytes().len());
            let end = (at + random.below(40)).min(pages.bytes().len());
            let value = random.below(3) as u8;
            pages.bytes_mut()[at..end].fill(value);
        }
        let before = pages.bytes().to_vec();
        let runs = pages.diff(of_page);
        pages.release();
        assert!(pages.bytes().iter().all(|byte| *byte == 0));
        pages.restore(&runs, of_page);
        assert!(pages.bytes() == before, "it is what it was");
        pages.release();
    }
}
