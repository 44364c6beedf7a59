//! A state together with what else a version leaves to another.

/// The first byte of an envelope. No state begins with it: MessagePack does not use it.
const MARK: u8 = 0xc1;
/// The length of the mark and of the length of the description.
const HEAD_LEN: usize = 5;

/// Puts a description before a state.
pub(super) fn close(description: &[u8], state: &[u8]) -> Vec<u8> {
    let len = u32::try_from(description.len()).expect("descriptions are short");
    let mut bytes = Vec::with_capacity(HEAD_LEN + description.len() + state.len());
    bytes.push(MARK);
    bytes.extend(len.to_le_bytes());
    bytes.extend(description);
    bytes.extend(state);
    bytes
}

/// Separates a state from the description before it, if there is one.
pub(super) fn open(mut bytes: Vec<u8>) -> (Option<Vec<u8>>, Vec<u8>) {
    let len = match bytes.first_chunk::<HEAD_LEN>() {
        Some([MARK, len @ ..]) => u32::from_le_bytes(*len) as usize,
        _ => return (None, bytes),
    };
    match len.checked_add(HEAD_LEN) {
        Some(end) if end <= bytes.len() => {
            let state = bytes.split_off(end);
            (Some(bytes.split_off(HEAD_LEN)), state)
        }
        _ => (None, bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_closed_is_opened() {
        for (description, state) in [
            (&b"shape"[..], &b"state"[..]),
            (b"", b"state"),
            (b"shape", b""),
            (b"", b""),
        ] {
            let (opened, rest) = open(close(description, state));
            assert_eq!((opened.as_deref(), &*rest), (Some(description), state));
        }
    }

    #[test]
    fn other_bytes_are_a_state() {
        for bytes in [
            &b""[..],
            b"state",
            &[MARK],
            &[MARK, 9, 0, 0, 0, 1],
            &[MARK, 255, 255, 255, 255],
        ] {
            assert_eq!(open(bytes.to_vec()), (None, bytes.to_vec()));
        }
    }
}
