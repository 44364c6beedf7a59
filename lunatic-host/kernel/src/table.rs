//! A table of values that any thread can find by [`Id`].
//!
//! A value that is put into a slot gets the slot's next *use*. A slot is used 2²⁶ times; then it is retired: it stays
//! empty, and another is made in its place. So no id is ever given out twice, however long a program runs.
//!
//! Slots are in chunks that are never moved or freed, so a lookup takes only the slot's own lock. Free slots wait in
//! one list per worker; a worker whose list is empty takes half of another's before it makes new slots. So the table
//! grows no larger than the largest number of values that ever existed at a time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::address::{Id, SLOT_BITS, USE_BITS};
use crate::latch::{Held, Latch};

/// The number of free lists. Further workers share.
const LISTS: usize = 32;
/// How many new slots a list takes at a time.
const BATCH: u32 = 64;
/// The size of the first chunk; each further chunk has as many slots as all before it together.
const FIRST_CHUNK: u32 = 1024;
const CHUNKS: usize = (SLOT_BITS - FIRST_CHUNK.trailing_zeros() + 1) as usize;

/// The number of a slot's last use.
const USE_LAST: u32 = (1 << USE_BITS) - 1;

/// The table has reached its largest number of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Values by id, for any number of threads.
pub struct Table<T> {
    chunks: [OnceLock<Chunk<T>>; CHUNKS],
    free: [Padded<Mutex<Vec<u32>>>; LISTS],
    /// The lowest index that was never used. Index 0 stays unused.
    fresh: AtomicU32,
    /// The number of slots that have had their last use.
    retired: AtomicU32,
    len_max: u32,
    /// The number of each slot's first use: 0, except in tests of the last use.
    first_use: u32,
}

type Chunk<T> = Box<[Latch<Slot<T>>]>;

/// Keeps lists of different workers out of each other's cache lines.
#[repr(align(128))]
#[derive(Default)]
struct Padded<T>(T);

struct Slot<T> {
    /// The number of its current use, or of the next one if it is empty.
    number: u32,
    value: Option<T>,
}

impl<T> Table<T> {
    /// Returns an empty table for at most `len_max` values at a time (rounded up to the next batch of 64).
    pub fn new(len_max: u32) -> Self {
        Self {
            chunks: [const { OnceLock::new() }; CHUNKS],
            free: std::array::from_fn(|_| Padded::default()),
            fresh: AtomicU32::new(1),
            retired: AtomicU32::new(0),
            len_max,
            first_use: 0,
        }
    }

    /// Puts a value into a free slot. `list` is the caller's worker number; any number will do.
    pub fn insert(&self, list: usize, make: impl FnOnce(Id) -> T) -> Result<Id, Full> {
        let index = self.take_free(list % LISTS)?;
        let mut slot = self.slot(index).expect("a free index has a slot").lock();
        let id = Id::new(index, slot.number);
        slot.value = Some(make(id));
        Ok(id)
    }

    /// Empties the slot of `id` and returns its value; `None` if it had already been removed.
    pub fn remove(&self, list: usize, id: Id) -> Option<T> {
        self.remove_if(list, id, |_| true)
    }

    /// Like [`remove`](Self::remove), if `condition` holds, which is checked under the lock of the slot.
    pub fn remove_if(&self, list: usize, id: Id, condition: impl FnOnce(&T) -> bool) -> Option<T> {
        let (value, is_used_up) = {
            let mut slot = self.locked(id)?;
            let value = slot.value.take_if(|value| condition(value))?;
            let is_used_up = slot.number == USE_LAST;
            slot.number = (slot.number + 1).min(USE_LAST);
            (value, is_used_up)
        };
        if is_used_up {
            // It is in no list, so it is never reused; and it is empty, so it is never found by an id.
            self.retired.fetch_add(1, Ordering::Relaxed);
        } else {
            self.free[list % LISTS].0.lock().push(id.slot());
        }
        Some(value)
    }

    /// Returns the value of `id`, locked; `None` if it was removed.
    pub fn get(&self, id: Id) -> Option<Entry<'_, T>> {
        let slot = self.locked(id)?;
        slot.value.is_some().then_some(Entry(slot))
    }

    /// The slot of `id`, locked, if this is its current use.
    fn locked(&self, id: Id) -> Option<Held<'_, Slot<T>>> {
        if !id.is_here() {
            return None;
        }
        let slot = self.slot(id.slot())?.lock();
        (slot.number == id.number()).then_some(slot)
    }

    /// Calls `visit` for each value; values that are added or removed meanwhile may be missed.
    pub fn for_each(&self, visit: impl FnMut(Id, &mut T)) {
        self.for_each_in(1..self.end(), visit);
    }

    /// Returns the index after the last slot.
    pub fn end(&self) -> u32 {
        self.fresh.load(Ordering::Acquire)
    }

    /// Calls `visit` for each value in these slots.
    pub fn for_each_in(&self, slots: std::ops::Range<u32>, mut visit: impl FnMut(Id, &mut T)) {
        for index in slots.start..slots.end.min(self.end()) {
            let Some(slot) = self.slot(index) else { continue };
            let mut slot = slot.lock();
            let id = Id::new(index, slot.number);
            if let Some(value) = &mut slot.value {
                visit(id, value);
            }
        }
    }

    fn take_free(&self, list: usize) -> Result<u32, Full> {
        if let Some(index) = self.free[list].0.lock().pop() {
            return Ok(index);
        }
        for other in (1..LISTS).map(|step| (list + step) % LISTS) {
            let mut half = {
                let mut theirs = self.free[other].0.lock();
                let keep = theirs.len() / 2;
                theirs.split_off(keep)
            };
            if let Some(index) = half.pop() {
                self.free[list].0.lock().append(&mut half);
                return Ok(index);
            }
        }
        self.make_slots(list)
    }

    fn make_slots(&self, list: usize) -> Result<u32, Full> {
        let len_max = self.len_max.saturating_add(self.retired.load(Ordering::Relaxed));
        let grow = |first: u32| (first <= len_max && first + BATCH <= 1 << SLOT_BITS).then(|| first + BATCH);
        let first = self
            .fresh
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, grow)
            .map_err(|_| Full)?;
        // The batch may begin in one chunk and end in the next.
        for index in [first, first + BATCH - 1] {
            let (chunk, _, len) = place(index);
            self.chunks[chunk].get_or_init(|| {
                (0..len)
                    .map(|_| {
                        Latch::new(Slot {
                            number: self.first_use,
                            value: None,
                        })
                    })
                    .collect()
            });
        }
        self.free[list].0.lock().extend((first + 1..first + BATCH).rev());
        Ok(first)
    }

    fn slot(&self, index: u32) -> Option<&Latch<Slot<T>>> {
        let (chunk, offset, _) = place(index);
        self.chunks.get(chunk)?.get()?.get(offset)
    }
}

/// The location of an index: its chunk, its place in the chunk, and the chunk's length.
fn place(index: u32) -> (usize, usize, usize) {
    if index < FIRST_CHUNK {
        return (0, index as usize, FIRST_CHUNK as usize);
    }
    let len = 1 << (u32::BITS - 1 - index.leading_zeros());
    let chunk = (len / FIRST_CHUNK).trailing_zeros() + 1;
    (chunk as usize, (index - len) as usize, len as usize)
}

/// A locked value of a table.
pub struct Entry<'a, T>(Held<'a, Slot<T>>);

impl<T> std::ops::Deref for Entry<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.value.as_ref().expect("an entry has a value")
    }
}

impl<T> std::ops::DerefMut for Entry<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.value.as_mut().expect("an entry has a value")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_a_place_of_its_own() {
        let mut last = (0, usize::MAX);
        for index in 0..FIRST_CHUNK * 16 {
            let (chunk, offset, len) = place(index);
            assert!(offset < len);
            let next = if (chunk, offset) == (last.0, last.1.wrapping_add(1)) {
                true
            } else {
                offset == 0 && chunk == last.0 + 1
            };
            assert!(next, "{index}: {chunk} {offset} after {last:?}");
            last = (chunk, offset);
        }
        assert!(place(u32::MAX).0 >= CHUNKS);
    }

    #[test]
    fn a_removed_value_is_never_found_again() {
        let table = Table::new(1000);
        let first = table.insert(0, |_| "first").unwrap();
        assert_eq!(table.remove(0, first), Some("first"));
        assert_eq!(table.remove(0, first), None);
        let second = table.insert(0, |_| "second").unwrap();
        assert_eq!((first.slot(), first.number() + 1), (second.slot(), second.number()));
        assert!(table.get(first).is_none());
        assert_eq!(*table.get(second).unwrap(), "second");
    }

    #[test]
    fn a_full_table_refuses_and_recovers() {
        let table = Table::new(100);
        let ids: Vec<_> = std::iter::from_fn(|| table.insert(0, |_| ()).ok()).collect();
        assert!((100..=100 + BATCH as usize).contains(&ids.len()), "{}", ids.len());
        assert_eq!(table.insert(1, |_| ()), Err(Full));
        table.remove(5, ids[7]);
        assert!(
            table.insert(1, |_| ()).is_ok(),
            "slots that another list holds are found"
        );
    }

    /// A table whose slots have a given number of uses left.
    fn nearly_used_up<T>(len_max: u32, uses: u32) -> Table<T> {
        Table {
            first_use: USE_LAST + 1 - uses,
            ..Table::new(len_max)
        }
    }

    #[test]
    fn no_id_is_given_out_twice_though_slots_are_used_up() {
        const USES: u32 = 3;
        let table = nearly_used_up(8, USES);
        let mut ids = std::collections::HashSet::new();
        let mut kept = table.insert(0, |_| 0).unwrap();
        assert!(ids.insert(kept));
        for round in 1..10_000 {
            let id = table.insert(0, |_| round).unwrap();
            assert!(ids.insert(id), "{id} was given out before");
            // The one that stays is not always of the same age.
            let goes = if round % 3 == 0 {
                std::mem::replace(&mut kept, id)
            } else {
                id
            };
            assert!(table.remove(0, goes).is_some());
            assert!(table.get(goes).is_none() && table.remove(0, goes).is_none());
        }
        let retired = table.retired.load(Ordering::Relaxed);
        assert!(retired >= 10_000 / USES - BATCH, "{retired} slots are retired");
        assert!(ids.iter().all(|id| *id == kept || table.get(*id).is_none()));
    }

    #[test]
    fn retired_slots_take_no_room_from_others() {
        let table = nearly_used_up(BATCH, 1);
        for _ in 0..1000 {
            let id = table.insert(0, |_| ()).unwrap();
            table.remove(0, id);
        }
        let alive = std::iter::from_fn(|| table.insert(0, |_| ()).ok()).count();
        assert!((BATCH as usize..=3 * BATCH as usize).contains(&alive), "{alive}");
    }

    #[test]
    fn what_lives_elsewhere_is_not_found_here() {
        let table = Table::new(10);
        let id = table.insert(0, |_| ()).unwrap();
        let elsewhere = id.on(crate::address::Peer::new(1).unwrap());
        assert!(table.get(elsewhere).is_none() && table.remove(0, elsewhere).is_none());
        assert!(table.get(id).is_some());
    }

    #[test]
    fn the_table_grows_no_further_than_needed_when_one_worker_inserts_and_another_removes() {
        let table = Table::new(u32::MAX);
        for _ in 0..100_000 {
            let id = table.insert(0, |_| ()).unwrap();
            table.remove(1, id);
        }
        assert!(table.fresh.load(Ordering::Relaxed) <= 1 + 2 * BATCH);
    }

    #[test]
    fn threads_never_share_a_slot() {
        let table = Table::new(u32::MAX);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let table = &table;
                scope.spawn(move || {
                    for round in 0..2_000 {
                        let mine: Vec<_> = (0..8)
                            .map(|k| (table.insert(thread, |_| (thread, round, k)).unwrap(), k))
                            .collect();
                        for (id, k) in mine {
                            assert_eq!(*table.get(id).unwrap(), (thread, round, k));
                            assert_eq!(table.remove(thread + 1, id), Some((thread, round, k)));
                        }
                    }
                });
            }
        });
    }
}
