//! Values by their type: what the parts of the host, and extensions, keep with a process, a system or the runtime.
//!
//! So none of the three has to know who keeps what with it.

use std::any::{Any, TypeId};
use std::sync::Arc;

use parking_lot::Mutex;
use smallvec::SmallVec;

/// Values of which there is one of each type, for one owner.
#[derive(Default)]
pub(crate) struct States(SmallVec<[(TypeId, Box<dyn Any + Send>); 2]>);

impl States {
    /// The value of a type, if there is one.
    pub(crate) fn get<T: Any + Send>(&self) -> Option<&T> {
        let (_, value) = self.0.iter().find(|(ty, _)| *ty == TypeId::of::<T>())?;
        value.downcast_ref()
    }

    /// The value of a type, made by `make` if there is none.
    pub(crate) fn get_or_insert_with<T: Any + Send>(&mut self, make: impl FnOnce() -> T) -> &mut T {
        let ty = TypeId::of::<T>();
        let place = self.0.iter().position(|(other, _)| *other == ty);
        let place = place.unwrap_or_else(|| {
            self.0.push((ty, Box::new(make())));
            self.0.len() - 1
        });
        let (_, value) = &mut self.0[place];
        value.downcast_mut().expect("a value is found by its own type")
    }

    /// Takes over the values of `others`, in place of its own of the same types.
    pub(crate) fn append(&mut self, others: &mut Self) {
        self.0.retain(|(ty, _)| others.0.iter().all(|(other, _)| other != ty));
        self.0.append(&mut others.0);
    }

    /// Drops all values: the first one that was made first.
    pub(crate) fn clear(&mut self) {
        // Not `clear`, which begins with the last one.
        self.0.drain(..).for_each(drop);
    }
}

/// Values of which there is one of each type, for owners on many threads.
#[derive(Default)]
pub(crate) struct SharedStates(Mutex<Vec<(TypeId, Arc<dyn Any + Send + Sync>)>>);

impl SharedStates {
    /// The value of a type, if there is one.
    pub(crate) fn find<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let states = self.0.lock();
        let (_, value) = states.iter().find(|(ty, _)| *ty == TypeId::of::<T>())?;
        value.clone().downcast().ok()
    }

    /// The value of a type, made by `make` if there is none.
    pub(crate) fn get_or_insert_with<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut states = self.0.lock();
        let ty = TypeId::of::<T>();
        let place = states.iter().position(|(other, _)| *other == ty);
        let place = place.unwrap_or_else(|| {
            states.push((ty, Arc::new(make())));
            states.len() - 1
        });
        let value = states[place].1.clone();
        value.downcast().expect("a value is found by its own type")
    }
}

/// Values that children inherit from their parents, of which there is one of each type: what
/// [extensions](crate::Extension) let a process and its descendants do.
///
/// A new one, `Inherited::default()`, is empty. A clone has the same values, not copies of them.
#[derive(Clone, Default)]
pub struct Inherited(SmallVec<[(TypeId, Arc<dyn Any + Send + Sync>); 1]>);

impl Inherited {
    /// The value of a type, if there is one.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let (_, value) = self.0.iter().find(|(ty, _)| *ty == TypeId::of::<T>())?;
        value.clone().downcast().ok()
    }

    /// Whether both have the very same values.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_same = |((_, one), (_, other)): (&(TypeId, Arc<_>), &(TypeId, Arc<_>))| Arc::ptr_eq(one, other);
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(is_same)
    }

    /// Sets the value of its type, for a process that is being made, and for its descendants; in place of the former one, if
    /// there was any.
    pub fn set<T: Any + Send + Sync>(&mut self, value: Arc<T>) {
        let ty = TypeId::of::<T>();
        self.0.retain(|(other, _)| *other != ty);
        self.0.push((ty, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_value_of_each_type() {
        let mut states = States::default();
        assert_eq!(states.get::<u8>(), None);
        *states.get_or_insert_with(|| 1_u8) += 1;
        *states.get_or_insert_with(|| 7_u16) += 1;
        assert_eq!((*states.get_or_insert_with(|| 9_u8), states.get()), (2, Some(&8_u16)));
        states.clear();
        assert_eq!(states.get::<u8>(), None);
    }

    #[test]
    fn values_are_dropped_in_the_order_in_which_they_were_made() {
        static DROPPED: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        struct Value<const NUMBER: u8>;
        impl<const NUMBER: u8> Drop for Value<NUMBER> {
            fn drop(&mut self) {
                DROPPED.lock().push(NUMBER);
            }
        }
        let mut states = States::default();
        states.get_or_insert_with(|| Value::<1>);
        states.get_or_insert_with(|| Value::<2>);
        states.get_or_insert_with(|| Value::<3>);
        states.clear();
        assert_eq!(*DROPPED.lock(), [1, 2, 3]);
    }

    #[test]
    fn what_is_inherited_can_be_replaced_for_a_child_alone() {
        let mut parent = Inherited::default();
        parent.set(Arc::new(1_u8));
        let mut child = parent.clone();
        child.set(Arc::new(2_u8));
        assert_eq!(
            (parent.get::<u8>().as_deref(), child.get::<u8>().as_deref()),
            (Some(&1), Some(&2))
        );
    }

    #[test]
    fn shared_values_are_made_once() {
        let states = SharedStates::default();
        assert_eq!(states.find::<u32>(), None);
        let first = states.get_or_insert_with(|| 5_u32);
        assert!(Arc::ptr_eq(&first, &states.get_or_insert_with(|| 6_u32)));
        assert_eq!(states.find::<u32>().as_deref(), Some(&5));
    }
}
