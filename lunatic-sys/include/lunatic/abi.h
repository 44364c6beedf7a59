/// The contract between Lunatic guests and the Lunatic host, for C and C++: codes, layouts and imports.
///
/// Include `lunatic.h`, which has this and functions that are easier to call. This file is printed from the sources of
/// `lunatic-sys`, by its test `header`; `docs/abi.md` says what holds for all functions: what a pointer, a handle and a
/// timeout are, and what traps.

#ifndef LUNATIC_ABI_H
#define LUNATIC_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define LUNATIC_SIZE_IS(type, size) static_assert(sizeof(type) == (size), #type)
extern "C" {
#else
#define LUNATIC_SIZE_IS(type, size) _Static_assert(sizeof(type) == (size), #type)
#endif

/// An import of the host's: a linker takes it only into a program that calls it.
#define LUNATIC_IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

/// What a process calls first: an index of the function table.
typedef void (*lunatic_entry)(void);

/// The call did what it says.
#define LUNATIC_OK 0
/// A handle that was never given out: the key does not belong to the id.
#define LUNATIC_INVALID (-1)
/// The channel is closed: the process that made it has ended. Or: the process has ended.
#define LUNATIC_CLOSED (-2)
/// The channel holds as many messages as its bound allows.
#define LUNATIC_FULL (-3)
/// There is no message, or the process that is waited for still runs.
#define LUNATIC_EMPTY (-4)
/// The timeout passed first.
#define LUNATIC_TIMED_OUT (-5)
/// A limit of the host was hit; which one is in the buffer, as text.
#define LUNATIC_LIMIT (-6)
/// The process that was called has ended; how is in the buffer, as reason bytes.
#define LUNATIC_GONE (-7)
/// Another process has the name.
#define LUNATIC_NAME_TAKEN (-8)
/// The process may not do that; why is in the buffer, as text.
#define LUNATIC_DENIED (-9)
/// A configuration that cannot be understood; why is in the buffer, as text.
#define LUNATIC_BAD_CONFIG (-10)
/// Bytes that are no module which the host runs, or that lacks what is asked of it; why is in the buffer, as text.
#define LUNATIC_BAD_MODULE (-11)
/// The host has no addresses for a name; why is in the buffer, as text.
#define LUNATIC_NO_HOST (-12)
/// A connection of TLS that failed; why is in the buffer, as text.
#define LUNATIC_TLS_FAILED (-13)
/// The peer of a TLS connection closed it without saying so: what came may not be all.
#define LUNATIC_TRUNCATED (-14)
/// Errors of the system are this minus the number that WASI preview 1 has for them, such as -4110 for a refused
/// connection.
#define LUNATIC_IO_ERROR (-4096)

/// After how many nanoseconds a read gives up, `LUNATIC_NO_TIMEOUT` for never. Not 0.
#define LUNATIC_OPTION_READ_TIMEOUT 0
/// The same for a write.
#define LUNATIC_OPTION_WRITE_TIMEOUT 1
/// Small pieces are sent at once.
#define LUNATIC_OPTION_NODELAY 2
/// The time to live of packets; for IPv6 the hop limit.
#define LUNATIC_OPTION_TTL 3
/// After how many seconds of silence the peer is asked for a sign of life; 0 for never.
#define LUNATIC_OPTION_KEEPALIVE 4
/// Datagrams may go to broadcast addresses.
#define LUNATIC_OPTION_BROADCAST 5
/// An IPv6 socket takes no IPv4. Cannot be changed once the socket is bound.
#define LUNATIC_OPTION_ONLY_V6 6
/// How many bytes the system keeps for the process to read.
#define LUNATIC_OPTION_RECEIVE_BUFFER 7
/// How many bytes the system keeps for the peer.
#define LUNATIC_OPTION_SEND_BUFFER 8
/// Closing resets the connection and drops what was not sent.
#define LUNATIC_OPTION_RESET_ON_CLOSE 9
/// The time to live of multicast packets.
#define LUNATIC_OPTION_MULTICAST_TTL_V4 10
/// Multicast packets come back to this machine.
#define LUNATIC_OPTION_MULTICAST_LOOP_V4 11
/// The same for IPv6.
#define LUNATIC_OPTION_MULTICAST_LOOP_V6 12
/// The number that WASI has for the error that is pending, 0 for none. Reading takes it.
#define LUNATIC_OPTION_ERROR 13

/// A process.
#define LUNATIC_RECEIVER_PROCESS 0
/// The owner of a channel.
#define LUNATIC_RECEIVER_CHANNEL 1
/// Whoever claims it.
#define LUNATIC_RECEIVER_ANYBODY 2

/// The longest configuration of TLS, in bytes.
#define LUNATIC_TLS_CONFIG_LEN_MAX 1048576

/// The protocol that both agreed on.
#define LUNATIC_TLS_INFO_ALPN 0
/// The name that the client asked for.
#define LUNATIC_TLS_INFO_SERVER_NAME 1
/// The certificates of the peer, its own first: of each the length as a little-endian `u32`, and its DER.
#define LUNATIC_TLS_INFO_PEER_CERTIFICATES 2

/// The longest configuration of a spawn, in bytes.
#define LUNATIC_CONFIG_LEN_MAX 65536
/// The timeout that never passes.
#define LUNATIC_NO_TIMEOUT UINT64_C(18446744073709551615)

/// The entry function returned, or the process called `proc_exit(0)`.
#define LUNATIC_EXIT_NORMAL 0
/// The process called `proc_exit` with another code than 0: the detail.
#define LUNATIC_EXIT_EXIT 1
/// The process panicked; the text is the panic message.
#define LUNATIC_EXIT_PANIC 2
/// The process trapped; the detail is one of `lunatic_trap`, the text says how.
#define LUNATIC_EXIT_TRAP 3
/// The process was killed.
#define LUNATIC_EXIT_KILLED 4
/// The process ended so long ago that how is no longer known.
#define LUNATIC_EXIT_FORGOTTEN 5
/// The process was told to stop, in good order.
#define LUNATIC_EXIT_SHUTDOWN 6
/// The process ended with an error; the text says which.
#define LUNATIC_EXIT_ERROR 7
/// The process hit a limit of its memory; the text says how it ended.
#define LUNATIC_EXIT_OUT_OF_MEMORY 8
/// The process used up what it was given to compute.
#define LUNATIC_EXIT_OUT_OF_BUDGET 9
/// No process of the system could ever run again; the text says who waited for what.
#define LUNATIC_EXIT_DEADLOCK 10
/// There was no such process.
#define LUNATIC_EXIT_NO_PROCESS 11
/// The connection to the node of the process was lost; the detail is one of `lunatic_loss`.
#define LUNATIC_EXIT_NODE_GONE 12
/// The host failed on behalf of the process; the text says how.
#define LUNATIC_EXIT_HOST_BUG 13

/// The bytes before the text in reason bytes.
#define LUNATIC_REASON_HEAD_LEN 8
/// The longest text of a reason that a process passes to the host, in bytes.
#define LUNATIC_REASON_TEXT_LEN_MAX 65536

/// Another trap than the following.
#define LUNATIC_TRAP_OTHER 0
/// `unreachable` was executed.
#define LUNATIC_TRAP_UNREACHABLE 1
/// A memory access out of bounds.
#define LUNATIC_TRAP_OUT_OF_BOUNDS 2
/// The stack overflowed.
#define LUNATIC_TRAP_STACK_OVERFLOW 3
/// An integer overflowed, or a number could not be converted to an integer.
#define LUNATIC_TRAP_OVERFLOW 4
/// A division by zero.
#define LUNATIC_TRAP_DIVISION_BY_ZERO 5
/// A table access out of bounds, or an indirect call of nothing or of a function of another type.
#define LUNATIC_TRAP_BAD_CALL 6

/// There was no connection.
#define LUNATIC_LOSS_UNCONNECTED 0
/// The node has left, or its machine has closed the connection.
#define LUNATIC_LOSS_CLOSED 1
/// Nothing was heard of the node for too long.
#define LUNATIC_LOSS_SILENT 2
/// Something of what the node sent was lost on the way.
#define LUNATIC_LOSS_GAP 3
/// The node has given the connection up.
#define LUNATIC_LOSS_RESET 4
/// The node was started again.
#define LUNATIC_LOSS_REPLACED 5
/// The node sent what it may not send.
#define LUNATIC_LOSS_VIOLATION 6
/// The node did not take what was sent to it.
#define LUNATIC_LOSS_OVERFLOW 7

/// The parent is linked to the child.
#define LUNATIC_SPAWN_LINK 1u
/// The parent monitors the child.
#define LUNATIC_SPAWN_MONITOR 2u
/// The child traps exits from its beginning.
#define LUNATIC_SPAWN_TRAP_EXIT 4u
/// The child begins a scope of names of its own, empty but for itself.
#define LUNATIC_SPAWN_NEW_SCOPE 8u

/// A message that a process sent.
#define LUNATIC_MAIL_MESSAGE 0u
/// A linked process has ended, or sent an exit signal; the body is the reason bytes.
#define LUNATIC_MAIL_EXIT 1u
/// A monitored process has ended; the body is the reason bytes.
#define LUNATIC_MAIL_DOWN 2u
/// Another version of the code waits for this process. Only a process that `lunatic_code_offer` to take this gets it,
/// before all else that lies in its mailbox, under `LUNATIC_CHANGE_TAG`; the body is empty.
#define LUNATIC_MAIL_CHANGE 3u

/// The tag of `LUNATIC_MAIL_CHANGE`. Below 16, so no type of message has it.
#define LUNATIC_CHANGE_TAG UINT64_C(6)
/// The new version did not take the state; why is in the buffer, as text.
#define LUNATIC_NOT_CHANGED (-15)
/// The longest state that is carried from one version to the next, in bytes: 64 MiB.
#define LUNATIC_STATE_LEN_MAX 67108864

/// It asks, by offering again.
#define LUNATIC_OFFER_ASKS 0
/// By `LUNATIC_MAIL_CHANGE`, which it must take out of its mailbox.
#define LUNATIC_OFFER_MAIL 1
/// Its next wait for a socket that can be read or has a connection to accept ends with the error `EINTR`; then it
/// asks.
#define LUNATIC_OFFER_INTERRUPT 2

/// A look shows at most so many processes at once.
#define LUNATIC_LOOK_ROWS_MAX 1000
/// A look shows at most so many bytes of the name of a function.
#define LUNATIC_LOOK_ENTRY_LEN_MAX 1024

/// The order of the ids.
#define LUNATIC_LOOK_BY_ID 0
/// Those first with the most entries in the mailbox.
#define LUNATIC_LOOK_BY_MAILBOX 1
/// Those first whose mailbox has the most bytes.
#define LUNATIC_LOOK_BY_MAILBOX_BYTES 2
/// Those first with the largest memory.
#define LUNATIC_LOOK_BY_MEMORY 3
/// Those first that have computed for the longest time.
#define LUNATIC_LOOK_BY_TIME 4
/// A state: a worker runs it.
#define LUNATIC_LOOK_RUNNING 0u
/// A state: it waits for a worker.
#define LUNATIC_LOOK_READY 1u
/// A state: it waits for something.
#define LUNATIC_LOOK_WAITING 2u
/// A wait: input or output.
#define LUNATIC_LOOK_OUTSIDE 1u
/// A wait: a message on a channel.
#define LUNATIC_LOOK_RECEIVE 2u
/// A wait: room in a channel.
#define LUNATIC_LOOK_SEND 3u
/// A wait: the end of a process.
#define LUNATIC_LOOK_JOIN 4u
/// A wait: a time.
#define LUNATIC_LOOK_SLEEP 5u
/// A wait: mail.
#define LUNATIC_LOOK_MAIL 6u
/// A wait: an answer.
#define LUNATIC_LOOK_CALL 7u
/// A wait: one of several things.
#define LUNATIC_LOOK_SELECT 8u
/// A wait: the network.
#define LUNATIC_LOOK_SOCKET 9u
/// A wait: a file.
#define LUNATIC_LOOK_FILE 10u
/// A flag: its memory is packed.
#define LUNATIC_LOOK_FROZEN 1u
/// A flag: exit signals become mail.
#define LUNATIC_LOOK_TRAPS_EXITS 2u
/// A flag: its end is the end of the program.
#define LUNATIC_LOOK_MAIN 4u

/// The tag of messages about exits.
#define LUNATIC_TAG_SIGNAL UINT64_C(1)
/// The bit that tells references from other tags.
#define LUNATIC_REFERENCE_BIT UINT64_C(9223372036854775808)

/// A channel: `a` is its id, `b` its key.
#define LUNATIC_SOURCE_CHANNEL 0u
/// The mailbox: `a` points to tags, all count if there are none.
#define LUNATIC_SOURCE_MAILBOX 1u

/// The longest name of a process or a group, in bytes.
#define LUNATIC_NAME_LEN_MAX 255
/// The largest number of tags or of sources in one call.
#define LUNATIC_TAGS_LEN_MAX 256
/// The largest closure that can be spawned, in bytes of captured values.
#define LUNATIC_CAPTURE_LEN_MAX 65536
/// The largest message, in bytes.
#define LUNATIC_MESSAGE_LEN_MAX 268435456
/// The largest message that a receive copies to the receiver's memory itself, in bytes. A longer one waits in the
/// buffer, whatever room there is, because copying it takes longer than one call may.
#define LUNATIC_IN_PLACE_LEN_MAX 1048576

/// A level: nothing is logged.
#define LUNATIC_LOG_OFF 0
/// A level: something has failed.
#define LUNATIC_LOG_ERROR 1
/// A level: something is not as it should be.
#define LUNATIC_LOG_WARN 2
/// A level: something worth knowing has happened.
#define LUNATIC_LOG_INFO 3
/// A level: for somebody who looks for a mistake.
#define LUNATIC_LOG_DEBUG 4
/// A level: each step.
#define LUNATIC_LOG_TRACE 5
/// The longest target, in bytes.
#define LUNATIC_LOG_TARGET_LEN_MAX 255

/// A series that only grows, in whole steps.
#define LUNATIC_METRICS_COUNTER 0
/// A series that goes up and down: the sum of what each living process says.
#define LUNATIC_METRICS_GAUGE 1
/// A series that sorts values by size.
#define LUNATIC_METRICS_HISTOGRAM 2
/// The longest name of a series or a label, in bytes.
#define LUNATIC_METRICS_NAME_LEN_MAX 64
/// The longest value of a label, in bytes.
#define LUNATIC_METRICS_VALUE_LEN_MAX 128
/// The most labels of a series.
#define LUNATIC_METRICS_LABELS_MAX 4
/// The most bounds of a histogram.
#define LUNATIC_METRICS_BOUNDS_MAX 32
/// The most series of a system, with those of all values of labels.
#define LUNATIC_METRICS_SERIES_MAX 1024

/// The longest record, in bytes.
#define LUNATIC_RECORD_LEN_MAX 16384

/// A span of something that happens within the process.
#define LUNATIC_TRACE_INTERNAL 0
/// A span of a request that is answered.
#define LUNATIC_TRACE_SERVER 1
/// A span of a request that is made.
#define LUNATIC_TRACE_CLIENT 2
/// A span of a message that is sent for somebody to work on later.
#define LUNATIC_TRACE_PRODUCER 3
/// A span of work on such a message.
#define LUNATIC_TRACE_CONSUMER 4
/// To be added to the kind of a span: it begins a trace of its own.
#define LUNATIC_TRACE_ROOT 8
/// To be added to the kind of a span: it is the current one from now on.
#define LUNATIC_TRACE_ENTER 16
/// The longest name of a span, in bytes.
#define LUNATIC_TRACE_NAME_LEN_MAX 255
/// The longest list of fields of one call, in bytes; what a span has of fields in all is bounded by it, too.
#define LUNATIC_TRACE_FIELDS_LEN_MAX 8192
/// The most fields that a span has.
#define LUNATIC_TRACE_FIELDS_MAX 64
/// The most spans that a process has open.
#define LUNATIC_TRACE_OPEN_MAX 1024
/// The longest `tracestate` that is passed on, in bytes.
#define LUNATIC_TRACE_STATE_LEN_MAX 512
/// The length of a `traceparent`.
#define LUNATIC_TRACE_PARENT_LEN 55
/// The flag of a trace that is recorded.
#define LUNATIC_TRACE_SAMPLED 1

/// A handle of a process, a channel or a socket: 16 bytes, two little-endian `u64`s.
///
/// Guests pass the bytes on as they got them. Only `slot` and `number` can be read from a handle, to show it to
/// people; the meaning of all other bits may change with the host.
typedef struct lunatic_handle {
    /// Names the thing among all of its kind on one node: its slot, the slot's use, and a part of the node's number.
    uint64_t id;
    /// The proof that the host gave the handle out, a keyed hash of `id`; and the other part of the node's number.
    uint64_t key;
} lunatic_handle;
LUNATIC_SIZE_IS(lunatic_handle, 16);

/// How `process::spawn` makes a process.
typedef struct lunatic_spawn_options {
    /// Bits of `LUNATIC_SPAWN_…`; other bits are not looked at.
    uint32_t flags;
    /// The length of the name in bytes, 0 for none.
    uint32_t name_len;
    /// Where the name is.
    uint64_t name;
    /// The largest memory in bytes, 0: as the parent.
    uint64_t max_memory;
    /// The largest number of entries in its mailbox, 0: as the parent.
    uint64_t mailbox_max;
    /// The tag of the message about its end if it is monitored, 0: the monitor's reference.
    uint64_t monitor_tag;
    /// Where the configuration is: entries `KEY=VALUE`, a zero byte behind each.
    uint64_t config;
    /// The length of the configuration in bytes, 0: the child has the rights of its parent.
    uint32_t config_len;
    /// Not looked at.
    uint32_t reserved;
} lunatic_spawn_options;
LUNATIC_SIZE_IS(lunatic_spawn_options, 56);

/// What `process::spawn` answers.
typedef struct lunatic_spawned {
    /// The child; or the process that has the name.
    lunatic_handle process;
    /// The monitor's reference, 0 if there is none.
    uint64_t reference;
} lunatic_spawned;
LUNATIC_SIZE_IS(lunatic_spawned, 24);

/// How much is used of a budget.
typedef struct lunatic_usage {
    /// Living processes.
    uint64_t processes;
    /// Bytes of linear memory.
    uint64_t memory;
    /// Open sockets.
    uint64_t sockets;
    /// Time on a core so far, in nanoseconds.
    uint64_t cpu_ns;
} lunatic_usage;
LUNATIC_SIZE_IS(lunatic_usage, 32);

/// What `mailbox::receive` says of an entry beside its body.
typedef struct lunatic_header {
    /// One of `LUNATIC_MAIL_…`.
    uint32_t kind;
    /// The length of the body in bytes.
    uint32_t len;
    /// Under which tag it came.
    uint64_t tag;
    /// The monitor's reference, for DOWN.
    uint64_t reference;
    /// Who ended, for EXIT and DOWN.
    lunatic_handle from;
} lunatic_header;
LUNATIC_SIZE_IS(lunatic_header, 40);

/// One thing that `mailbox::select` waits for.
typedef struct lunatic_source {
    /// One of `LUNATIC_SOURCE_…`.
    uint32_t kind;
    /// The number of tags, for the mailbox.
    uint32_t tags_len;
    /// A channel's id, or where the tags are.
    uint64_t a;
    /// A channel's key.
    uint64_t b;
} lunatic_source;
LUNATIC_SIZE_IS(lunatic_source, 24);

/// An address on the network.
typedef struct lunatic_socket_address {
    /// 4 or 6; 0 for none.
    uint32_t family;
    /// The port, at most 65,535.
    uint32_t port;
    /// The bytes of the IP address in the order of the network; of an IPv4 address, the first four.
    uint8_t ip[16];
    /// Of an IPv6 address, else not looked at.
    uint32_t flow_info;
    /// Of an IPv6 address, else not looked at.
    uint32_t scope_id;
} lunatic_socket_address;
LUNATIC_SIZE_IS(lunatic_socket_address, 32);

/// What a look shows of a process. The bytes of its name and of the name of the function that it began with stand
/// behind it.
typedef struct lunatic_process_figures {
    /// The process.
    lunatic_handle process;
    /// Who spawned it; zeros for the main process.
    lunatic_handle parent;
    /// Entries in its mailbox.
    uint64_t mailbox;
    /// The bytes of its mailbox.
    uint64_t mailbox_bytes;
    /// How many entries have come so far.
    uint64_t mail_total;
    /// The bytes of its linear memory.
    uint64_t memory;
    /// How long it has computed, in nanoseconds, counted in time slices.
    uint64_t cpu_ns;
    /// How many processes it is linked to.
    uint32_t links;
    /// How many monitors it has.
    uint32_t monitors;
    /// How many monitors of others watch it.
    uint32_t monitored_by;
    /// The timers that send to it.
    uint32_t timers;
    /// How often it has begun to run, modulo 2³².
    uint32_t runs;
    /// One of `LUNATIC_LOOK_…`'s states.
    uint32_t state;
    /// What it waits for: one of `LUNATIC_LOOK_…`'s, 0 for nothing.
    uint32_t wait;
    /// Bits of `LUNATIC_LOOK_…`.
    uint32_t flags;
    /// Bytes of its name, 0 for none.
    uint32_t name_len;
    /// Bytes of the name of its function, 0 if that is unknown.
    uint32_t entry_len;
} lunatic_process_figures;
LUNATIC_SIZE_IS(lunatic_process_figures, 112);

// lunatic::buffer

/// The number of bytes in the buffer.
LUNATIC_IMPORT("lunatic::buffer", "len")
size_t lunatic_buffer_len(void);

/// Copies the whole buffer to `to` and empties it. Traps unless `len` is exactly its number of bytes.
LUNATIC_IMPORT("lunatic::buffer", "take")
void lunatic_buffer_take(void *to, size_t len);

/// Copies bytes into the buffer: `LUNATIC_OK`, or `LUNATIC_LIMIT` if they are more than `LUNATIC_MESSAGE_LEN_MAX` or
/// the caller has not so much memory left.
///
/// Whatever sends a message of more than `LUNATIC_IN_PLACE_LEN_MAX` bytes takes it out of the buffer, and traps if
/// that does not hold exactly `len` bytes.
LUNATIC_IMPORT("lunatic::buffer", "put")
int32_t lunatic_buffer_put(const void *from, size_t len);

// lunatic::channel

/// Makes a channel that the calling process owns. `bound` is the largest number of queued messages, 0 for no bound.
///
/// `LUNATIC_OK` and the handle in `out`; or `LUNATIC_LIMIT`.
LUNATIC_IMPORT("lunatic::channel", "new")
int32_t lunatic_channel_new(uint64_t bound, lunatic_handle *out);

/// Appends a message without waiting: `LUNATIC_OK`, `LUNATIC_FULL`, `LUNATIC_CLOSED`, `LUNATIC_INVALID` or
/// `LUNATIC_LIMIT` (the message is too large, or the queues are over their total).
LUNATIC_IMPORT("lunatic::channel", "try_send")
int32_t lunatic_channel_try_send(uint64_t id, uint64_t key, const void *message, size_t len);

/// Appends a message, waiting while the channel is full. As `try_send`, but `LUNATIC_TIMED_OUT` instead of `FULL`.
LUNATIC_IMPORT("lunatic::channel", "send")
int32_t lunatic_channel_send(uint64_t id, uint64_t key, const void *message, size_t len, uint64_t timeout_ns);

/// Takes the oldest message without waiting and returns its length. If it has at most `capacity` bytes, and at most
/// `LUNATIC_IN_PLACE_LEN_MAX`, it has been copied to `to`; a longer one waits in the buffer. Otherwise
/// `LUNATIC_EMPTY`, `LUNATIC_CLOSED` or `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::channel", "try_receive")
int32_t lunatic_channel_try_receive(uint64_t id, uint64_t key, void *to, size_t capacity);

/// As `try_receive`, but waits, and returns `LUNATIC_TIMED_OUT` instead of `EMPTY`.
LUNATIC_IMPORT("lunatic::channel", "receive")
int32_t lunatic_channel_receive(uint64_t id, uint64_t key, void *to, size_t capacity, uint64_t timeout_ns);

// lunatic::code

/// Offers a point of change: at this point of its life the process can go on in another version of its code, which
/// then calls the function that there has the name of `entry`, an index of the function table with type `() -> ()`.
/// Offering again replaces the offer.
///
/// How the process hears of a version that waits is one of `LUNATIC_OFFER_…`.
///
/// 1 if another version waits for this process, else 0.
LUNATIC_IMPORT("lunatic::code", "offer")
int32_t lunatic_code_offer(lunatic_entry entry, int32_t heard);

/// Goes on in the version that waits, with `len` bytes of state, which the entry fetches with
/// `lunatic_process_captured`. Does not return if the new version `lunatic_code_accept` them: the calling instance is
/// dropped then.
///
/// `LUNATIC_EMPTY` if no version waits (any more); `LUNATIC_NOT_CHANGED`, with the reason as text in the buffer, if
/// the new version did not take the state; `LUNATIC_LIMIT` if the state is longer than `LUNATIC_STATE_LEN_MAX` or the
/// process cannot pay for it.
LUNATIC_IMPORT("lunatic::code", "change")
int32_t lunatic_code_change(const void *state, size_t len);

/// To be called by the entry when it has read the state: from here on the process runs this version, for good.
/// `LUNATIC_INVALID` if the caller is not on trial.
LUNATIC_IMPORT("lunatic::code", "accept")
int32_t lunatic_code_accept(void);

/// To be called by the entry in place of `lunatic_code_accept`: the process goes on in the old version. The text says
/// why. Does not return.
LUNATIC_IMPORT("lunatic::code", "refuse")
void lunatic_code_refuse(const void *why, size_t len);

/// The process stays in the version that it runs, and does not want the one that waits. The text says why.
LUNATIC_IMPORT("lunatic::code", "decline")
void lunatic_code_decline(const void *why, size_t len);

/// The number of the version that the state comes from, while the caller is on trial; of the caller's own otherwise.
/// 0 for a module that a process brought along.
LUNATIC_IMPORT("lunatic::code", "version")
int32_t lunatic_code_version(void);

/// The number of the version that the system is brought to, or was brought to last.
LUNATIC_IMPORT("lunatic::code", "current")
int32_t lunatic_code_current(void);

/// Begins to bring the caller's system to a module that was `lunatic_module_compile`. A caller with fewer rights than
/// the system's main process changes only processes that have its rights or less. `settings` is text, lines of
/// `NAME=VALUE`:
///
/// | name | value | by default | |---|---|---| | `rehearse` | `yes`: nothing is changed, it is only found out what
/// can change | `no` | | `partial` | `yes`: goes on though some kinds of processes cannot change | `no` | | `canary`
/// | who changes first: `none`, `N`, `N%` or `name:PART` | `1` | | `watch` | seconds for which these are watched |
/// `10` | | `limit` | seconds that an instance may take to read the state of a process | `5` | | `patience` | seconds
/// for which processes are waited for that do not come to their point of change | `60` | | `batch` | how many
/// processes change at once | `16` | | `children-first` | `yes`: children change before their parents | `no` | |
/// `restore` | `no`: on the way back, no process gets the state that it had left its version with | `yes` |
///
/// The upgrade's number in the system, from 1 on. `LUNATIC_DENIED` without the right `upgrade`; `LUNATIC_FULL` if
/// another upgrade of the system goes on, other than one that a process with fewer rights has begun, which goes back
/// first; `LUNATIC_BAD_CONFIG` for settings that make no sense; `LUNATIC_BAD_MODULE` if the module cannot be compiled
/// for all that it needs; `LUNATIC_LIMIT` if the caller cannot pay for that, or the machine refuses a thread: each
/// with the reason as text in the buffer. `LUNATIC_CLOSED` if the module was dropped; `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::code", "upgrade")
int32_t lunatic_code_upgrade(uint64_t module_id, uint64_t module_key, const void *settings, size_t len);

/// Leaves in the buffer how an upgrade stands, as lines of `NAME=VALUE`:
///
/// | name | value | |---|---| | `from`, `to` | numbers of the version that was current before, and of the one that
/// the system is brought to | | `phase` | `checking`, `canary`, `watching`, `changing`, `done`, `rehearsed`,
/// `refused`, `rolling back` or `rolled back` | | `over` | `yes` if nothing more will happen, or `no` | | `why` | why
/// it was refused or goes back; only then | | `changed` | processes that run the version | | `kept` | processes that
/// stay in theirs, because it was tried and did not work | | `waiting` | processes that have not come to their point
/// of change, and change when they do | | `without-point` | processes that have no point of change | |
/// `pause-p50-ns`, `pause-p99-ns`, `pause-max-ns` | how long processes stood still | | `time-ns` | how long it took,
/// or takes | | `kind` | a line for each kind of process that can change: how many there are, a tab, `tried`,
/// `untried` or `misfit`, a tab, the function, and for a misfit a tab and why | | `refusal` | a line for each of the
/// first processes that stayed in their version: a text that names it, a tab, and why |
///
/// `LUNATIC_OK`; `LUNATIC_CLOSED` if it is not the last one that was begun, or changes processes that have more
/// rights than the caller; `LUNATIC_DENIED`.
LUNATIC_IMPORT("lunatic::code", "report")
int32_t lunatic_code_report(int32_t upgrade);

/// Waits until nothing more will happen in an upgrade. `LUNATIC_OK`; `LUNATIC_TIMED_OUT`; others as of
/// `lunatic_code_report`.
LUNATIC_IMPORT("lunatic::code", "wait")
int32_t lunatic_code_wait(int32_t upgrade, uint64_t timeout_ns);

/// Has an upgrade take back what it has changed. Nothing happens if it is over. Codes as of `lunatic_code_report`.
LUNATIC_IMPORT("lunatic::code", "cancel")
int32_t lunatic_code_cancel(int32_t upgrade);

// lunatic::inspect

/// *Waits* its turns. How many processes the caller sees whose name, or name of the function that they began with,
/// has the text in it. Of those, at most `limit` behind the first `skip`, at most `LUNATIC_LOOK_ROWS_MAX`, are in the
/// buffer, in an order of `LUNATIC_LOOK_…`: for each a `lunatic_process_figures` with its texts behind it.
/// `LUNATIC_DENIED`, or `LUNATIC_INVALID` for another order.
LUNATIC_IMPORT("lunatic::inspect", "processes")
int32_t lunatic_inspect_processes(int32_t order, size_t skip, size_t limit, const void *name, size_t name_len);

/// Leaves in the buffer the figures of one process, as `lunatic_inspect_processes` does, and behind them the numbers,
/// as `u32`s, of links, monitors, and monitors of others that are listed, then their handles. `LUNATIC_OK`;
/// `LUNATIC_CLOSED` if it has ended; `LUNATIC_DENIED`, also if the caller does not see it; `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::inspect", "process")
int32_t lunatic_inspect_process(uint64_t id, uint64_t key);

// lunatic::log

/// The most verbose level that is logged of a target: `LUNATIC_LOG_OFF` to `LUNATIC_LOG_TRACE`. Of no target (`len`
/// is 0), the most verbose level that is logged of any. It may change at any time. A target longer than
/// `LUNATIC_LOG_TARGET_LEN_MAX` traps.
LUNATIC_IMPORT("lunatic::log", "level")
int32_t lunatic_log_level(const void *target, size_t len);

/// Logs a record, unless its level is not logged of its target. Never waits. `LUNATIC_OK`; `LUNATIC_FULL` if it was
/// dropped, because as much is waiting to be written as may; `LUNATIC_LIMIT` if it is longer than
/// `LUNATIC_RECORD_LEN_MAX`. Bytes that are no record trap.
LUNATIC_IMPORT("lunatic::log", "record")
int32_t lunatic_log_record(const void *record, size_t len);

// lunatic::mailbox

/// Appends a message to the mailbox of a process, without waiting: `LUNATIC_OK`, `LUNATIC_INVALID`, `LUNATIC_CLOSED`
/// (it has ended), `LUNATIC_FULL` or `LUNATIC_LIMIT`.
///
/// A tag with `LUNATIC_REFERENCE_BIT` must be a reference that the receiver has open; else the message is dropped,
/// and the answer is OK.
LUNATIC_IMPORT("lunatic::mailbox", "send")
int32_t lunatic_mailbox_send(uint64_t id, uint64_t key, uint64_t tag, const void *message, size_t len);

/// Opens a new reference of the calling process: a tag that cannot be guessed. `LUNATIC_OK` or `LUNATIC_LIMIT`.
LUNATIC_IMPORT("lunatic::mailbox", "reference")
int32_t lunatic_mailbox_reference(uint64_t *out);

/// Closes a reference and drops what is queued under it. Nothing happens if it is not open.
LUNATIC_IMPORT("lunatic::mailbox", "close")
void lunatic_mailbox_close(uint64_t reference);

/// Takes the oldest entry whose tag is among the tags (any, if there are none), and returns the length of its body.
/// If that has at most `capacity` bytes, and at most `LUNATIC_IN_PLACE_LEN_MAX`, it has been copied to `to`; a longer
/// one waits in the buffer. Otherwise `LUNATIC_TIMED_OUT`; or `LUNATIC_EMPTY` if the timeout is 0.
///
/// Traps if there are more than `LUNATIC_TAGS_LEN_MAX` tags.
LUNATIC_IMPORT("lunatic::mailbox", "receive")
int32_t lunatic_mailbox_receive(const uint64_t *tags, size_t tags_len, lunatic_header *header, void *to, size_t capacity, uint64_t timeout_ns);

/// Sends a message and waits for what comes under the reference, which it closes; returns as `receive`. Writes a
/// fresh reference in its place, open for the next call and for nothing else (what comes under it before is that
/// call's answer, and is not received otherwise); 0 if the old one was not open. Ends with `LUNATIC_GONE` and the
/// reason bytes in the buffer when the process ends first. Otherwise `LUNATIC_TIMED_OUT`, `LUNATIC_FULL`,
/// `LUNATIC_LIMIT` or `LUNATIC_INVALID` (also if the reference is not open).
LUNATIC_IMPORT("lunatic::mailbox", "call")
int32_t lunatic_mailbox_call(uint64_t id, uint64_t key, uint64_t tag, const void *message, size_t len, uint64_t *reference, void *to, size_t capacity, uint64_t timeout_ns);

/// The index of the first source from which something can be received, waiting for one; or `LUNATIC_TIMED_OUT`,
/// `LUNATIC_INVALID`. A closed channel is ready. Traps if there are more than `LUNATIC_TAGS_LEN_MAX` sources or tags.
LUNATIC_IMPORT("lunatic::mailbox", "select")
int32_t lunatic_mailbox_select(const lunatic_source *sources, size_t len, uint64_t timeout_ns);

// lunatic::metrics

/// Opens a series, and makes it if there is none: its number, the same each time. The name is `NAME`, and for each
/// label a zero byte and `LABEL=VALUE`; `bounds` are the upper bounds of a histogram's buckets, which count if it is
/// made. `LUNATIC_LIMIT` if the system has as many series as it may; `LUNATIC_DENIED`; `LUNATIC_NAME_TAKEN` if the
/// name is of another kind. What is no name, or no list of bounds, traps.
LUNATIC_IMPORT("lunatic::metrics", "open")
int32_t lunatic_metrics_open(int32_t kind, const void *name, size_t len, const double *bounds, size_t bounds_len);

/// Adds to a counter. `LUNATIC_OK`, or `LUNATIC_INVALID` if it is none.
LUNATIC_IMPORT("lunatic::metrics", "add")
int32_t lunatic_metrics_add(int32_t series, uint64_t by);

/// Adds to what the calling process says of a gauge, which is 0 at first and when it has ended. `LUNATIC_OK`, or
/// `LUNATIC_INVALID` if it is none.
LUNATIC_IMPORT("lunatic::metrics", "change")
int32_t lunatic_metrics_change(int32_t series, int64_t by);

/// Sets what the calling process says of a gauge. As `lunatic_metrics_change`.
LUNATIC_IMPORT("lunatic::metrics", "set")
int32_t lunatic_metrics_set(int32_t series, int64_t to);

/// Counts a value in a histogram. `LUNATIC_OK`, or `LUNATIC_INVALID` if it is none.
LUNATIC_IMPORT("lunatic::metrics", "observe")
int32_t lunatic_metrics_observe(int32_t series, double value);

// lunatic::module

/// Compiles a module, in the binary or the text format, and writes its handle to `out`. Waits. The module belongs to
/// the caller, and goes when that ends; processes that run in it go on.
///
/// `LUNATIC_OK`; `LUNATIC_DENIED`, `LUNATIC_BAD_MODULE`, `LUNATIC_LIMIT`, each with the reason as text.
LUNATIC_IMPORT("lunatic::module", "compile")
int32_t lunatic_module_compile(const void *wasm, size_t wasm_len, lunatic_handle *out);

/// Lets a module go that the caller compiled: `LUNATIC_OK`, `LUNATIC_CLOSED` if it is not one of the caller's,
/// `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::module", "drop")
int32_t lunatic_module_drop(uint64_t id, uint64_t key);

/// As `process::spawn`, but the process runs in this module and calls an exported function that takes and returns
/// nothing. Who knows the handle may spawn in it.
///
/// Also `LUNATIC_CLOSED`, `LUNATIC_INVALID`, and `LUNATIC_BAD_MODULE` if there is no such function.
LUNATIC_IMPORT("lunatic::module", "spawn_export")
int32_t lunatic_module_spawn_export(uint64_t id, uint64_t key, const void *export_name, size_t export_len, const lunatic_spawn_options *options, lunatic_spawned *out);

// lunatic::net

/// Looks up the addresses of a host, waiting for them: their number, with the addresses in the buffer; or
/// `LUNATIC_NO_HOST` with the reason as text, `LUNATIC_TIMED_OUT`.
LUNATIC_IMPORT("lunatic::net", "resolve")
int32_t lunatic_net_resolve(const void *host, size_t host_len, int32_t port, uint64_t timeout_ns);

/// Listens for TCP connections at an address; the socket's handle is written to `out`.
LUNATIC_IMPORT("lunatic::net", "tcp_listen")
int32_t lunatic_net_tcp_listen(const lunatic_socket_address *address, lunatic_handle *out);

/// Connects to an address, waiting until that has come about.
LUNATIC_IMPORT("lunatic::net", "tcp_connect")
int32_t lunatic_net_tcp_connect(const lunatic_socket_address *address, uint64_t timeout_ns, lunatic_handle *out);

/// Looks a host up and connects to the first of its addresses that answers.
LUNATIC_IMPORT("lunatic::net", "tcp_connect_host")
int32_t lunatic_net_tcp_connect_host(const void *host, size_t host_len, int32_t port, uint64_t timeout_ns, lunatic_handle *out);

/// Waits for a connection to a listener and accepts it. The peer's address is written to `peer`; one without an IP
/// address has the family 0.
LUNATIC_IMPORT("lunatic::net", "accept")
int32_t lunatic_net_accept(uint64_t id, uint64_t key, uint64_t timeout_ns, lunatic_socket_address *peer, lunatic_handle *out);

/// Takes bytes that have come, waiting for some: how many, 0 at the end of the stream. Gives up after the socket's
/// timeout, and has taken nothing then.
LUNATIC_IMPORT("lunatic::net", "read")
int32_t lunatic_net_read(uint64_t id, uint64_t key, void *to, size_t to_len);

/// As `read`, but leaves the bytes where they are.
LUNATIC_IMPORT("lunatic::net", "peek")
int32_t lunatic_net_peek(uint64_t id, uint64_t key, void *to, size_t to_len);

/// Sends bytes, as many as there is room for, without waiting; `LUNATIC_FULL` if there is none.
LUNATIC_IMPORT("lunatic::net", "try_write")
int32_t lunatic_net_try_write(uint64_t id, uint64_t key, const void *from, size_t from_len);

/// Sends bytes, as many as there is room for, waiting for room for some: how many.
LUNATIC_IMPORT("lunatic::net", "write")
int32_t lunatic_net_write(uint64_t id, uint64_t key, const void *from, size_t from_len);

/// Binds a UDP socket to an address.
LUNATIC_IMPORT("lunatic::net", "udp_bind")
int32_t lunatic_net_udp_bind(const lunatic_socket_address *address, lunatic_handle *out);

/// From now on datagrams go to this address, and only those from there are received.
LUNATIC_IMPORT("lunatic::net", "udp_connect")
int32_t lunatic_net_udp_connect(uint64_t id, uint64_t key, const lunatic_socket_address *address);

/// Sends a datagram to an address, waiting for room.
LUNATIC_IMPORT("lunatic::net", "send_to")
int32_t lunatic_net_send_to(uint64_t id, uint64_t key, const lunatic_socket_address *address, const void *from, size_t from_len);

/// Takes a datagram, waiting for one, or looks at it if `peek` is not 0: its length, as far as there was room. Who
/// sent it is written to `address`.
LUNATIC_IMPORT("lunatic::net", "receive_from")
int32_t lunatic_net_receive_from(uint64_t id, uint64_t key, void *to, size_t to_len, int32_t peek, lunatic_socket_address *address);

/// Joins (1) or leaves (0) a multicast group on the interface with an IPv4 address, or with the scope id of an IPv6
/// address as its number.
LUNATIC_IMPORT("lunatic::net", "multicast")
int32_t lunatic_net_multicast(uint64_t id, uint64_t key, const lunatic_socket_address *group, const lunatic_socket_address *interface, int32_t join);

/// Listens at a path in a folder of the caller's, where nothing may be yet.
LUNATIC_IMPORT("lunatic::net", "unix_listen")
int32_t lunatic_net_unix_listen(const void *path, size_t path_len, lunatic_handle *out);

/// Connects to a path in a folder of the caller's.
LUNATIC_IMPORT("lunatic::net", "unix_connect")
int32_t lunatic_net_unix_connect(const void *path, size_t path_len, lunatic_handle *out);

/// Makes two streams that are connected with each other.
LUNATIC_IMPORT("lunatic::net", "unix_pair")
int32_t lunatic_net_unix_pair(lunatic_handle *one, lunatic_handle *other);

/// Ends reading (0), writing (1) or both (2).
LUNATIC_IMPORT("lunatic::net", "shutdown")
int32_t lunatic_net_shutdown(uint64_t id, uint64_t key, int32_t how);

/// Closes the caller's handle of a socket.
LUNATIC_IMPORT("lunatic::net", "close")
int32_t lunatic_net_close(uint64_t id, uint64_t key);

/// Another handle of the same socket.
LUNATIC_IMPORT("lunatic::net", "clone")
int32_t lunatic_net_clone(uint64_t id, uint64_t key, lunatic_handle *out);

/// Where the socket is bound.
LUNATIC_IMPORT("lunatic::net", "local_address")
int32_t lunatic_net_local_address(uint64_t id, uint64_t key, lunatic_socket_address *out);

/// What the socket is connected to.
LUNATIC_IMPORT("lunatic::net", "peer_address")
int32_t lunatic_net_peer_address(uint64_t id, uint64_t key, lunatic_socket_address *out);

/// The value of an option, one of `LUNATIC_OPTION_…`.
LUNATIC_IMPORT("lunatic::net", "get_option")
int32_t lunatic_net_get_option(uint64_t id, uint64_t key, int32_t option, uint64_t *out);

/// Sets an option.
LUNATIC_IMPORT("lunatic::net", "set_option")
int32_t lunatic_net_set_option(uint64_t id, uint64_t key, int32_t option, uint64_t value);

/// Reads a configuration of TLS (entries `KEY=VALUE`, a zero byte behind each) and writes its handle to `out`. It
/// goes with the caller. `LUNATIC_BAD_CONFIG` with the reason as text.
LUNATIC_IMPORT("lunatic::net", "tls_config")
int32_t lunatic_net_tls_config(const void *text, size_t text_len, lunatic_handle *out);

/// Puts another configuration in the place of one: connections that are made from now on use it.
LUNATIC_IMPORT("lunatic::net", "tls_replace")
int32_t lunatic_net_tls_replace(uint64_t id, uint64_t key, const void *text, size_t text_len);

/// Lets a configuration of the caller's go.
LUNATIC_IMPORT("lunatic::net", "tls_drop")
int32_t lunatic_net_tls_drop(uint64_t id, uint64_t key);

/// Puts TLS on a TCP connection, waiting for the handshake; `out` gets the handle of the stream. A client says to
/// which server it connects, a server has a name of length 0. The handle of the connection is to be closed by the
/// caller.
LUNATIC_IMPORT("lunatic::net", "tls_start")
int32_t lunatic_net_tls_start(uint64_t id, uint64_t key, uint64_t config_id, uint64_t config_key, const void *name, size_t name_len, lunatic_handle *out);

/// Leaves in the buffer what is known of a stream of TLS, one of `LUNATIC_TLS_INFO_…`; `LUNATIC_EMPTY` if there is no
/// such thing.
LUNATIC_IMPORT("lunatic::net", "tls_info")
int32_t lunatic_net_tls_info(uint64_t id, uint64_t key, int32_t what);

/// Hands a socket over: to the process (`kind` 0), to the owner of the channel (1), or to whoever claims it (2), and
/// until then it stays the caller's. It is claimed by the process that receives its handle. Nothing happens if it has
/// been claimed already.
LUNATIC_IMPORT("lunatic::net", "hand_over")
int32_t lunatic_net_hand_over(uint64_t id, uint64_t key, int32_t kind, uint64_t to_id, uint64_t to_key);

/// Makes a socket that is being handed over the caller's.
LUNATIC_IMPORT("lunatic::net", "claim")
int32_t lunatic_net_claim(uint64_t id, uint64_t key);

// lunatic::process

/// Spawns a process that calls `entry`, an index of the function table with type `() -> ()`, in a fresh instance of
/// the calling module. The bytes at `captured` are kept for the child, which fetches them with
/// `lunatic_process_captured`.
///
/// Returns `LUNATIC_OK` and writes the handle to `out`; or `LUNATIC_LIMIT`, with the limit that was hit as text in
/// the buffer.
LUNATIC_IMPORT("lunatic::process", "spawn_closure")
int32_t lunatic_process_spawn_closure(lunatic_entry entry, const void *captured, size_t captured_len, lunatic_handle *out);

/// Copies the bytes this process was spawned with to `to`. Traps unless `len` is exactly their number.
LUNATIC_IMPORT("lunatic::process", "captured")
void lunatic_process_captured(void *to, size_t len);

/// The number of bytes this process was spawned with.
LUNATIC_IMPORT("lunatic::process", "captured_len")
size_t lunatic_process_captured_len(void);

/// For the host's own loop around spawned entries; a guest that calls it gets -1 and nothing happens.
LUNATIC_IMPORT("lunatic::process", "next")
int32_t lunatic_process_next(void);

/// Writes the handle of the calling process to `out`.
LUNATIC_IMPORT("lunatic::process", "this")
void lunatic_process_this(lunatic_handle *out);

/// 1 while the process has not ended, else 0; or `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::process", "is_alive")
int32_t lunatic_process_is_alive(uint64_t id, uint64_t key);

/// Ends a process wherever it is. `LUNATIC_OK`, also when it has ended already; or `LUNATIC_INVALID`. A process that
/// kills itself does not return from this call.
LUNATIC_IMPORT("lunatic::process", "kill_handle")
int32_t lunatic_process_kill_handle(uint64_t id, uint64_t key);

/// Waits for a process to end: one of `LUNATIC_EXIT_…`, with the reason bytes in the buffer; or `LUNATIC_TIMED_OUT`,
/// `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::process", "join")
int32_t lunatic_process_join(uint64_t id, uint64_t key, uint64_t timeout_ns);

/// Blocks the calling process for at least this long.
LUNATIC_IMPORT("lunatic::process", "sleep_ns")
void lunatic_process_sleep_ns(uint64_t ns);

/// Lets other processes run first.
LUNATIC_IMPORT("lunatic::process", "yield_now")
void lunatic_process_yield_now(void);

/// As `spawn_closure`, with options. The link, the monitor and the name are there before the child runs.
///
/// `LUNATIC_OK`, `LUNATIC_LIMIT`, or `LUNATIC_NAME_TAKEN`, and then `out` holds who has the name and nothing was
/// spawned.
LUNATIC_IMPORT("lunatic::process", "spawn")
int32_t lunatic_process_spawn(lunatic_entry entry, const void *captured, size_t captured_len, const lunatic_spawn_options *options, lunatic_spawned *out);

/// Ends the calling process with the reason. Does not return. Traps if these are no reason bytes.
LUNATIC_IMPORT("lunatic::process", "exit")
void lunatic_process_exit(const void *reason, size_t len);

/// Sends an exit signal. KILLED ends the process for good. NORMAL does nothing, but to the caller itself; any other
/// reason ends the process. If the process traps exits, each but KILLED becomes a message.
///
/// `LUNATIC_OK`, also when it has ended already; or `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::process", "exit_signal")
int32_t lunatic_process_exit_signal(uint64_t id, uint64_t key, const void *reason, size_t len);

/// Links the calling process to another, once: when one ends, the other gets an exit signal with the reason. If it
/// has ended already, the caller gets one with NO_PROCESS. `LUNATIC_OK` or `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::process", "link")
int32_t lunatic_process_link(uint64_t id, uint64_t key);

/// Takes a link away. After that no exit signal of it arrives. `LUNATIC_OK`, also if there is none; or
/// `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::process", "unlink")
int32_t lunatic_process_unlink(uint64_t id, uint64_t key);

/// Asks for one message when the process ends, under the tag (0: the reference); at once if it has ended already.
/// `LUNATIC_OK` and the monitor's reference in `out`; or `LUNATIC_INVALID`, `LUNATIC_LIMIT`.
LUNATIC_IMPORT("lunatic::process", "monitor")
int32_t lunatic_process_monitor(uint64_t id, uint64_t key, uint64_t tag, uint64_t *out);

/// Takes a monitor away: 1 if it was active, else 0. If `flush` is not 0, its message, if it has come already, is
/// dropped.
LUNATIC_IMPORT("lunatic::process", "demonitor")
int32_t lunatic_process_demonitor(uint64_t reference, int32_t flush);

/// Whether exit signals become messages from now on; returns whether they did before.
LUNATIC_IMPORT("lunatic::process", "trap_exit")
int32_t lunatic_process_trap_exit(int32_t on);

/// Writes the handle of the process that spawned this one to `out`: `LUNATIC_OK`; or `LUNATIC_CLOSED` in the main
/// process.
LUNATIC_IMPORT("lunatic::process", "parent")
int32_t lunatic_process_parent(lunatic_handle *out);

// lunatic::registry

/// Gives a process a name until it ends: `LUNATIC_OK`, `LUNATIC_NAME_TAKEN`, `LUNATIC_CLOSED` (it has ended),
/// `LUNATIC_INVALID` or `LUNATIC_LIMIT`.
LUNATIC_IMPORT("lunatic::registry", "register")
int32_t lunatic_registry_register(const void *name, size_t len, uint64_t id, uint64_t key);

/// Takes a name away: `LUNATIC_OK` or `LUNATIC_CLOSED` (no one has it).
LUNATIC_IMPORT("lunatic::registry", "unregister")
int32_t lunatic_registry_unregister(const void *name, size_t len);

/// Who has the name: `LUNATIC_OK` and the handle in `out`; or `LUNATIC_CLOSED`.
LUNATIC_IMPORT("lunatic::registry", "lookup")
int32_t lunatic_registry_lookup(const void *name, size_t len, lunatic_handle *out);

/// Adds a process to a group until it ends, once: `LUNATIC_OK`, `LUNATIC_CLOSED` (it has ended), `LUNATIC_INVALID` or
/// `LUNATIC_LIMIT`.
LUNATIC_IMPORT("lunatic::registry", "join_group")
int32_t lunatic_registry_join_group(const void *name, size_t len, uint64_t id, uint64_t key);

/// Takes a process out of a group: `LUNATIC_OK`, `LUNATIC_CLOSED` (it is not in it) or `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::registry", "leave_group")
int32_t lunatic_registry_leave_group(const void *name, size_t len, uint64_t id, uint64_t key);

/// The number of members of a group; their handles are in the buffer, in the order in which they joined.
LUNATIC_IMPORT("lunatic::registry", "members")
int32_t lunatic_registry_members(const void *name, size_t len);

/// Sends a message to each member of a group: to how many. Or `LUNATIC_LIMIT`.
LUNATIC_IMPORT("lunatic::registry", "broadcast")
int32_t lunatic_registry_broadcast(const void *name, size_t len, uint64_t tag, const void *message, size_t message_len);

// lunatic::rights

/// 1 if the calling process may do what the text says, else 0: `spawn`, `configure`, `names`, `compile`, `inspect`,
/// `metrics`, `trace`, `upgrade`, `connect:HOST:PORT`, `bind:ADDRESS:PORT`, `resolve:HOST`. `LUNATIC_INVALID` for
/// other texts.
LUNATIC_IMPORT("lunatic::rights", "allows")
int32_t lunatic_rights_allows(const void *question, size_t question_len);

/// Writes what is used of the nearest budget of a process to `out`. `LUNATIC_OK`; `LUNATIC_EMPTY` if neither it nor
/// an ancestor has one; `LUNATIC_CLOSED` if it has ended; `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::rights", "usage")
int32_t lunatic_rights_usage(uint64_t id, uint64_t key, lunatic_usage *out);

/// Leaves in the buffer what a child has written to standard output (`stream` 0) or error (1) since the last call, if
/// the caller spawned it with `stdout=capture` or `stderr=capture`. `LUNATIC_OK`; `LUNATIC_EMPTY` if it is not kept,
/// or all was taken after the child's end; `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::rights", "take_output")
int32_t lunatic_rights_take_output(uint64_t id, uint64_t key, int32_t stream);

// lunatic::timer

/// Sends a message after a delay, and if the interval is not 0, again after each interval. The timer belongs to the
/// process that it sends to, and ends with it. `LUNATIC_OK` and the timer in `out`; `LUNATIC_INVALID`,
/// `LUNATIC_CLOSED`, `LUNATIC_LIMIT`, or `LUNATIC_FULL` if the process has as many timers as it may.
LUNATIC_IMPORT("lunatic::timer", "send_after")
int32_t lunatic_timer_send_after(uint64_t id, uint64_t key, uint64_t tag, const void *message, size_t len, uint64_t delay_ns, uint64_t interval_ns, uint64_t *out);

/// Ends a timer: 1 if it had not fired (or fires at intervals), 0 if it had, or its process has ended.
LUNATIC_IMPORT("lunatic::timer", "cancel")
int32_t lunatic_timer_cancel(uint64_t timer);

/// Stops the clock of the system, for good: for tests. When all its processes wait, the clock goes on to the next
/// timer or timeout. `LUNATIC_OK`; or `LUNATIC_INVALID` if the caller is not the main process.
LUNATIC_IMPORT("lunatic::timer", "pause")
int32_t lunatic_timer_pause(void);

// lunatic::trace

/// The length of the current context, 0 if there is none: its `traceparent` of `LUNATIC_TRACE_PARENT_LEN` bytes, and
/// behind it its `tracestate`. If it has at most `capacity` bytes, it has been copied to `to`; a longer one waits in
/// the buffer.
LUNATIC_IMPORT("lunatic::trace", "current")
int32_t lunatic_trace_current(void *to, size_t capacity);

/// Makes this, written as `lunatic_trace_current` does, the context that a message has brought; of no length, none.
/// `LUNATIC_OK`, `LUNATIC_INVALID` if it is no context, and nothing changes; `LUNATIC_DENIED`.
LUNATIC_IMPORT("lunatic::trace", "set")
int32_t lunatic_trace_set(const void *context, size_t len);

/// 1 if spans are recorded, else 0. It stays so for as long as the process lives.
LUNATIC_IMPORT("lunatic::trace", "recorded")
int32_t lunatic_trace_recorded(void);

/// Opens a span within the current one. `kind` is `LUNATIC_TRACE_INTERNAL` to `LUNATIC_TRACE_CONSUMER`, with
/// `LUNATIC_TRACE_ROOT` and `LUNATIC_TRACE_ENTER`; `fields` are those of `record`. A long name is cut. The number of
/// the span in this process, 1 or more; 0 if it is not recorded, because nobody wants it, the process may not, or has
/// too many open.
LUNATIC_IMPORT("lunatic::trace", "open")
int32_t lunatic_trace_open(int32_t kind, const void *name, size_t len, const void *fields, size_t fields_len);

/// Makes an open span the current one. `LUNATIC_OK`, or `LUNATIC_INVALID` if there is none, or
/// `LUNATIC_TRACE_OPEN_MAX` were entered and not left.
LUNATIC_IMPORT("lunatic::trace", "enter")
int32_t lunatic_trace_enter(int32_t span);

/// Leaves a span, which need not be the current one: that which was entered before it is current again, or what the
/// process was given. `LUNATIC_OK`, or `LUNATIC_INVALID` if it is not entered.
LUNATIC_IMPORT("lunatic::trace", "leave")
int32_t lunatic_trace_leave(int32_t span);

/// Adds fields to an open span. `LUNATIC_OK`, `LUNATIC_INVALID`, or `LUNATIC_LIMIT` if it has as many as it may.
/// Bytes that are no fields trap.
LUNATIC_IMPORT("lunatic::trace", "record")
int32_t lunatic_trace_record(int32_t span, const void *fields, size_t len);

/// Says that what an open span is about has failed, and why. `LUNATIC_OK` or `LUNATIC_INVALID`. A long text is cut.
LUNATIC_IMPORT("lunatic::trace", "fail")
int32_t lunatic_trace_fail(int32_t span, const void *text, size_t len);

/// Ends a span, and leaves it. `LUNATIC_OK`, `LUNATIC_INVALID`, or `LUNATIC_FULL` if it was dropped, because too many
/// wait to be taken.
LUNATIC_IMPORT("lunatic::trace", "close")
int32_t lunatic_trace_close(int32_t span);

#ifdef __cplusplus
}
#endif

#endif
