//! A process's mailbox: entries in the order in which they arrived, and also in the order of each tag.
//!
//! A receive by tags takes the oldest among the heads of those tags' lists, so skipped entries are never examined. A
//! tag with [`REFERENCE_BIT`] is a *reference*: its list exists from its opening to its closing, and what is sent under
//! it outside of that time is dropped. It has at most [`REFERENCE_LEN_MAX`] messages, because closing it drops all of them in one step.
//!
//! An entry that wakes a waiting owner is handed to it: it has a slot and is in no list, because it will be taken next.

use std::sync::Arc;

use lunatic_sys::codes::{REFERENCE_BIT, TAGS_LEN_MAX, mail};
use lunatic_sys::trace::Context;
use smallvec::SmallVec;

use crate::address::Id;
use crate::arrivals::Moment;
use crate::budget::Exhausted;
use crate::relations::pieces::Pieces;
use crate::small_map::{FEW_MAX, SmallMap};
use crate::trace::{Trace, size_of_context};

/// The most messages under one reference: many times what an answer needs, and dropped in about a millisecond.
pub const REFERENCE_LEN_MAX: u32 = 1 << 14;

/// The tags that a receiver waits for; an empty list means any tag.
pub type Tags = SmallVec<[u64; 4]>;

/// The bytes of a message or of a reason. A short request with a return address needs no allocation.
pub type Body = SmallVec<[u8; 40]>;

/// An entry of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub kind: Kind,
    pub tag: u64,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A message from this process; [`Id::NONE`] for messages from timers and from outside of the system's processes.
    /// Only reports use the sender; other kinds need the same room, so this does not make mail larger.
    Message(Id),
    /// The same, with a trace.
    Traced(Id, Arc<Context>),
    /// An exit signal from this process; the body is its reason.
    Exit(Id),
    /// This process, monitored under this reference, has ended; the body is the reason.
    Down(Id, u64),
    /// Another version of the code is pending for the owner.
    Change,
}

impl Kind {
    /// Returns the number that guests know.
    pub fn number(&self) -> u32 {
        match self {
            Self::Message(_) | Self::Traced(..) => mail::MESSAGE,
            Self::Exit(_) => mail::EXIT,
            Self::Down(..) => mail::DOWN,
            Self::Change => mail::CHANGE,
        }
    }
}

impl Kind {
    /// The kind of a message from this process, with this trace.
    pub(crate) fn of_message(from: Id, trace: Trace) -> Self {
        match trace {
            None => Self::Message(from),
            Some(context) => Self::Traced(from, context),
        }
    }

    /// Returns whether it is a message and not a signal.
    #[inline]
    pub fn is_message(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Traced(..))
    }
}

impl Mail {
    /// Returns the trace.
    #[inline]
    pub fn trace(&self) -> Trace {
        match &self.kind {
            Kind::Traced(_, context) => Some(context.clone()),
            _ => None,
        }
    }

    /// The bytes that it takes up outside of its slot.
    pub(crate) fn size_outside(&self) -> usize {
        let trace = match &self.kind {
            Kind::Traced(_, context) => size_of_context(context),
            _ => 0,
        };
        if self.body.spilled() {
            self.body.capacity() + size_of::<Body>() + trace
        } else {
            trace
        }
    }
}

/// The number of an entry is the time of its arrival in milliseconds, shifted by this many bits, or the number of the
/// entry before it plus 1, whichever is larger. So an entry needs no room for its time, and numbers always grow: more
/// than a million entries in a millisecond only make the time of the last ones a little too late.
const TIME_SHIFT: u32 = 20;

/// No slot.
const NONE: u32 = u32::MAX;

struct Slot {
    mail: Option<Mail>,
    /// Grows with each entry, which shows which of two is older; the upper bits are the time at which it arrived
    /// ([`TIME_SHIFT`]). 0 for an entry that was put before all others.
    number: u64,
    /// Its neighbours in the list of all entries, and in the list of its tag. In a free slot, the former holds the next
    /// free one.
    links: [Link; 2],
}

/// The two lists that an entry is in, as indices into [`Slot::links`].
const ALL: usize = 0;
const TAG: usize = 1;

#[derive(Clone, Copy)]
struct Link {
    older: u32,
    newer: u32,
}

impl Link {
    const NONE: Self = Self {
        older: NONE,
        newer: NONE,
    };
}

/// Entries in the order of their numbers, linked through their slots.
#[derive(Clone, Copy)]
struct List {
    oldest: u32,
    newest: u32,
    len: u32,
}

impl List {
    const EMPTY: Self = Self {
        oldest: NONE,
        newest: NONE,
        len: 0,
    };

    /// Inserts an entry before all others.
    fn insert_first(&mut self, slots: &mut Pieces<Slot>, which: usize, place: u32) {
        self.len += 1;
        let oldest = self.oldest;
        self.join(slots, which, NONE, place);
        self.join(slots, which, place, oldest);
    }

    /// Inserts an entry before all later ones, which exist only if it was handed over and is put back.
    fn insert(&mut self, slots: &mut Pieces<Slot>, which: usize, place: u32) {
        self.len += 1;
        let number = slots[place].number;
        let (mut older, mut newer) = (self.newest, NONE);
        while older != NONE && slots[older].number > number {
            (older, newer) = (slots[older].links[which].older, older);
        }
        self.join(slots, which, older, place);
        self.join(slots, which, place, newer);
    }

    fn remove(&mut self, slots: &mut Pieces<Slot>, which: usize, place: u32) {
        self.len -= 1;
        let Link { older, newer } = slots[place].links[which];
        self.join(slots, which, older, newer);
    }

    /// Makes two entries neighbours; [`NONE`] in place of one marks that end of the list.
    fn join(&mut self, slots: &mut Pieces<Slot>, which: usize, older: u32, newer: u32) {
        match older {
            NONE => self.oldest = newer,
            older => slots[older].links[which].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => slots[newer].links[which].older = older,
        }
    }
}

pub struct Mailbox {
    slots: Pieces<Slot>,
    free: u32,
    newest: u32,
    all: List,
    tags: SmallMap<u64, List>,
    /// What its owner waits for, if it waits; or what it was handed an entry for.
    waits: Option<Tags>,
    /// Whether it takes what it waits for, by the same tags.
    takes: bool,
    /// The slot of the entry that was handed to the waiting owner. No older entry in the lists has one of the tags.
    handed: u32,
    len: usize,
    /// The bytes of the entries outside of their slots.
    outside: usize,
    /// The number of the entry that arrived last.
    number: u64,
    /// How many entries have arrived.
    total: u64,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            slots: Pieces::default(),
            free: NONE,
            newest: NONE,
            all: List::EMPTY,
            tags: SmallMap::default(),
            waits: None,
            takes: false,
            handed: NONE,
            len: 0,
            outside: 0,
            number: 0,
            total: 0,
        }
    }
}

/// The fate of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the mailbox; the owner must be woken if it waits for it.
    Queued { wake: bool },
    /// Its reference is not open.
    Dropped,
    /// [`REFERENCE_LEN_MAX`] messages wait under its reference.
    Full,
}

impl Mailbox {
    /// An empty mailbox keeps room for this many entries and gives the rest back.
    const KEPT_CAPACITY: usize = 256;
    /// How many empty lists of tags are kept.
    const KEPT_LISTS: usize = 4;

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many entries there have been.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// When the oldest entry arrived; `None` without entries.
    pub(crate) fn oldest(&self) -> Option<Moment> {
        // Entries that were put before all others have no time.
        let number = |place: u32| self.slots[place].number;
        let mut first = self.all.oldest;
        while first != NONE && number(first) == 0 {
            first = self.slots[first].links[ALL].newer;
        }
        let places = [first, self.handed].into_iter().filter(|place| *place != NONE);
        places.map(|place| Moment(number(place) >> TIME_SHIFT)).min()
    }

    /// All entries, the oldest first. An entry that was handed over has arrived for an owner that found nothing else.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Mail> {
        let listed = |place| (place != NONE).then_some(place);
        let next = move |place: &u32| listed(self.slots[*place].links[ALL].newer);
        let places = std::iter::successors(listed(self.all.oldest), next);
        listed(self.handed)
            .into_iter()
            .chain(places)
            .map(|place| self.mail(place))
    }

    /// Appends an entry that arrives `now`, if `charge` permits the growth of [`size`](Self::size).
    pub fn push(
        &mut self,
        mail: Mail,
        now: Moment,
        charge: impl FnOnce(usize) -> Result<(), Exhausted>,
    ) -> Result<Pushed, Exhausted> {
        let tag = mail.tag;
        if tag & REFERENCE_BIT != 0 {
            match self.tags.get(tag) {
                None => return Ok(Pushed::Dropped),
                Some(list) if list.len >= REFERENCE_LEN_MAX && mail.kind.is_message() => return Ok(Pushed::Full),
                Some(_) => {}
            }
        }
        let waits = self.waits.as_ref().filter(|_| self.handed == NONE);
        let wake = waits.is_some_and(|tags| tags.is_empty() || tags.contains(&tag));
        // Charged before anything changes: if the charge is refused, the mailbox is unchanged.
        let outside = mail.size_outside();
        let growth = if self.free == NONE { self.slots.growth() } else { 0 };
        let cost = outside + growth * size_of::<Slot>();
        if cost > 0 {
            charge(cost)?;
        }
        if growth > 0 {
            self.slots.grow();
        }
        self.outside += outside;
        let place = self.fill_slot(mail, now);
        // The owner would only take it out of the lists again, as its next action.
        if wake && self.takes {
            self.handed = place;
        } else {
            self.list(place, tag);
            if wake {
                self.waits = None;
            }
        }
        Ok(Pushed::Queued { wake })
    }

    /// Inserts an entry before all others, if `charge` permits the growth of [`size`](Self::size). Returns true if the
    /// owner must be woken. An entry that was handed over still comes before it.
    pub fn push_first(
        &mut self,
        mail: Mail,
        charge: impl FnOnce(usize) -> Result<(), Exhausted>,
    ) -> Result<bool, Exhausted> {
        debug_assert!(mail.body.is_empty() && mail.tag & REFERENCE_BIT == 0);
        let growth = if self.free == NONE { self.slots.growth() } else { 0 };
        if growth > 0 {
            charge(growth * size_of::<Slot>())?;
            self.slots.grow();
        }
        let waits = self.waits.as_ref().filter(|_| self.handed == NONE);
        let wake = waits.is_some_and(|tags| tags.is_empty() || tags.contains(&mail.tag));
        let tag = mail.tag;
        let place = self.fill_slot_as(mail, 0);
        self.all.insert_first(&mut self.slots, ALL, place);
        let list = self.tags.get_or_insert(tag, List::EMPTY);
        list.insert_first(&mut self.slots, TAG, place);
        if wake {
            self.waits = None;
        }
        Ok(wake)
    }

    /// Puts an entry into a slot, for which there is room; it is in no list yet.
    fn fill_slot(&mut self, mail: Mail, now: Moment) -> u32 {
        self.number = (self.number + 1).max(now.0 << TIME_SHIFT);
        self.total += 1;
        self.fill_slot_as(mail, self.number)
    }

    fn fill_slot_as(&mut self, mail: Mail, number: u64) -> u32 {
        self.len += 1;
        let slot = Slot {
            mail: Some(mail),
            number,
            links: [Link::NONE; 2],
        };
        self.newest = match self.free {
            NONE => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
            place => {
                self.free = self.slots[place].links[ALL].newer;
                self.slots[place] = slot;
                place
            }
        };
        self.newest
    }

    /// Adds an entry to the list of all and to that of its tag.
    fn list(&mut self, place: u32, tag: u64) {
        self.all.insert(&mut self.slots, ALL, place);
        let list = self.tags.get_or_insert(tag, List::EMPTY);
        list.insert(&mut self.slots, TAG, place);
    }

    /// Puts an entry that was handed over and is not taken back into the lists.
    fn put_back(&mut self) {
        let place = std::mem::replace(&mut self.handed, NONE);
        if place != NONE {
            self.waits = None;
            self.list(place, self.mail(place).tag);
        }
    }

    /// Takes the oldest entry with one of these tags; with any tag, if there are none.
    pub fn take(&mut self, tags: &[u64]) -> Option<Mail> {
        if self.handed != NONE {
            if self.waits.as_deref() == Some(tags) {
                self.waits = None;
                let place = std::mem::replace(&mut self.handed, NONE);
                return Some(self.empty(place));
            }
            self.put_back();
        }
        let place = self.find(tags)?;
        Some(self.remove(place))
    }

    /// Returns whether [`take`](Self::take) would find something.
    pub fn has(&self, tags: &[u64]) -> bool {
        let is_handed = self.handed != NONE && (tags.is_empty() || tags.contains(&self.mail(self.handed).tag));
        is_handed || self.find(tags).is_some()
    }

    /// Records that the owner waits for these tags until it is woken.
    pub fn wait_for(&mut self, tags: &[u64]) {
        self.wait(tags, false);
    }

    /// Records that the owner has found nothing to [`take`](Self::take) by these tags, and waits for it.
    pub fn wait_to_take(&mut self, tags: &[u64]) {
        debug_assert!(!self.has(tags));
        self.wait(tags, true);
    }

    /// Records that the owner also waits for these tags until it is woken: for any tag, if it would be too many.
    pub fn wait_also_for(&mut self, tags: &[u64]) {
        self.put_back();
        self.takes = false;
        match &mut self.waits {
            None => self.waits = Some(Tags::from_slice(tags)),
            Some(own) if own.is_empty() || own.as_slice() == tags => {}
            Some(own) if tags.is_empty() || own.len() + tags.len() > TAGS_LEN_MAX => own.clear(),
            Some(own) => own.extend_from_slice(tags),
        }
    }

    fn wait(&mut self, tags: &[u64], takes: bool) {
        self.put_back();
        self.waits = Some(Tags::from_slice(tags));
        self.takes = takes;
    }

    /// Returns the tags that the owner waits for, if it waits.
    pub fn awaited(&self) -> Option<&Tags> {
        self.waits.as_ref()
    }

    /// Records that the owner does not wait any more.
    pub fn wait_no_more(&mut self) {
        self.put_back();
        self.waits = None;
    }

    /// Opens a reference; false if it is already open.
    pub fn open(&mut self, reference: u64) -> bool {
        debug_assert!(reference & REFERENCE_BIT != 0);
        let new = !self.tags.contains_key(reference);
        if new {
            self.tags.get_or_insert(reference, List::EMPTY);
        }
        new
    }

    pub fn is_open(&self, reference: u64) -> bool {
        reference & REFERENCE_BIT != 0 && self.tags.contains_key(reference)
    }

    /// Closes a reference and drops the entries under it.
    pub fn close(&mut self, reference: u64) {
        if reference & REFERENCE_BIT == 0 {
            return;
        }
        // It may be under the reference, and is found only in the lists.
        self.put_back();
        let mut next = self.tags.remove(reference).map_or(NONE, |list| list.oldest);
        while next != NONE {
            let place = next;
            next = self.slots[place].links[TAG].newer;
            // The list of its tag is gone, so it leaves only the other one.
            self.all.remove(&mut self.slots, ALL, place);
            self.empty(place);
        }
    }

    /// The slot of the entry that was pushed last.
    pub(crate) fn newest(&self) -> u32 {
        self.newest
    }

    /// Takes the report of the end of the process monitored under this reference, if it is in this slot.
    pub fn take_down(&mut self, place: u32, reference: u64) -> Option<Mail> {
        self.put_back();
        let mail = self.slots.get(place)?.mail.as_ref()?;
        matches!(mail.kind, Kind::Down(_, other) if other == reference).then(|| self.remove(place))
    }

    /// Returns the bytes of all entries, of the unused capacity, and of the tags that the owner waits for.
    pub fn size(&self) -> usize {
        let waits = self.waits.as_ref().filter(|tags| tags.spilled());
        let tags = waits.map_or(0, |tags| tags.capacity() * size_of::<u64>());
        self.outside + self.slots.capacity() * size_of::<Slot>() + tags
    }

    /// The bytes of the lists of tags, including those of open references.
    pub(crate) fn lists_size(&self) -> usize {
        self.tags.size()
    }

    /// The bytes by which the lists grow with another tag; a few are free.
    pub(crate) fn lists_growth(&self) -> usize {
        if self.tags.len() < FEW_MAX {
            return 0;
        }
        self.tags.growth()
    }

    /// The number of lists, including those of open references.
    pub(crate) fn lists_len(&self) -> usize {
        self.tags.len()
    }

    fn find(&self, tags: &[u64]) -> Option<u32> {
        if tags.is_empty() || self.all.oldest == NONE {
            return (self.all.oldest != NONE).then_some(self.all.oldest);
        }
        let heads = tags.iter().filter_map(|tag| self.tags.get(*tag));
        heads
            .map(|list| list.oldest)
            .filter(|oldest| *oldest != NONE)
            .min_by_key(|oldest| self.slots[*oldest].number)
    }

    fn mail(&self, place: u32) -> &Mail {
        self.slots[place].mail.as_ref().expect("a listed slot is full")
    }

    /// Drops the list of a tag if it is empty, except for open references and the first few tags, which are likely to
    /// be used again.
    fn forget_if_empty(&mut self, tag: u64) {
        let is_forgotten = tag & REFERENCE_BIT == 0 && self.tags.len() > Self::KEPT_LISTS;
        if is_forgotten && self.tags.get(tag).is_some_and(|list| list.oldest == NONE) {
            self.tags.remove(tag);
        }
    }

    /// Removes an entry from both lists, and frees its slot.
    fn remove(&mut self, place: u32) -> Mail {
        let tag = self.mail(place).tag;
        self.all.remove(&mut self.slots, ALL, place);
        let list = self.tags.get_mut(tag).expect("an entry's tag has a list");
        list.remove(&mut self.slots, TAG, place);
        self.forget_if_empty(tag);
        self.empty(place)
    }

    /// Frees the slot of an entry that is in no list.
    fn empty(&mut self, place: u32) -> Mail {
        let slot = &mut self.slots[place];
        let mail = slot.mail.take().expect("a used slot is full");
        slot.links[ALL].newer = self.free;
        self.free = place;
        self.len -= 1;
        self.outside -= mail.size_outside();
        if self.len == 0 && self.slots.len() > Self::KEPT_CAPACITY {
            (self.slots, self.free) = (Pieces::default(), NONE);
        }
        mail
    }
}

#[cfg(test)]
mod tests;
