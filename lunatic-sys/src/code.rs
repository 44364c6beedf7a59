//! `lunatic::code`: going on in another version of the code.

crate::imports! {
    namespace "lunatic::code";

    /// Offers a point of change: at this point of its life the process can go on in another version of its code, which then
    /// calls the function that there has the name of `entry`, an index of the function table with type `() -> ()`. Offering
    /// again replaces the offer.
    ///
    /// How the process hears of a version that waits is one of [`codes::offer`](crate::codes::offer).
    ///
    /// 1 if another version waits for this process, else 0.
    fn offer(entry: usize, heard: i32) -> i32;

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

    /// Begins to bring the caller's system to a module that was [compiled](crate::module::compile). A caller with fewer rights than
    /// the system's main process changes only processes that have its rights or less. `settings` is text, lines of `NAME=VALUE`:
    ///
    /// | name | value | by default |
    /// |---|---|---|
    /// | `rehearse` | `yes`: nothing is changed, it is only found out what can change | `no` |
    /// | `partial` | `yes`: goes on though some kinds of processes cannot change | `no` |
    /// | `canary` | who changes first: `none`, `N`, `N%` or `name:PART` | `1` |
    /// | `watch` | seconds for which these are watched | `10` |
    /// | `limit` | seconds that an instance may take to read the state of a process | `5` |
    /// | `patience` | seconds for which processes are waited for that do not come to their point of change | `60` |
    /// | `batch` | how many processes change at once | `16` |
    /// | `children-first` | `yes`: children change before their parents | `no` |
    /// | `restore` | `no`: on the way back, no process gets the state that it had left its version with | `yes` |
    ///
    /// The upgrade's number in the system, from 1 on. [`codes::DENIED`](crate::codes::DENIED) without the right `upgrade`;
    /// [`codes::FULL`](crate::codes::FULL) if another upgrade of the system goes on, other than one that a process with fewer
    /// rights has begun, which goes back first; [`codes::BAD_CONFIG`](crate::codes::BAD_CONFIG) for settings that make no sense;
    /// [`codes::BAD_MODULE`](crate::codes::BAD_MODULE) if the module cannot be compiled for all that it needs;
    /// [`codes::LIMIT`](crate::codes::LIMIT) if the caller cannot pay for that, or the machine refuses a thread: each with the
    /// reason as text in the buffer. [`codes::CLOSED`](crate::codes::CLOSED) if the module was dropped;
    /// [`codes::INVALID`](crate::codes::INVALID).
    fn upgrade(module_id: u64, module_key: u64, settings: *const u8, len: usize) -> i32;

    /// Leaves in the buffer how an upgrade stands, as lines of `NAME=VALUE`:
    ///
    /// | name | value |
    /// |---|---|
    /// | `from`, `to` | numbers of the version that was current before, and of the one that the system is brought to |
    /// | `phase` | `checking`, `canary`, `watching`, `changing`, `done`, `rehearsed`, `refused`, `rolling back` or `rolled back` |
    /// | `over` | `yes` if nothing more will happen, or `no` |
    /// | `why` | why it was refused or goes back; only then |
    /// | `changed` | processes that run the version |
    /// | `kept` | processes that stay in theirs, because it was tried and did not work |
    /// | `waiting` | processes that have not come to their point of change, and change when they do |
    /// | `without-point` | processes that have no point of change |
    /// | `pause-p50-ns`, `pause-p99-ns`, `pause-max-ns` | how long processes stood still |
    /// | `time-ns` | how long it took, or takes |
    /// | `kind` | a line for each kind of process that can change: how many there are, a tab, `tried`, `untried` or `misfit`, a tab, the function, and for a misfit a tab and why |
    /// | `refusal` | a line for each of the first processes that stayed in their version: a text that names it, a tab, and why |
    ///
    /// [`codes::OK`](crate::codes::OK); [`codes::CLOSED`](crate::codes::CLOSED) if it is not the last one that was begun, or
    /// changes processes that have more rights than the caller; [`codes::DENIED`](crate::codes::DENIED).
    fn report(upgrade: i32) -> i32;

    /// Waits until nothing more will happen in an upgrade. [`codes::OK`](crate::codes::OK);
    /// [`codes::TIMED_OUT`](crate::codes::TIMED_OUT); others as of [`report`].
    fn wait(upgrade: i32, timeout_ns: u64) -> i32;

    /// Has an upgrade take back what it has changed. Nothing happens if it is over. Codes as of [`report`].
    fn cancel(upgrade: i32) -> i32;
}
