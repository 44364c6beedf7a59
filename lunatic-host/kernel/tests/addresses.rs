//! Addresses of a kernel's processes: which lead somewhere, and for how long.

use std::cell::RefCell;

use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::simulation::Simulation;
use lunatic_sys::layout::RawHandle;
use proptest::prelude::*;

use crate::closures::{Closures, Me, Outcome, SETTINGS, seed};

async fn waits(me: Me) -> Outcome {
    me.receive(&[1]).await;
    Ok(())
}

thread_local! {
    static SIMULATION: RefCell<Simulation<Closures>> = RefCell::new(Simulation::new(SETTINGS, 5, Closures));
}

proptest! {
    /// Whatever bits of an address are turned, it leads nowhere.
    #[test]
    fn an_address_with_bits_turned_leads_nowhere(bits in proptest::collection::hash_set(0..128_u32, 1..6)) {
        SIMULATION.with_borrow(|simulation| {
            let kernel = simulation.kernel();
            let system = kernel.start_system((), |()| seed(waits)).unwrap();
            let id = system.main().unwrap();
            let address = kernel.process_address(id);
            prop_assert_eq!(kernel.process_named(address), Some(id));
            let turned = bits.iter().fold(address, |address, bit| match bit {
                0..64 => RawHandle { id: address.id ^ 1 << bit, ..address },
                _ => RawHandle { key: address.key ^ 1 << (bit - 64), ..address },
            });
            prop_assert_eq!(kernel.process_named(turned), None);
            prop_assert_eq!(kernel.channel_keys().check(address.id, address.key), None);
            kernel.sweep(&system);
            Ok(())
        })?;
    }

    /// Nor does one that was made up.
    #[test]
    fn an_address_that_was_made_up_leads_nowhere(id: u64, key: u64) {
        SIMULATION.with_borrow(|simulation| {
            prop_assert_eq!(simulation.kernel().process_named(RawHandle { id, key }), None);
            Ok(())
        })?;
    }
}

#[test]
fn a_process_keeps_its_address_and_leaves_it_to_nobody() {
    let mut simulation = Simulation::new(SETTINGS, 6, Closures);
    let main = |me: Me| async move {
        let mut former = Vec::new();
        for _ in 0..200 {
            let child = me.spawn(waits);
            let address = me.kernel.process_address(child);
            me.monitor(child);
            for _ in 0..3 {
                me.give_way().await;
                assert_eq!(me.kernel.process_address(child), address);
                assert_eq!(me.kernel.process_named(address), Some(child));
            }
            me.send(child, 1, &[]).unwrap();
            me.receive(&[]).await;
            former.push((child, address));
            for (id, address) in &former {
                assert_eq!(me.kernel.process_named(*address), Some(*id), "it was a process");
                assert!(me.kernel.find(*id).is_none(), "and is gone");
                assert_eq!(me.kernel.exit_reason(*id), ExitReason::Normal);
            }
        }
        let slots: std::collections::HashSet<u32> = former.iter().map(|(id, _)| id.slot()).collect();
        assert!(slots.len() < 100, "slots are used again");
        Ok(())
    };
    let system = simulation.kernel().start_system((), |()| seed(main)).unwrap();
    simulation.run(100_000);
    assert_eq!(system.exit_reason(), Some(ExitReason::Normal));
}
