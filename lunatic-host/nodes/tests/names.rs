//! Names and groups under load.

mod world;

use std::time::Duration;

use lunatic_nodes::Event;

use world::World;

const SECOND: Duration = Duration::from_secs(1);

/// Lets time pass, in which no connection may end.
fn settle(world: &mut World, time: Duration) {
    world.run(time, |_, place, event| {
        assert!(!matches!(event, Event::Down { .. }), "{place}: {event:?}");
    });
}

#[test]
fn who_registers_and_unregisters_without_end_costs_neither_memory_nor_connections() {
    let mut world = World::new(1, 3);
    settle(&mut world, SECOND);
    let slow = world.places[1].identity.clone();
    world.fabric.freeze(&slow);
    world.node(0).register(b"stays", 1, 0).unwrap();
    for round in 0..100 {
        for number in 0..1500_u32 {
            let name = [&[b'x'; 250][..], &number.to_le_bytes()].concat();
            world.node(0).register(&name, 1, 0).unwrap();
            assert!(world.node(0).join(&name, 2).is_ok());
            assert!(world.node(0).leave_group(&name, 2));
            assert_eq!(world.node(0).unregister(&name), Some(1));
        }
        // What the frozen node has not taken does not grow.
        settle(&mut world, Duration::from_millis(10));
        let queued = world.node(0).figures().queued;
        assert!(queued < 1 << 20, "{queued} bytes wait after {round} rounds");
    }
    world.fabric.heal();
    settle(&mut world, 2 * SECOND);
    for place in 1..3 {
        assert_eq!(world.node(place).names().count(), 1);
    }
}

#[test]
fn as_many_rows_as_a_node_may_have_reach_others_whatever_changes_meanwhile() {
    let mut world = World::new(2, 2);
    settle(&mut world, SECOND);
    let name = |number: u32| [&[b'x'; 100][..], &number.to_le_bytes()].concat();
    for number in 0..65_536 {
        world.node(0).register(&name(number), 1, 0).unwrap();
    }
    for number in 0..1000 {
        settle(&mut world, Duration::from_micros(100));
        // Each place of one that goes is taken by another at once.
        world.node(0).unregister(&name(7 * number)).unwrap();
        world.node(0).register(&name(100_000 + number), 1, 0).unwrap();
    }
    settle(&mut world, 5 * SECOND);
    let names = |world: &mut World, place| {
        let node = world.node(place);
        node.names()
            .map(|(name, holder)| (name.to_vec(), holder))
            .collect::<Vec<_>>()
    };
    let own = names(&mut world, 0);
    assert_eq!(own.len(), 65_536);
    assert!(names(&mut world, 1) == own, "all agree");
}
