//! A call that replaces another instruction.

use super::sections::write_leb;

const CALL: u8 = 0x10;
const RETURN_CALL: u8 = 0x12;
const NOP: u8 = 0x01;
/// The most bytes of an encoded number of 32 bits.
const LEB_MAX: usize = 5;

/// A call of `function`, or a tail call if `tail`: as long as an instruction of `room` bytes, or longer if necessary.
pub(super) fn call(function: u32, tail: bool, room: usize) -> Vec<u8> {
    let mut call = vec![if tail { RETURN_CALL } else { CALL }];
    write_leb(&mut call, function, room.saturating_sub(1).min(LEB_MAX));
    if call.len() < room {
        call.resize(room, NOP);
    }
    call
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_fills_the_room_of_an_instruction() {
        let check = |function: u32, room: usize, expected: &[u8]| {
            assert_eq!(call(function, false, room), expected, "{function} in {room} bytes");
        };
        check(5, 2, &[CALL, 5]);
        check(5, 3, &[CALL, 0x85, 0]);
        check(5, 8, &[CALL, 0x85, 0x80, 0x80, 0x80, 0, NOP, NOP]);
        check(16_383, 3, &[CALL, 0xff, 0x7f]);
        check(16_384, 3, &[CALL, 0x80, 0x80, 1]);
        check(u32::MAX, 3, &[CALL, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(call(5, true, 2), [RETURN_CALL, 5]);
    }
}
