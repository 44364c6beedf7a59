//! What nodes say of themselves.

mod world;

use std::time::Duration;

use lunatic_nodes::Event;
use world::{World, attributes};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn attributes_are_known_as_soon_as_a_node_is_up() {
    let mut world = World::new(1, 3);
    let mut ups = 0;
    let mut check = |world: &mut World, place: usize, event: Event| match event {
        Event::Up { node, identity, .. } => {
            ups += 1;
            assert_eq!(world.node(place).attributes(node), Some(attributes(&identity)));
        }
        Event::Down { node, .. } => assert_eq!(world.node(place).attributes(node), None),
        _ => {}
    };
    world.run(SECOND, &mut check);
    // Another start has other attributes.
    world.restart(1, true);
    world.run(20 * SECOND, &mut check);
    assert_eq!(ups, 6 + 4);
    let members: Vec<_> = world.node(0).members().filter(|member| member.is_up).collect();
    assert_eq!(members.len(), 2);
    for member in members {
        assert_eq!(member.attributes, attributes(&member.identity));
    }
}
