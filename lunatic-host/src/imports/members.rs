//! Lists of members of groups, which can have as many as there are processes.

use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Payer as _, Receipt, Resource};
use lunatic_sys::layout::RAW_HANDLE_SIZE;
use wasmtime::Caller;

use super::pieces;
use crate::instance::Ctx;

/// For how many handles there is room at first.
const FIRST: usize = 16;

/// Leaves the handles of processes in the buffer of the caller, which pays for them as the list grows. Others run in between.
/// Returns how many there are.
///
/// # Errors
///
/// If the caller cannot pay: it exits as one whose memory cannot grow.
pub(super) async fn leave_handles(
    caller: &mut Caller<'_, Ctx>,
    members: impl Iterator<Item = Id>,
) -> wasmtime::Result<i32> {
    let mut paid = Receipt::new(caller.data().process().purse().to_account(), Resource::Buffers);
    let mut bytes = Vec::new();
    for id in members {
        if bytes.len() == bytes.capacity() {
            let more = bytes.len().max(FIRST * RAW_HANDLE_SIZE);
            if let Err(exhausted) = paid.grow(more) {
                return Err(caller.data_mut().cannot_pay(exhausted));
            }
            bytes.reserve_exact(more);
        }
        bytes.extend(caller.data().kernel.process_address(id).encode());
        pieces::pause(caller).await;
    }
    let count = bytes.len() / RAW_HANDLE_SIZE;
    // The buffer pays from now on.
    drop(paid);
    caller.data_mut().set_buffer(bytes);
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}
