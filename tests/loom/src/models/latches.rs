//! A latch, taken by several threads that do not wait for it: one that looks again and again would look for ever in a model.

use std::sync::Arc;

use loom::thread;

use super::check;
use crate::latch::Latch;

/// Loom fails the model if what one holder did is not in order with what the next one does.
pub fn one_holder_sees_what_the_former_did() {
    check(|| {
        let latch = Arc::new(Latch::new(0));
        let count = |latch: &Latch<usize>| {
            (0..2)
                .filter(|_| latch.try_lock().map(|mut held| *held += 1).is_some())
                .count()
        };
        let others = [(); 2].map(|()| {
            let latch = latch.clone();
            thread::spawn(move || count(&latch))
        });
        let mine = count(&latch);
        let counted: usize = others.into_iter().map(|other| other.join().unwrap()).sum();
        assert_eq!(latch.try_lock().map(|held| *held), Some(mine + counted));
    });
}
