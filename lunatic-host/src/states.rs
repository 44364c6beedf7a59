//! Values found by their type, which parts of the host and extensions keep for a process, a system or the runtime.
//!
//! None of these three needs to know who keeps what.

use std::any::{Any, TypeId};
use std::sync::Arc;

use parking_lot::Mutex;
use smallvec::SmallVec;

/// The values of one owner, at most one of each type.
#[derive(Default)]
pub(crate) struct States(SmallVec<[Value; 2]>);

struct Value {
    ty: TypeId,
    value: Box<dyn Any + Send>,
    /// [`Merge::merge`], if the type has it.
    merge: Option<MergeFn>,
}

/// [`Merge::merge`] for values whose type is not known: its own value, and the former one.
type MergeFn = fn(&mut (dyn Any + Send), Box<dyn Any + Send>);

/// A value that takes over its predecessor's contents. The predecessor replaces any other value of the same type.
pub(crate) trait Merge: Any + Send {
    /// Takes over what `former` holds. What this value gave out keeps its meaning, such as numbers.
    fn merge(&mut self, former: Self);
}

fn merge<T: Merge>(own: &mut (dyn Any + Send), former: Box<dyn Any + Send>) {
    if let (Some(own), Ok(former)) = (own.downcast_mut::<T>(), former.downcast::<T>()) {
        own.merge(*former);
    }
}

impl States {
    /// The value of a type, if there is one.
    pub(crate) fn get<T: Any + Send>(&self) -> Option<&T> {
        let found = self.0.iter().find(|value| value.ty == TypeId::of::<T>())?;
        found.value.downcast_ref()
    }

    /// The value of a type, made by `make` if there is none.
    pub(crate) fn get_or_insert_with<T: Any + Send>(&mut self, make: impl FnOnce() -> T) -> &mut T {
        self.get_or_insert(make, None)
    }

    /// [`get_or_insert_with`](Self::get_or_insert_with) for a type that takes over its predecessor's contents.
    pub(crate) fn get_or_insert_merging<T: Merge>(&mut self, make: impl FnOnce() -> T) -> &mut T {
        self.get_or_insert(make, Some(merge::<T>))
    }

    fn get_or_insert<T: Any + Send>(&mut self, make: impl FnOnce() -> T, merge: Option<MergeFn>) -> &mut T {
        let ty = TypeId::of::<T>();
        let place = self.0.iter().position(|value| value.ty == ty);
        let place = place.unwrap_or_else(|| {
            let value = Box::new(make());
            self.0.push(Value { ty, value, merge });
            self.0.len() - 1
        });
        let value = &mut self.0[place].value;
        value.downcast_mut().expect("a value is found by its own type")
    }

    /// Takes over the values of a predecessor. They replace values of the same types, unless these [merge](Merge).
    pub(crate) fn append(&mut self, former: &mut Self) {
        for former in former.0.drain(..) {
            match self.0.iter_mut().find(|own| own.ty == former.ty) {
                Some(own) => match own.merge {
                    Some(merge) => merge(&mut *own.value, former.value),
                    None => *own = former,
                },
                None => self.0.push(former),
            }
        }
    }

    /// Drops all values, in the order in which they were made.
    pub(crate) fn clear(&mut self) {
        // Not `clear`, which drops the last one first.
        self.0.drain(..).for_each(drop);
    }
}

/// Values for an owner that is used by many threads, at most one of each type.
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

/// Values that children inherit from their parents, at most one of each type. [Extensions](crate::Extension) use them
/// for the rights of a process and its descendants.
///
/// `Inherited::default()` is empty. A clone shares the values.
#[derive(Clone, Default)]
pub struct Inherited(SmallVec<[(TypeId, Arc<dyn Any + Send + Sync>); 1]>);

impl Inherited {
    /// The value of a type, if there is one.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let (_, value) = self.0.iter().find(|(ty, _)| *ty == TypeId::of::<T>())?;
        value.clone().downcast().ok()
    }

    /// Whether both share exactly the same values.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_same = |((_, one), (_, other)): (&(TypeId, Arc<_>), &(TypeId, Arc<_>))| Arc::ptr_eq(one, other);
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(is_same)
    }

    /// Sets the value of its type, for a process that is being made and its descendants. Replaces a former value.
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

    impl Merge for u16 {
        fn merge(&mut self, former: Self) {
            *self += former;
        }
    }

    #[test]
    fn values_of_a_predecessor_replace_others_or_are_merged() {
        let (mut own, mut former) = (States::default(), States::default());
        for (states, number) in [(&mut own, 1), (&mut former, 10)] {
            states.get_or_insert_with(|| number);
            states.get_or_insert_merging(|| number as u16);
        }
        former.get_or_insert_with(|| 7_u8);
        own.append(&mut former);
        let of = |states: &States| {
            (
                states.get::<i32>().copied(),
                states.get::<u16>().copied(),
                states.get::<u8>().copied(),
            )
        };
        assert_eq!(of(&own), (Some(10), Some(11), Some(7)));
        assert_eq!(of(&former), (None, None, None));
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
