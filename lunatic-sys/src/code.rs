//! `lunatic::code`: moving a process to another version of its code.

crate::imports! {
    namespace "lunatic::code";

    /// Offers a point of change: at this point the process can move to another version of its code, which then calls
    /// its function with the name of `entry`. `entry` is an index of the function table with type `() -> ()`. A new
    /// offer replaces the former one.
    ///
    /// `heard` is one of [`codes::offer`](crate::codes::offer): how the process is notified of a version that waits for
    /// it; or that it withdraws its offer.
    ///
    /// Returns 1 if another version waits for this process, else 0.
    fn offer(entry: usize, heard: i32) -> i32;

    /// Moves the process to the version that waits, with `len` bytes of state, which the entry fetches with
    /// [`captured`](crate::process::captured). Does not return if the new version calls [`accept`]; the calling instance
    /// is dropped then.
    ///
    /// Returns [`codes::EMPTY`](crate::codes::EMPTY) if no version waits (any more);
    /// [`codes::NOT_CHANGED`](crate::codes::NOT_CHANGED), with the reason as text in the buffer, if the new version did
    /// not accept the state; or [`codes::LIMIT`](crate::codes::LIMIT) if the state is longer than
    /// [`codes::STATE_LEN_MAX`](crate::codes::STATE_LEN_MAX) or the process cannot pay for it.
    fn change(state: *const u8, len: usize) -> i32;

    /// Accepts the state. The entry calls this once it has read the state; from then on the process runs this version.
    /// Returns [`codes::OK`](crate::codes::OK), or [`codes::INVALID`](crate::codes::INVALID) if the caller is not on
    /// trial.
    fn accept() -> i32;

    /// Rejects the state. The entry calls this instead of [`accept`]; the process goes on in the old version. The text
    /// gives the reason. Does not return.
    fn refuse(why: *const u8, len: usize);

    /// Refuses to move to the version that waits: the process stays in its version. The text gives the reason.
    fn decline(why: *const u8, len: usize);

    /// Returns the number of the caller's version; or, while the caller is on trial, of the version that the state
    /// comes from. Returns 0 in a module that a process has compiled.
    fn version() -> i32;

    /// Returns the number of the version that the system is being moved to, or was last moved to.
    fn current() -> i32;

    /// Begins to move the caller's system to a module that was compiled with [`compile`](crate::module::compile). If the
    /// caller has fewer rights than the main process of the system, only processes with the caller's rights or fewer
    /// change. `settings` is text with lines `NAME=VALUE`:
    ///
    /// | name | value | default |
    /// |---|---|---|
    /// | `rehearse` | `yes`: change nothing, only find out what can change | `no` |
    /// | `partial` | `yes`: go on although some kinds of processes cannot change | `no` |
    /// | `canary` | which processes change first: `none`, `N`, `N%` or `name:PART` | `1` |
    /// | `watch` | seconds for which these are watched | `10` |
    /// | `limit` | seconds that an instance may take to read the state of a process | `5` |
    /// | `patience` | seconds to wait for processes that do not reach their point of change | `60` |
    /// | `batch` | how many processes change at the same time: a number, or `auto`, which follows the load | `auto` |
    /// | `children-first` | `yes`: children change before their parents | `no` |
    /// | `restore` | `no`: in a rollback, no process gets the state back with which it had left its version | `yes` |
    ///
    /// Returns the number of the upgrade within the system, 1 or more. Otherwise returns, with the reason as text in
    /// the buffer, [`codes::DENIED`](crate::codes::DENIED) without the right `upgrade`;
    /// [`codes::FULL`](crate::codes::FULL) if another upgrade of the system is running (one that was begun by a process
    /// with fewer rights is rolled back first); [`codes::BAD_CONFIG`](crate::codes::BAD_CONFIG) if a setting is
    /// invalid; [`codes::BAD_MODULE`](crate::codes::BAD_MODULE) if the module cannot be compiled;
    /// [`codes::LIMIT`](crate::codes::LIMIT) if the caller cannot pay for the compiled module, or the machine refuses a
    /// thread. Without a reason, returns [`codes::CLOSED`](crate::codes::CLOSED) if the module was dropped, or
    /// [`codes::INVALID`](crate::codes::INVALID).
    fn upgrade(module_id: u64, module_key: u64, settings: *const u8, len: usize) -> i32;

    /// Puts the state of an upgrade into the buffer, as lines `NAME=VALUE`:
    ///
    /// | name | value |
    /// |---|---|
    /// | `from`, `to` | numbers of the version that was current before, and of the one that the system is moved to |
    /// | `phase` | `checking`, `canary`, `watching`, `changing`, `done`, `rehearsed`, `refused`, `rolling back` or `rolled back` |
    /// | `over` | `yes` if the upgrade is over, else `no` |
    /// | `why` | the reason why it was refused or is rolled back; only then |
    /// | `changed` | number of processes that run the new version |
    /// | `kept` | number of processes that stay in their version, because their change was tried and failed |
    /// | `waiting` | number of processes that have not reached their point of change, and change when they do |
    /// | `without-point` | number of processes without a point of change |
    /// | `pause-p50-ns`, `pause-p99-ns`, `pause-max-ns` | how long processes were stopped |
    /// | `time-ns` | how long the upgrade took, or has taken so far |
    /// | `kind` | one line for each kind of process: how many there are, a tab, `tried`, `untried` or `misfit`, a tab, the function, and for a misfit a tab and the reason |
    /// | `refusal` | one line for each of the first processes that stayed in their version: a text that names it, a tab, and the reason |
    ///
    /// Returns [`codes::OK`](crate::codes::OK); [`codes::CLOSED`](crate::codes::CLOSED) if it is not the last upgrade
    /// that was begun, or changes processes that have more rights than the caller; or
    /// [`codes::DENIED`](crate::codes::DENIED).
    fn report(upgrade: i32) -> i32;

    /// Waits until an upgrade is over. Returns [`codes::OK`](crate::codes::OK),
    /// [`codes::TIMED_OUT`](crate::codes::TIMED_OUT), or another code of [`report`].
    fn wait(upgrade: i32, timeout_ns: u64) -> i32;

    /// Rolls an upgrade back; does nothing if it is over. Returns the same codes as [`report`].
    fn cancel(upgrade: i32) -> i32;
}
