//! The keys that nodes use in Zenoh.

use lunatic_nodes::{Identity, NodeId};

/// The key for frames to a node.
pub(crate) fn inbox(cluster: &str, node: NodeId) -> String {
    format!("lunatic/{}/in/{node}", hex(cluster))
}

/// The token that shows the presence of a node.
pub(crate) fn token(cluster: &str, node: &Identity) -> String {
    let (cluster, name) = (hex(cluster), hex(&node.name));
    format!("lunatic/{cluster}/node/{name}/{:016x}", node.incarnation)
}

/// The tokens of all nodes.
pub(crate) fn tokens(cluster: &str) -> String {
    format!("lunatic/{}/node/*/*", hex(cluster))
}

/// The node of a token, which anyone may have made.
pub(crate) fn node_of(token: &str) -> Option<Identity> {
    let mut parts = token.rsplit('/');
    let incarnation = u64::from_str_radix(parts.next()?, 16).ok()?;
    Identity::new(&from_hex(parts.next()?)?, incarnation)
}

/// Encodes names, because some characters have a meaning in keys.
fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<String> {
    let digits: Option<Vec<_>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| (high << 4 | low) as u8).collect();
    rest.is_empty().then(|| String::from_utf8(bytes).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_node_and_other_keys_name_none() {
        let node = Identity::new("@a.b@host-1", 0x1234_5678_9abc_def0).unwrap();
        let key = token("demo", &node);
        assert_eq!(node_of(&key), Some(node));
        for wrong in ["", "a", "61/zz", "6/1", "zz/1", "20/1", "lunatic/x/node/61"] {
            assert_eq!(node_of(wrong), None, "{wrong}");
        }
    }
}
