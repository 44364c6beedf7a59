//! `lunatic::code`: going on in another version of the code.

crate::imports! {
    namespace "lunatic::code";

    /// Offers a point of change: at this point of its life the process can go on in another version of its code, which then
    /// calls the function that there has the name of `entry`, an index of the function table with type `() -> ()`. Offering
    /// again replaces the offer.
    ///
    /// With `by_mail` not 0, the process hears of a version that waits by [`mail::CHANGE`](crate::codes::mail::CHANGE), and must
    /// take that out of its mailbox; else it asks by calling this again.
    ///
    /// 1 if another version waits for this process, else 0.
    fn offer(entry: usize, by_mail: i32) -> i32;

    /// Goes on in the version that waits, with `len` bytes of state, which the entry fetches with
    /// [`captured`](crate::process::captured). Does not return if the new version [accepts](accept) them: the calling instance is
    /// dropped then.
    ///
    /// [`codes::EMPTY`](crate::codes::EMPTY) if no version waits (any more);
    /// [`codes::NOT_CHANGED`](crate::codes::NOT_CHANGED), with the reason as text in the buffer, if the new version did not take
    /// the state; [`codes::LIMIT`](crate::codes::LIMIT) if the state is longer than
    /// [`codes::STATE_LEN_MAX`](crate::codes::STATE_LEN_MAX) or the process cannot pay for it.
    fn change(state: *const u8, len: usize) -> i32;

    /// To be called by the entry when it has read the state: from here on the process runs this version, for good.
    /// [`codes::INVALID`](crate::codes::INVALID) if the caller is not on trial.
    fn accept() -> i32;

    /// To be called by the entry in place of [`accept`]: the process goes on in the old version. The text says why. Does not
    /// return.
    fn refuse(why: *const u8, len: usize);

    /// The process stays in the version that it runs, and does not want the one that waits. The text says why.
    fn decline(why: *const u8, len: usize);

    /// The number of the version that the state comes from, while the caller is on trial; of the caller's own otherwise. 0 for a
    /// module that a process brought along.
    fn version() -> i32;

    /// The number of the version that the system is brought to, or was brought to last.
    fn current() -> i32;
}
