//! A table of one slot.

use std::ops::{Deref, DerefMut};

use crate::address::Id;
use crate::sync::{Mutex, MutexGuard};

#[derive(Debug)]
pub(crate) struct Full;

pub(crate) struct Table<T>(Mutex<Option<T>>);

pub(crate) struct Entry<'a, T>(MutexGuard<'a, Option<T>>);

impl<T> Table<T> {
    pub(crate) fn new(_: u32) -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn insert(&self, _: usize, make: impl FnOnce(Id) -> T) -> Result<Id, Full> {
        *self.0.lock() = Some(make(Id));
        Ok(Id)
    }

    pub(crate) fn remove(&self, _: usize, _: Id) -> Option<T> {
        self.0.lock().take()
    }

    pub(crate) fn get(&self, _: Id) -> Option<Entry<'_, T>> {
        let slot = self.0.lock();
        slot.is_some().then_some(Entry(slot))
    }

    pub(crate) fn for_each(&self, mut visit: impl FnMut(Id, &mut T)) {
        if let Some(value) = &mut *self.0.lock() {
            visit(Id, value);
        }
    }
}

impl<T> Deref for Entry<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("an entry has a value")
    }
}

impl<T> DerefMut for Entry<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("an entry has a value")
    }
}
