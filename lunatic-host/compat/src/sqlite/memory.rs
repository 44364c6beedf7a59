//! The memory of SQLite: each allocation is charged to the process for which it was made.
//!
//! SQLite's own limit applies to all guests together, so one of them could use it up. Here SQLite gets its memory from
//! functions that charge the account of the process for which the thread works: [`Account::enter`] sets it. Allocations
//! of a thread that works for nobody are charged to nobody.
//!
//! An account is charged to the budget of its process, as linear memory is, and to the [shares](lunatic_kernel::shares)
//! of everything that guests may hold, [`MEMORY_MAX`], in units of [`UNIT`] bytes. If either refuses, SQLite is out of
//! memory: the statement fails, and nothing else.
//!
//! A head in front of each allocation names its account, because SQLite may free it later, on a thread that works for
//! another process.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{null, null_mut};
use std::sync::{Arc, LazyLock};

use libsqlite3_sys as sqlite;
use lunatic_kernel::budget::{Budget, Resource};
use lunatic_kernel::shares::{Group, Shares};
use parking_lot::Mutex;

use super::pace::is_spent;

/// How much of the machine's memory SQLite may hold for all guests together, in bytes.
pub(super) const MEMORY_MAX: u64 = 1 << 30;

/// The unit in which accounts are charged, in bytes.
const UNIT: u64 = 64 << 10;

/// In units. If both this and an account are locked, the account is locked first.
static SHARES: LazyLock<Mutex<Shares>> = LazyLock::new(|| Mutex::new(Shares::new(MEMORY_MAX / UNIT)));

/// What SQLite holds for one process.
#[derive(Debug)]
pub(crate) struct Account {
    group: Arc<Group>,
    budget: Option<Arc<Budget>>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: u64,
    /// The units that are charged; never fewer than the bytes need.
    units: u64,
}

impl Account {
    pub(crate) fn new(group: Arc<Group>, budget: Option<Arc<Budget>>) -> Arc<Self> {
        Arc::new(Self {
            group,
            budget,
            held: Mutex::default(),
        })
    }

    /// While the result lives, SQLite's memory for this thread is charged to this account.
    pub(super) fn enter(&self) -> Charged<'_> {
        Charged {
            former: CURRENT.replace(self),
            account: PhantomData,
        }
    }

    /// Charges bytes. False if the process may not have them.
    fn take(&self, bytes: u64) -> bool {
        let mut held = self.held.lock();
        let missing = (held.bytes + bytes).div_ceil(UNIT).saturating_sub(held.units);
        if missing > 0 && !self.charge(missing) {
            return false;
        }
        held.bytes += bytes;
        held.units += missing;
        true
    }

    fn charge(&self, units: u64) -> bool {
        let charge = |budget: &Arc<Budget>| budget.charge(Resource::Memory, units * UNIT).is_ok();
        if !self.budget.as_ref().is_none_or(charge) {
            return false;
        }
        let fits = SHARES.lock().take(&self.group, units);
        if !fits && let Some(budget) = &self.budget {
            budget.give_back(Resource::Memory, units * UNIT);
        }
        fits
    }

    fn give_back(&self, bytes: u64) {
        let mut held = self.held.lock();
        held.bytes -= bytes;
        let needed = held.bytes.div_ceil(UNIT);
        // Keeps one more unit: otherwise, alternating around the edge of a unit would charge each time.
        let kept = if needed == 0 { 0 } else { needed + 1 };
        let surplus = held.units.saturating_sub(kept);
        if surplus > 0 {
            held.units -= surplus;
            SHARES.lock().give_back(&self.group, surplus);
            if let Some(budget) = &self.budget {
                budget.give_back(Resource::Memory, surplus * UNIT);
            }
        }
    }
}

thread_local!(
    /// The account for which this thread works; null if it works for nobody.
    static CURRENT: Cell<*const Account> = const { Cell::new(null()) }
);

/// The result of [`Account::enter`].
pub(super) struct Charged<'a> {
    former: *const Account,
    account: PhantomData<&'a Account>,
}

impl Drop for Charged<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.former);
    }
}

/// The head in front of each allocation.
#[repr(C, align(16))]
struct Head {
    /// The account that it is charged to, or null. The allocation owns one of the account's references.
    account: *const Account,
    /// The number of bytes after the head.
    size: usize,
}

const HEAD: usize = size_of::<Head>();

/// The head of an allocation.
///
/// # Safety
///
/// `piece` was returned by [`allocate`] or [`reallocate`], and has not been freed.
unsafe fn head(piece: *mut c_void) -> *mut Head {
    // SAFETY: there is a head in front of each allocation, and the caller promises that this is one.
    unsafe { piece.byte_sub(HEAD) }.cast()
}

/// From this size on, an allocation checks the budget. So large a piece is requested by what may take long, such as a
/// function of long texts: nothing interrupts it, and this is its only check. A rollback needs no piece this large.
const LARGE: usize = 256 << 10;

/// The size of an allocation, without and with its head; `None` if the account may not have what exceeds `before`.
fn admit(account: Option<&Account>, before: usize, size: c_int) -> Option<(usize, usize)> {
    let size = usize::try_from(size).ok()?;
    if size >= LARGE && is_spent() {
        return None;
    }
    let more = size.saturating_sub(before) as u64;
    account
        .is_none_or(|account| account.take(more))
        .then_some((size, size + HEAD))
}

unsafe extern "C" fn allocate(size: c_int) -> *mut c_void {
    let account = CURRENT.get();
    // SAFETY: an account lives as long as a thread works for it, as `Charged` borrows it.
    let lent = unsafe { account.as_ref() };
    if lent.is_some_and(|account| !account.take(HEAD as u64)) {
        return null_mut();
    }
    let give_back = |bytes: usize| lent.into_iter().for_each(|account| account.give_back(bytes as u64));
    let Some((size, len)) = admit(lent, 0, size) else {
        give_back(HEAD);
        return null_mut();
    };
    // SAFETY: any size may be requested.
    let head: *mut Head = unsafe { libc::malloc(len) }.cast();
    if head.is_null() {
        give_back(len);
        return null_mut();
    }
    if !account.is_null() {
        // SAFETY: accounts are made only in an `Arc`, and this one lives, as above.
        unsafe { Arc::increment_strong_count(account) };
    }
    // SAFETY: the memory exists and has room for the head, as `malloc` aligns to 16 bytes. What follows the head is
    // also within it.
    unsafe {
        head.write(Head { account, size });
        head.add(1).cast()
    }
}

unsafe extern "C" fn free(piece: *mut c_void) {
    if piece.is_null() {
        return;
    }
    // SAFETY: SQLite frees each allocation once; the allocation's reference to the account is given back with it.
    unsafe {
        let Head { account, size } = head(piece).read();
        libc::free(head(piece).cast());
        if let Some(account) = account.as_ref() {
            account.give_back((size + HEAD) as u64);
            Arc::decrement_strong_count(account);
        }
    }
}

unsafe extern "C" fn reallocate(piece: *mut c_void, size: c_int) -> *mut c_void {
    // SAFETY: SQLite passes an allocation; its account lives at least as long, as the allocation owns a reference.
    unsafe {
        let Head { account, size: before } = head(piece).read();
        let account = account.as_ref();
        let Some((size, len)) = admit(account, before, size) else {
            return null_mut();
        };
        let moved: *mut Head = libc::realloc(head(piece).cast(), len).cast();
        if let Some(account) = account {
            let (kept, gone) = if moved.is_null() {
                (before, size)
            } else {
                (size, before)
            };
            account.give_back(gone.saturating_sub(kept) as u64);
        }
        if moved.is_null() {
            return null_mut();
        }
        (*moved).size = size;
        moved.add(1).cast()
    }
}

unsafe extern "C" fn size_of_piece(piece: *mut c_void) -> c_int {
    if piece.is_null() {
        return 0;
    }
    // SAFETY: SQLite passes an allocation.
    let size = unsafe { (*head(piece)).size };
    c_int::try_from(size).expect("it was a `c_int`")
}

unsafe extern "C" fn round_up(size: c_int) -> c_int {
    size.saturating_add(7) & !7
}

unsafe extern "C" fn begin(_: *mut c_void) -> c_int {
    sqlite::SQLITE_OK
}

unsafe extern "C" fn end(_: *mut c_void) {}

/// Makes SQLite allocate its memory here. False if SQLite is already in use, so that it cannot.
pub(super) fn install() -> bool {
    let methods = sqlite::sqlite3_mem_methods {
        xMalloc: Some(allocate),
        xFree: Some(free),
        xRealloc: Some(reallocate),
        xSize: Some(size_of_piece),
        xRoundup: Some(round_up),
        xInit: Some(begin),
        xShutdown: Some(end),
        pAppData: null_mut(),
    };
    let methods = std::ptr::from_ref(&methods);
    // SQLite's own statistics take one lock for each allocation: threads that allocate all the time would block others.
    // SAFETY: SQLite copies the structure and the number, and refuses if it was initialised before.
    unsafe {
        sqlite::sqlite3_config(sqlite::SQLITE_CONFIG_MALLOC, methods) == sqlite::SQLITE_OK
            && sqlite::sqlite3_config(sqlite::SQLITE_CONFIG_MEMSTATUS, 0 as c_int) == sqlite::SQLITE_OK
    }
}

#[cfg(test)]
mod tests {
    use lunatic_kernel::budget::Caps;
    use proptest::prelude::*;

    use super::*;

    fn budget(memory: u64) -> Arc<Budget> {
        let caps = Caps {
            memory: Some(memory),
            ..Caps::default()
        };
        Budget::outermost(caps, std::time::Instant::now())
    }

    #[test]
    fn a_piece_is_its_accounts_wherever_it_is_freed() {
        let budget = budget(1 << 20);
        let (one, other) = (
            Account::new(Group::new(), Some(budget.clone())),
            Account::new(Group::new(), None),
        );
        let entered = one.enter();
        // SAFETY: a piece is used as SQLite uses it.
        unsafe {
            let piece = allocate(200_000);
            assert_eq!(size_of_piece(piece), 200_000);
            assert!(allocate(1 << 20).is_null(), "that is more than the budget has");
            assert_eq!(one.held.lock().bytes, 200_000 + HEAD as u64);
            assert_eq!(budget.usage().memory, 4 * UNIT);
            drop(entered);
            let _entered = other.enter();
            let piece = reallocate(piece, 400_000);
            assert!(!piece.is_null() && reallocate(piece, 2 << 20).is_null());
            assert_eq!(
                (one.held.lock().bytes, other.held.lock().bytes),
                (400_000 + HEAD as u64, 0)
            );
            assert_eq!(Arc::strong_count(&one), 2);
            free(piece);
        }
        assert_eq!((one.held.lock().bytes, budget.usage().memory), (0, 0));
        assert_eq!(Arc::strong_count(&one), 1);
    }

    #[test]
    fn a_process_leaves_memory_to_others() {
        let shares = |units| SHARES.lock().take(&Group::new(), units);
        let (greedy, modest) = (Account::new(Group::new(), None), Account::new(Group::new(), None));
        assert!(greedy.take(MEMORY_MAX / 4));
        assert!(!greedy.take(MEMORY_MAX / 4 + UNIT), "more than it would leave free");
        assert!(modest.take(MEMORY_MAX / 8));
        assert!(!shares(MEMORY_MAX / UNIT));
        greedy.give_back(MEMORY_MAX / 4);
        modest.give_back(MEMORY_MAX / 8);
    }

    proptest! {
        /// Allocates, resizes and frees as SQLite might: sizes, contents and accounts are right all the time.
        #[test]
        fn what_is_held_is_what_was_not_freed(
            steps in prop::collection::vec((0_u8..3, 0_usize..8, 1_i32..300_000), 1..60),
        ) {
            let budget = budget(1 << 20);
            let account = Account::new(Group::new(), Some(budget.clone()));
            let _entered = account.enter();
            let mut pieces: Vec<(*mut c_void, i32)> = Vec::new();
            for (what, at, size) in steps {
                // SAFETY: pieces are used as SQLite uses them; the first and the last byte are inside.
                unsafe {
                    let mark = |piece: *mut c_void, size: i32| {
                        piece.cast::<u8>().write(1);
                        piece.cast::<u8>().add(size as usize - 1).write(1);
                    };
                    match what {
                        0 => {
                            let piece = allocate(size);
                            if !piece.is_null() {
                                mark(piece, size);
                                pieces.push((piece, size));
                            }
                        }
                        1 if at < pieces.len() => free(pieces.swap_remove(at).0),
                        2 if at < pieces.len() => {
                            let moved = reallocate(pieces[at].0, size);
                            if !moved.is_null() {
                                prop_assert_eq!(moved.cast::<u8>().read(), 1);
                                mark(moved, size);
                                pieces[at] = (moved, size);
                            }
                        }
                        _ => {}
                    }
                }
                let bytes: u64 = pieces.iter().map(|(_, size)| *size as u64 + HEAD as u64).sum();
                prop_assert_eq!(account.held.lock().bytes, bytes);
                let charged = budget.usage().memory;
                prop_assert!((bytes..bytes + 3 * UNIT).contains(&charged), "{} for {}", charged, bytes);
            }
            // SAFETY: each is freed once.
            pieces.into_iter().for_each(|(piece, _)| unsafe { free(piece) });
            prop_assert_eq!(budget.usage().memory, 0);
        }
    }
}
