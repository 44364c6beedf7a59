/// The contract between Lunatic guests and the Lunatic host, for C and C++: codes, layouts and imports.
///
/// Include `lunatic.h`, which includes this file and adds functions that are easier to call. This file is generated from
/// the sources of `lunatic-sys` by its test `header`. `docs/abi.md` describes the rules for all functions: pointers,
/// handles, timeouts, and what traps.

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

/// A function of the host. Linkers import it only into a program that calls it.
#define LUNATIC_IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

/// The function that a process calls first: an index of the function table.
typedef void (*lunatic_entry)(void);

/// The call succeeded.
#define LUNATIC_OK 0
/// The host never gave out the handle: the key does not belong to the id.
#define LUNATIC_INVALID (-1)
/// The channel is closed, because the process that made it has exited; or the process has exited.
#define LUNATIC_CLOSED (-2)
/// The channel holds as many messages as its bound allows; or too much waits to be sent to another node.
#define LUNATIC_FULL (-3)
/// There is no message, or the process that is joined has not exited.
#define LUNATIC_EMPTY (-4)
/// The timeout passed.
#define LUNATIC_TIMED_OUT (-5)
/// A limit of the host was reached; the buffer names it, as text.
#define LUNATIC_LIMIT (-6)
/// The process that was called has exited; the buffer holds its reason bytes.
#define LUNATIC_GONE (-7)
/// Another process has the name.
#define LUNATIC_NAME_TAKEN (-8)
/// The process does not have the right; the buffer gives the reason, as text.
#define LUNATIC_DENIED (-9)
/// The configuration is invalid; the buffer gives the reason, as text.
#define LUNATIC_BAD_CONFIG (-10)
/// The bytes are not a module that the host can run, or the module lacks something; the buffer gives the reason, as
/// text.
#define LUNATIC_BAD_MODULE (-11)
/// The host found no addresses for a name; the buffer gives the reason, as text.
#define LUNATIC_NO_HOST (-12)
/// A TLS connection failed; the buffer gives the reason, as text.
#define LUNATIC_TLS_FAILED (-13)
/// The peer of a TLS connection closed it without ending TLS first: the data may be truncated.
#define LUNATIC_TRUNCATED (-14)
/// Another node refused the spawn; the buffer gives the reason, as text.
#define LUNATIC_REFUSED (-15)
/// The channel is on another node, so nothing was done: `channel::send` and `channel::receive` wait for its answer.
/// With a timeout of 0 they do not wait for room or for a message.
#define LUNATIC_ELSEWHERE (-16)
/// An error of the operating system is this number minus the number that WASI preview 1 has for it, such as -4110 for
/// a refused connection.
#define LUNATIC_IO_ERROR (-4096)

/// The timeout of reads in nanoseconds; `LUNATIC_NO_TIMEOUT` for none. Must not be 0.
#define LUNATIC_OPTION_READ_TIMEOUT 0
/// The timeout of writes in nanoseconds; `LUNATIC_NO_TIMEOUT` for none. Must not be 0.
#define LUNATIC_OPTION_WRITE_TIMEOUT 1
/// A switch: send small writes immediately.
#define LUNATIC_OPTION_NODELAY 2
/// The time to live of packets; for IPv6 the hop limit.
#define LUNATIC_OPTION_TTL 3
/// The time without traffic after which the peer is probed (TCP keepalive), in seconds; 0 for never.
#define LUNATIC_OPTION_KEEPALIVE 4
/// A switch: allow sending datagrams to broadcast addresses.
#define LUNATIC_OPTION_BROADCAST 5
/// A switch: an IPv6 socket does not accept IPv4. Cannot be changed once the socket is bound.
#define LUNATIC_OPTION_ONLY_V6 6
/// The size of the system's receive buffer, in bytes.
#define LUNATIC_OPTION_RECEIVE_BUFFER 7
/// The size of the system's send buffer, in bytes.
#define LUNATIC_OPTION_SEND_BUFFER 8
/// A switch: closing resets the connection and drops data that was not sent.
#define LUNATIC_OPTION_RESET_ON_CLOSE 9
/// The time to live of IPv4 multicast packets.
#define LUNATIC_OPTION_MULTICAST_TTL_V4 10
/// A switch: deliver IPv4 multicast packets on this machine as well.
#define LUNATIC_OPTION_MULTICAST_LOOP_V4 11
/// A switch: deliver IPv6 multicast packets on this machine as well.
#define LUNATIC_OPTION_MULTICAST_LOOP_V6 12
/// WASI's number of the error that is pending, 0 for none. Reading it clears it.
#define LUNATIC_OPTION_ERROR 13

/// A process.
#define LUNATIC_RECEIVER_PROCESS 0
/// The owner of a channel.
#define LUNATIC_RECEIVER_CHANNEL 1
/// Whoever claims it.
#define LUNATIC_RECEIVER_ANYBODY 2

/// The largest TLS configuration, in bytes.
#define LUNATIC_TLS_CONFIG_LEN_MAX 1048576

/// The protocol that both sides agreed on.
#define LUNATIC_TLS_INFO_ALPN 0
/// The name that the client asked for.
#define LUNATIC_TLS_INFO_SERVER_NAME 1
/// The certificates of the peer, its own first: of each the length as a little-endian `u32`, and its DER.
#define LUNATIC_TLS_INFO_PEER_CERTIFICATES 2

/// The largest configuration of a spawn, in bytes.
#define LUNATIC_CONFIG_LEN_MAX 65536
/// The timeout that never passes.
#define LUNATIC_NO_TIMEOUT UINT64_C(18446744073709551615)

/// The entry function returned, or the process called `proc_exit(0)`.
#define LUNATIC_EXIT_NORMAL 0
/// The process called `proc_exit` with a code other than 0; the detail is the code.
#define LUNATIC_EXIT_EXIT 1
/// The process panicked; the text is the panic message.
#define LUNATIC_EXIT_PANIC 2
/// The process trapped; the detail is one of `LUNATIC_TRAP_…`, the text a description.
#define LUNATIC_EXIT_TRAP 3
/// The process was killed.
#define LUNATIC_EXIT_KILLED 4
/// The process exited so long ago that the host no longer knows the reason.
#define LUNATIC_EXIT_FORGOTTEN 5
/// The process was asked to stop in an orderly way.
#define LUNATIC_EXIT_SHUTDOWN 6
/// The process exited with an error, which is the text.
#define LUNATIC_EXIT_ERROR 7
/// The process reached a limit of its memory; the text describes how it failed then.
#define LUNATIC_EXIT_OUT_OF_MEMORY 8
/// The process used up its budget of processor time.
#define LUNATIC_EXIT_OUT_OF_BUDGET 9
/// No process of the system could ever run again; the text lists which process was waiting for what.
#define LUNATIC_EXIT_DEADLOCK 10
/// There was no such process.
#define LUNATIC_EXIT_NO_PROCESS 11
/// The connection to the node of the process was lost; the detail is one of `LUNATIC_LOSS_…`.
#define LUNATIC_EXIT_NODE_GONE 12
/// A bug of the host ended the process; the text describes it.
#define LUNATIC_EXIT_HOST_BUG 13

/// The bytes before the text in reason bytes.
#define LUNATIC_REASON_HEAD_LEN 8
/// The longest text of a reason that a process can pass to the host, in bytes.
#define LUNATIC_REASON_TEXT_LEN_MAX 65536

/// Another kind of trap.
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
/// A table access out of bounds, or an indirect call of a null entry or of a function of another type.
#define LUNATIC_TRAP_BAD_CALL 6

/// There was no connection.
#define LUNATIC_LOSS_UNCONNECTED 0
/// The node has left, or its machine has closed the connection.
#define LUNATIC_LOSS_CLOSED 1
/// The node did not send anything for too long.
#define LUNATIC_LOSS_SILENT 2
/// Some of the data that the node sent was lost on the way.
#define LUNATIC_LOSS_GAP 3
/// The node has given up the connection.
#define LUNATIC_LOSS_RESET 4
/// The node was started again.
#define LUNATIC_LOSS_REPLACED 5
/// The node broke the protocol.
#define LUNATIC_LOSS_VIOLATION 6
/// The node did not take the data that was sent to it.
#define LUNATIC_LOSS_OVERFLOW 7

/// The parent is linked to the child.
#define LUNATIC_SPAWN_LINK 1u
/// The parent monitors the child.
#define LUNATIC_SPAWN_MONITOR 2u
/// The child traps exits from the start.
#define LUNATIC_SPAWN_TRAP_EXIT 4u
/// The child begins a new scope of names, which contains only the child's own name.
#define LUNATIC_SPAWN_NEW_SCOPE 8u

/// A message from a process.
#define LUNATIC_MAIL_MESSAGE 0u
/// A linked process has exited, or a process has sent an exit signal; the body is the reason bytes.
#define LUNATIC_MAIL_EXIT 1u
/// A monitored process has exited; the body is the reason bytes.
#define LUNATIC_MAIL_DOWN 2u
/// Another version of the code waits for this process. Only a process that has asked for this kind with
/// `lunatic_code_offer` gets it. It comes before all other entries of the mailbox, with the tag `LUNATIC_CHANGE_TAG`;
/// the body is empty. The reference is `LUNATIC_DESCRIBE` or 0.
#define LUNATIC_MAIL_CHANGE 3u

/// The reference of `LUNATIC_MAIL_CHANGE` in a rehearsal, and in an upgrade that goes on although some processes
/// cannot change: the state should contain what else the two versions must agree on, such as the types of messages.
/// In other upgrades, which follow a rehearsal, this would take time for each process, and find nothing.
#define LUNATIC_DESCRIBE UINT64_C(1)
/// The tag of `LUNATIC_MAIL_CHANGE`. It is below 16, so no message type has it.
#define LUNATIC_CHANGE_TAG UINT64_C(6)
/// The new version did not accept the state; the buffer gives the reason, as text.
#define LUNATIC_NOT_CHANGED (-15)
/// The longest state that can be moved from one version to another, in bytes: 64 MiB.
#define LUNATIC_STATE_LEN_MAX 67108864

/// Not at all: it asks, by offering again.
#define LUNATIC_OFFER_ASKS 0
/// By `LUNATIC_MAIL_CHANGE`, which it must receive from its mailbox.
#define LUNATIC_OFFER_MAIL 1
/// By the error `EINTR`, with which its next wait to read from a socket or to accept a connection ends. Then it asks.
#define LUNATIC_OFFER_INTERRUPT 2
/// The process offers no point of change any more. The entry is ignored, and a version that waits is forgotten.
#define LUNATIC_OFFER_NONE 3

/// The largest number of processes that one call of `inspect::processes` returns.
#define LUNATIC_LOOK_ROWS_MAX 1000
/// The longest name of a function that inspection returns, in bytes.
#define LUNATIC_LOOK_ENTRY_LEN_MAX 1024

/// An order: by id.
#define LUNATIC_LOOK_BY_ID 0
/// An order: by the entries in the mailbox, most first.
#define LUNATIC_LOOK_BY_MAILBOX 1
/// An order: by the bytes in the mailbox, most first.
#define LUNATIC_LOOK_BY_MAILBOX_BYTES 2
/// An order: by the size of the memory, largest first.
#define LUNATIC_LOOK_BY_MEMORY 3
/// An order: by processor time, longest first.
#define LUNATIC_LOOK_BY_TIME 4
/// An order: by the age of the oldest entry in the mailbox, oldest first.
#define LUNATIC_LOOK_BY_OLDEST 5
/// A state: a worker is running it.
#define LUNATIC_LOOK_RUNNING 0u
/// A state: it waits for a worker.
#define LUNATIC_LOOK_READY 1u
/// A state: it is blocked.
#define LUNATIC_LOOK_WAITING 2u
/// A wait: input or output.
#define LUNATIC_LOOK_OUTSIDE 1u
/// A wait: a message in a channel.
#define LUNATIC_LOOK_RECEIVE 2u
/// A wait: room in a channel.
#define LUNATIC_LOOK_SEND 3u
/// A wait: the exit of a process.
#define LUNATIC_LOOK_JOIN 4u
/// A wait: a point in time.
#define LUNATIC_LOOK_SLEEP 5u
/// A wait: mail.
#define LUNATIC_LOOK_MAIL 6u
/// A wait: the answer to a call.
#define LUNATIC_LOOK_CALL 7u
/// A wait: one of several sources.
#define LUNATIC_LOOK_SELECT 8u
/// A wait: a socket.
#define LUNATIC_LOOK_SOCKET 9u
/// A wait: a file.
#define LUNATIC_LOOK_FILE 10u
/// A flag: its memory is packed.
#define LUNATIC_LOOK_FROZEN 1u
/// A flag: exit signals become mail.
#define LUNATIC_LOOK_TRAPS_EXITS 2u
/// A flag: it is the main process, whose exit ends the program.
#define LUNATIC_LOOK_MAIN 4u

/// The tag of mail about exits.
#define LUNATIC_TAG_SIGNAL UINT64_C(1)
/// The bit that distinguishes references from other tags.
#define LUNATIC_REFERENCE_BIT UINT64_C(9223372036854775808)

/// A channel: `a` is its id, `b` its key.
#define LUNATIC_SOURCE_CHANNEL 0u
/// The mailbox: `a` points to tags; without tags, every entry counts.
#define LUNATIC_SOURCE_MAILBOX 1u
/// A socket that can be read or accepted from: `a` is its id, `b` its key.
#define LUNATIC_SOURCE_READABLE 2u
/// A socket that can be written to: `a` is its id, `b` its key.
#define LUNATIC_SOURCE_WRITABLE 3u

/// The longest name of a process or a group, in bytes.
#define LUNATIC_NAME_LEN_MAX 255
/// The largest number of tags or of sources in one call.
#define LUNATIC_TAGS_LEN_MAX 256
/// The largest size of the captured values of a spawn, in bytes.
#define LUNATIC_CAPTURE_LEN_MAX 65536
/// The largest message, in bytes.
#define LUNATIC_MESSAGE_LEN_MAX 268435456
/// The largest message that a receive copies directly into the memory of the receiver, in bytes. A longer message is
/// put into the buffer, whatever the capacity, because copying it takes longer than one call may.
#define LUNATIC_IN_PLACE_LEN_MAX 1048576

/// A level: log nothing.
#define LUNATIC_LOG_OFF 0
/// A level: errors.
#define LUNATIC_LOG_ERROR 1
/// A level: unexpected conditions that are not errors.
#define LUNATIC_LOG_WARN 2
/// A level: noteworthy events.
#define LUNATIC_LOG_INFO 3
/// A level: details for debugging.
#define LUNATIC_LOG_DEBUG 4
/// A level: every step.
#define LUNATIC_LOG_TRACE 5
/// The longest target, in bytes.
#define LUNATIC_LOG_TARGET_LEN_MAX 255

/// A kind of series: an integer that only grows.
#define LUNATIC_METRICS_COUNTER 0
/// A kind of series: a number that goes up and down, the sum of the values of all living processes.
#define LUNATIC_METRICS_GAUGE 1
/// A kind of series: counts of values by size.
#define LUNATIC_METRICS_HISTOGRAM 2
/// The longest name of a series or a label, in bytes.
#define LUNATIC_METRICS_NAME_LEN_MAX 64
/// The longest value of a label, in bytes.
#define LUNATIC_METRICS_VALUE_LEN_MAX 128
/// The largest number of labels of a series.
#define LUNATIC_METRICS_LABELS_MAX 4
/// The largest number of bounds of a histogram.
#define LUNATIC_METRICS_BOUNDS_MAX 32
/// The largest number of series of a system. Each combination of label values is a series.
#define LUNATIC_METRICS_SERIES_MAX 1024

/// The longest record, in bytes.
#define LUNATIC_RECORD_LEN_MAX 16384

/// A kind of span: work within the process.
#define LUNATIC_TRACE_INTERNAL 0
/// A kind of span: a request that is handled.
#define LUNATIC_TRACE_SERVER 1
/// A kind of span: a request that is made.
#define LUNATIC_TRACE_CLIENT 2
/// A kind of span: a message that another process works on later.
#define LUNATIC_TRACE_PRODUCER 3
/// A kind of span: work on such a message.
#define LUNATIC_TRACE_CONSUMER 4
/// Added to the kind of a span: it is the root of a new trace.
#define LUNATIC_TRACE_ROOT 8
/// Added to the kind of a span: it becomes the current span.
#define LUNATIC_TRACE_ENTER 16
/// The longest name of a span, in bytes.
#define LUNATIC_TRACE_NAME_LEN_MAX 255
/// The longest list of fields of one call, in bytes. All fields of a span together have the same limit.
#define LUNATIC_TRACE_FIELDS_LEN_MAX 8192
/// The largest number of fields of a span.
#define LUNATIC_TRACE_FIELDS_MAX 64
/// The largest number of spans that a process can have open.
#define LUNATIC_TRACE_OPEN_MAX 1024
/// The longest `tracestate` that is passed on, in bytes.
#define LUNATIC_TRACE_STATE_LEN_MAX 512
/// The length of a `traceparent`.
#define LUNATIC_TRACE_PARENT_LEN 55
/// The flag of a trace that is recorded.
#define LUNATIC_TRACE_SAMPLED 1

/// A handle of a process, a channel or a socket: 16 bytes, two little-endian `u64`s.
///
/// Guests pass the bytes on unchanged. They can only read `slot` and `number` from a handle, to show it to people;
/// the meaning of all other bits may change with the host.
typedef struct lunatic_handle {
    /// Identifies the process, channel or socket on its node: its slot, the use of the slot, and a part of the node's
    /// number.
    uint64_t id;
    /// Proves that the host gave the handle out: a keyed hash of `id`, and the other part of the node's number.
    uint64_t key;
} lunatic_handle;
LUNATIC_SIZE_IS(lunatic_handle, 16);

/// The options of `process::spawn`.
typedef struct lunatic_spawn_options {
    /// Bits of `LUNATIC_SPAWN_…`; other bits are ignored.
    uint32_t flags;
    /// The length of the name in bytes, 0 for none.
    uint32_t name_len;
    /// A pointer to the name.
    uint64_t name;
    /// The largest memory in bytes; 0 for the limit of the parent.
    uint64_t max_memory;
    /// The largest number of entries in the mailbox; 0 for the limit of the parent.
    uint64_t mailbox_max;
    /// If the child is monitored: the tag of the message about its exit; 0 for the monitor's reference.
    uint64_t monitor_tag;
    /// A pointer to the configuration: entries `KEY=VALUE`, each followed by a zero byte.
    uint64_t config;
    /// The length of the configuration in bytes. With 0 the child has the rights of its parent.
    uint32_t config_len;
    /// Ignored.
    uint32_t reserved;
} lunatic_spawn_options;
LUNATIC_SIZE_IS(lunatic_spawn_options, 56);

/// The result of `process::spawn`.
typedef struct lunatic_spawned {
    /// The child; or the process that has the name already.
    lunatic_handle process;
    /// The reference of the monitor, 0 without a monitor.
    uint64_t reference;
} lunatic_spawned;
LUNATIC_SIZE_IS(lunatic_spawned, 24);

/// The usage of a budget.
typedef struct lunatic_usage {
    /// The number of living processes.
    uint64_t processes;
    /// Bytes of linear memory, of tables, and of everything that the host keeps for the processes.
    uint64_t memory;
    /// The number of open sockets.
    uint64_t sockets;
    /// Processor time so far, in nanoseconds.
    uint64_t cpu_ns;
} lunatic_usage;
LUNATIC_SIZE_IS(lunatic_usage, 32);

/// The description of a mailbox entry that `mailbox::receive` returns beside its body.
typedef struct lunatic_header {
    /// One of `LUNATIC_MAIL_…`.
    uint32_t kind;
    /// The length of the body in bytes.
    uint32_t len;
    /// The tag.
    uint64_t tag;
    /// For DOWN: the reference of the monitor. For CHANGE: `LUNATIC_DESCRIBE` or 0.
    uint64_t reference;
    /// For EXIT and DOWN: the process that has exited or sent the signal.
    lunatic_handle from;
} lunatic_header;
LUNATIC_SIZE_IS(lunatic_header, 40);

/// A source that `mailbox::select` waits for.
typedef struct lunatic_source {
    /// One of `LUNATIC_SOURCE_…`.
    uint32_t kind;
    /// For the mailbox: the number of tags.
    uint32_t tags_len;
    /// For a channel or a socket: its id. For the mailbox: a pointer to the tags.
    uint64_t a;
    /// For a channel or a socket: its key.
    uint64_t b;
} lunatic_source;
LUNATIC_SIZE_IS(lunatic_source, 24);

/// A network address.
typedef struct lunatic_socket_address {
    /// 4 or 6; 0 for none.
    uint32_t family;
    /// The port, at most 65,535.
    uint32_t port;
    /// The bytes of the IP address in network order; an IPv4 address uses the first four.
    uint8_t ip[16];
    /// The flow information of an IPv6 address; otherwise ignored.
    uint32_t flow_info;
    /// The scope id of an IPv6 address; otherwise ignored.
    uint32_t scope_id;
} lunatic_socket_address;
LUNATIC_SIZE_IS(lunatic_socket_address, 32);

/// The figures of a process that `inspect` returns. Followed by the bytes of its name and of the name of its entry
/// function.
typedef struct lunatic_process_figures {
    /// The process.
    lunatic_handle process;
    /// The process that spawned it; zeros for the main process.
    lunatic_handle parent;
    /// The number of entries in its mailbox.
    uint64_t mailbox;
    /// The bytes in its mailbox.
    uint64_t mailbox_bytes;
    /// The number of entries that its mailbox has received so far.
    uint64_t mail_total;
    /// The size of its linear memory, in bytes.
    uint64_t memory;
    /// Its processor time in nanoseconds, counted in time slices.
    uint64_t cpu_ns;
    /// How long the oldest entry has been in its mailbox, in milliseconds; `u64::MAX` without entries.
    uint64_t oldest_ms;
    /// How long ago it last stopped running, in milliseconds; `u64::MAX` while it runs, and before it has begun.
    uint64_t stopped_ms;
    /// The number of its links.
    uint32_t links;
    /// The number of monitors that it has set.
    uint32_t monitors;
    /// The number of monitors that other processes have set on it.
    uint32_t monitored_by;
    /// The number of timers that send to it.
    uint32_t timers;
    /// How often it has been scheduled, modulo 2³².
    uint32_t runs;
    /// One of the states of `LUNATIC_LOOK_…`.
    uint32_t state;
    /// What it waits for: one of the waits of `LUNATIC_LOOK_…`, 0 for nothing.
    uint32_t wait;
    /// Flags of `LUNATIC_LOOK_…`.
    uint32_t flags;
    /// The length of its name in bytes, 0 without a name.
    uint32_t name_len;
    /// The length of the name of its entry function in bytes, 0 if that is not known.
    uint32_t entry_len;
} lunatic_process_figures;
LUNATIC_SIZE_IS(lunatic_process_figures, 128);

// lunatic::buffer

/// Returns the number of bytes in the buffer.
LUNATIC_IMPORT("lunatic::buffer", "len")
size_t lunatic_buffer_len(void);

/// Copies the whole buffer to `to` and empties it. Traps unless `len` is exactly its number of bytes.
LUNATIC_IMPORT("lunatic::buffer", "take")
void lunatic_buffer_take(void *to, size_t len);

/// Copies bytes into the buffer. Returns `LUNATIC_OK`, or `LUNATIC_LIMIT` if they are more than
/// `LUNATIC_MESSAGE_LEN_MAX` or the caller cannot pay for them.
///
/// A call that sends a message of more than `LUNATIC_IN_PLACE_LEN_MAX` bytes takes it out of the buffer, and traps if
/// the buffer does not hold exactly `len` bytes.
LUNATIC_IMPORT("lunatic::buffer", "put")
int32_t lunatic_buffer_put(const void *from, size_t len);

// lunatic::channel

/// Makes a channel that the calling process owns. `bound` is the largest number of queued messages; 0 means no bound.
///
/// Writes the handle to `out` and returns `LUNATIC_OK`; or returns `LUNATIC_LIMIT`.
LUNATIC_IMPORT("lunatic::channel", "new")
int32_t lunatic_channel_new(uint64_t bound, lunatic_handle *out);

/// Sends a message without waiting. Returns `LUNATIC_OK`, `LUNATIC_FULL`, `LUNATIC_CLOSED`, `LUNATIC_INVALID`, or
/// `LUNATIC_LIMIT` if the message is too large or all queues together have reached their limit. For a channel of
/// another node it returns `LUNATIC_ELSEWHERE`.
LUNATIC_IMPORT("lunatic::channel", "try_send")
int32_t lunatic_channel_try_send(uint64_t id, uint64_t key, const void *message, size_t len);

/// Sends a message; waits while the channel is full. Returns the same as `try_send`, but `LUNATIC_TIMED_OUT` instead
/// of `FULL`. If the channel is on another node, it also waits for the answer of that node, whatever the timeout.
LUNATIC_IMPORT("lunatic::channel", "send")
int32_t lunatic_channel_send(uint64_t id, uint64_t key, const void *message, size_t len, uint64_t timeout_ns);

/// Receives the oldest message without waiting, and returns its length. If it has at most `capacity` bytes, and at
/// most `LUNATIC_IN_PLACE_LEN_MAX`, it is copied to `to`; a longer message is put into the buffer. Returns
/// `LUNATIC_EMPTY` if there is no message, or `LUNATIC_CLOSED` or `LUNATIC_INVALID`. For a channel of another node it
/// returns `LUNATIC_ELSEWHERE`.
LUNATIC_IMPORT("lunatic::channel", "try_receive")
int32_t lunatic_channel_try_receive(uint64_t id, uint64_t key, void *to, size_t capacity);

/// Receives the oldest message; waits while there is none. Returns the same as `try_receive`, but `LUNATIC_TIMED_OUT`
/// instead of `EMPTY`. If the channel is on another node, it also waits for the answer of that node, whatever the
/// timeout, and can return `LUNATIC_LIMIT`: there is no memory for the wait, or too many processes of this node wait
/// there.
LUNATIC_IMPORT("lunatic::channel", "receive")
int32_t lunatic_channel_receive(uint64_t id, uint64_t key, void *to, size_t capacity, uint64_t timeout_ns);

// lunatic::code

/// Offers a point of change: at this point the process can move to another version of its code, which then calls its
/// function with the name of `entry`. `entry` is an index of the function table with type `() -> ()`. A new offer
/// replaces the former one.
///
/// `heard` is one of `LUNATIC_OFFER_…`: how the process is notified of a version that waits for it; or that it
/// withdraws its offer.
///
/// Returns 1 if another version waits for this process, else 0.
LUNATIC_IMPORT("lunatic::code", "offer")
int32_t lunatic_code_offer(lunatic_entry entry, int32_t heard);

/// Moves the process to the version that waits, with `len` bytes of state, which the entry fetches with
/// `lunatic_process_captured`. Does not return if the new version calls `lunatic_code_accept`; the calling instance
/// is dropped then.
///
/// Returns `LUNATIC_EMPTY` if no version waits (any more); `LUNATIC_NOT_CHANGED`, with the reason as text in the
/// buffer, if the new version did not accept the state; or `LUNATIC_LIMIT` if the state is longer than
/// `LUNATIC_STATE_LEN_MAX` or the process cannot pay for it.
LUNATIC_IMPORT("lunatic::code", "change")
int32_t lunatic_code_change(const void *state, size_t len);

/// Accepts the state. The entry calls this once it has read the state; from then on the process runs this version.
/// Returns `LUNATIC_OK`, or `LUNATIC_INVALID` if the caller is not on trial.
LUNATIC_IMPORT("lunatic::code", "accept")
int32_t lunatic_code_accept(void);

/// Rejects the state. The entry calls this instead of `lunatic_code_accept`; the process goes on in the old version.
/// The text gives the reason. Does not return.
LUNATIC_IMPORT("lunatic::code", "refuse")
void lunatic_code_refuse(const void *why, size_t len);

/// Refuses to move to the version that waits: the process stays in its version. The text gives the reason.
LUNATIC_IMPORT("lunatic::code", "decline")
void lunatic_code_decline(const void *why, size_t len);

/// Returns the number of the caller's version; or, while the caller is on trial, of the version that the state comes
/// from. Returns 0 in a module that a process has compiled.
LUNATIC_IMPORT("lunatic::code", "version")
int32_t lunatic_code_version(void);

/// Returns the number of the version that the system is being moved to, or was last moved to.
LUNATIC_IMPORT("lunatic::code", "current")
int32_t lunatic_code_current(void);

/// Begins to move the caller's system to a module that was compiled with `lunatic_module_compile`. If the caller has
/// fewer rights than the main process of the system, only processes with the caller's rights or fewer change.
/// `settings` is text with lines `NAME=VALUE`:
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
/// Returns the number of the upgrade within the system, 1 or more. Otherwise returns, with the reason as text in the
/// buffer, `LUNATIC_DENIED` without the right `upgrade`; `LUNATIC_FULL` if another upgrade of the system is running
/// (one that was begun by a process with fewer rights is rolled back first); `LUNATIC_BAD_CONFIG` if a setting is
/// invalid; `LUNATIC_BAD_MODULE` if the module cannot be compiled; `LUNATIC_LIMIT` if the caller cannot pay for the
/// compiled module, or the machine refuses a thread. Without a reason, returns `LUNATIC_CLOSED` if the module was
/// dropped, or `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::code", "upgrade")
int32_t lunatic_code_upgrade(uint64_t module_id, uint64_t module_key, const void *settings, size_t len);

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
/// Returns `LUNATIC_OK`; `LUNATIC_CLOSED` if it is not the last upgrade that was begun, or changes processes that
/// have more rights than the caller; or `LUNATIC_DENIED`.
LUNATIC_IMPORT("lunatic::code", "report")
int32_t lunatic_code_report(int32_t upgrade);

/// Waits until an upgrade is over. Returns `LUNATIC_OK`, `LUNATIC_TIMED_OUT`, or another code of
/// `lunatic_code_report`.
LUNATIC_IMPORT("lunatic::code", "wait")
int32_t lunatic_code_wait(int32_t upgrade, uint64_t timeout_ns);

/// Rolls an upgrade back; does nothing if it is over. Returns the same codes as `lunatic_code_report`.
LUNATIC_IMPORT("lunatic::code", "cancel")
int32_t lunatic_code_cancel(int32_t upgrade);

// lunatic::inspect

/// Returns how many processes the caller sees whose registered name, or whose entry function's name, contains the
/// text. Skips the first `skip` of them and puts at most `limit`, and at most `LUNATIC_LOOK_ROWS_MAX`, into the
/// buffer, in an order of `LUNATIC_LOOK_…`: for each a `lunatic_process_figures`, followed by its texts. Lets other
/// processes run meanwhile. Otherwise returns `LUNATIC_DENIED`, or `LUNATIC_INVALID` for an unknown order, or a
/// `skip` above 65,536.
LUNATIC_IMPORT("lunatic::inspect", "processes")
int32_t lunatic_inspect_processes(int32_t order, size_t skip, size_t limit, const void *name, size_t name_len);

/// Puts the figures of one process into the buffer, as `lunatic_inspect_processes` does; after them three `u32`s, the
/// numbers of links, of its monitors, and of monitors of other processes that are listed; then their handles.
///
/// Returns `LUNATIC_OK`; `LUNATIC_CLOSED` if the process has exited; `LUNATIC_DENIED`, also if the caller does not
/// see it; or `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::inspect", "process")
int32_t lunatic_inspect_process(uint64_t id, uint64_t key);

// lunatic::log

/// Returns the most verbose level that is logged for a target, `LUNATIC_LOG_OFF` to `LUNATIC_LOG_TRACE`. With `len`
/// 0, returns the most verbose level that is logged for any target. It may change at any time. Traps if the target is
/// longer than `LUNATIC_LOG_TARGET_LEN_MAX`.
LUNATIC_IMPORT("lunatic::log", "level")
int32_t lunatic_log_level(const void *target, size_t len);

/// Logs a record, unless its level is not logged for its target. Never waits. Returns `LUNATIC_OK`; `LUNATIC_FULL` if
/// the record was dropped, because too many are waiting to be written; or `LUNATIC_LIMIT` if it is longer than
/// `LUNATIC_RECORD_LEN_MAX`. Traps if the bytes are not a record.
LUNATIC_IMPORT("lunatic::log", "record")
int32_t lunatic_log_record(const void *record, size_t len);

// lunatic::mailbox

/// Sends a message to the mailbox of a process, without waiting. Returns `LUNATIC_OK`, `LUNATIC_INVALID`,
/// `LUNATIC_CLOSED` (the process has exited), `LUNATIC_FULL` or `LUNATIC_LIMIT`.
///
/// A tag with `LUNATIC_REFERENCE_BIT` must be a reference that the receiver has open. Otherwise the message is
/// dropped, and the result is OK.
LUNATIC_IMPORT("lunatic::mailbox", "send")
int32_t lunatic_mailbox_send(uint64_t id, uint64_t key, uint64_t tag, const void *message, size_t len);

/// Opens a new reference of the calling process: a tag that cannot be guessed. Writes it to `out` and returns
/// `LUNATIC_OK`, or returns `LUNATIC_LIMIT`.
LUNATIC_IMPORT("lunatic::mailbox", "reference")
int32_t lunatic_mailbox_reference(uint64_t *out);

/// Closes a reference and drops the entries under it. Does nothing if it is not open.
LUNATIC_IMPORT("lunatic::mailbox", "close")
void lunatic_mailbox_close(uint64_t reference);

/// Receives the oldest entry with one of the tags (with any tag if `tags_len` is 0), and returns the length of its
/// body. If the body has at most `capacity` bytes, and at most `LUNATIC_IN_PLACE_LEN_MAX`, it is copied to `to`; a
/// longer one is put into the buffer. Returns `LUNATIC_TIMED_OUT` if there is none in time, or `LUNATIC_EMPTY` if the
/// timeout is 0.
///
/// Traps if there are more than `LUNATIC_TAGS_LEN_MAX` tags.
LUNATIC_IMPORT("lunatic::mailbox", "receive")
int32_t lunatic_mailbox_receive(const uint64_t *tags, size_t tags_len, lunatic_header *header, void *to, size_t capacity, uint64_t timeout_ns);

/// Sends a message and waits for an entry under the reference, which it closes. Returns the same as `receive`.
///
/// In place of the reference it writes a new one, which is open for the next call only; 0 if the old one was not
/// open. An entry that comes under the new reference before the next call is the answer to that call, and cannot be
/// received otherwise.
///
/// Returns `LUNATIC_GONE`, with the reason bytes in the buffer, if the process exits first. Otherwise returns
/// `LUNATIC_TIMED_OUT`, `LUNATIC_FULL`, `LUNATIC_LIMIT` or `LUNATIC_INVALID` (also if the reference is not open).
LUNATIC_IMPORT("lunatic::mailbox", "call")
int32_t lunatic_mailbox_call(uint64_t id, uint64_t key, uint64_t tag, const void *message, size_t len, uint64_t *reference, void *to, size_t capacity, uint64_t timeout_ns);

/// Waits until something can be received from one of the sources, and returns the index of the first such source. A
/// closed channel is ready. A socket is ready if an attempt may succeed or fail without waiting; the next attempt can
/// still find that it would wait. Returns `LUNATIC_TIMED_OUT` or `LUNATIC_INVALID`. Traps if there are more than
/// `LUNATIC_TAGS_LEN_MAX` sources or tags.
LUNATIC_IMPORT("lunatic::mailbox", "select")
int32_t lunatic_mailbox_select(const lunatic_source *sources, size_t len, uint64_t timeout_ns);

// lunatic::metrics

/// Opens a series, and makes it if it does not exist. Returns its number, the same each time. The name is `NAME`,
/// followed for each label by a zero byte and `LABEL=VALUE`. `bounds` are the upper bounds of a histogram's buckets;
/// they apply when the series is made.
///
/// Returns `LUNATIC_LIMIT` if the system has too many series; `LUNATIC_DENIED`; or `LUNATIC_NAME_TAKEN` if the name
/// belongs to a series of another kind. Traps if the name or the bounds are invalid.
LUNATIC_IMPORT("lunatic::metrics", "open")
int32_t lunatic_metrics_open(int32_t kind, const void *name, size_t len, const double *bounds, size_t bounds_len);

/// Adds to a counter. Returns `LUNATIC_OK`, or `LUNATIC_INVALID` if there is no such counter.
LUNATIC_IMPORT("lunatic::metrics", "add")
int32_t lunatic_metrics_add(int32_t series, uint64_t by);

/// Adds to the calling process's value of a gauge, which is 0 at first and again after the process has exited.
/// Returns `LUNATIC_OK`, or `LUNATIC_INVALID` if there is no such gauge.
LUNATIC_IMPORT("lunatic::metrics", "change")
int32_t lunatic_metrics_change(int32_t series, int64_t by);

/// Sets the calling process's value of a gauge. Returns the same codes as `lunatic_metrics_change`.
LUNATIC_IMPORT("lunatic::metrics", "set")
int32_t lunatic_metrics_set(int32_t series, int64_t to);

/// Counts a value in a histogram. Returns `LUNATIC_OK`, or `LUNATIC_INVALID` if there is no such histogram.
LUNATIC_IMPORT("lunatic::metrics", "observe")
int32_t lunatic_metrics_observe(int32_t series, double value);

// lunatic::module

/// Compiles a module, in the binary or the text format, and writes its handle to `out`. Waits for the compilation.
/// The module belongs to the caller and is dropped when the caller exits; processes that run in it go on.
///
/// Returns `LUNATIC_OK`; or `LUNATIC_DENIED`, `LUNATIC_BAD_MODULE` or `LUNATIC_LIMIT`, each with the reason as text
/// in the buffer.
LUNATIC_IMPORT("lunatic::module", "compile")
int32_t lunatic_module_compile(const void *wasm, size_t wasm_len, lunatic_handle *out);

/// Drops a module that the caller has compiled. Returns `LUNATIC_OK`, `LUNATIC_CLOSED` if it is not the caller's, or
/// `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::module", "drop")
int32_t lunatic_module_drop(uint64_t id, uint64_t key);

/// Spawns a process as `process::spawn` does, but in this module: the process calls an exported function that has no
/// parameters and no results. Any process that has the handle of the module can do this.
///
/// Returns the same as `process::spawn`; also `LUNATIC_CLOSED`, `LUNATIC_INVALID`, and `LUNATIC_BAD_MODULE` if there
/// is no such function.
LUNATIC_IMPORT("lunatic::module", "spawn_export")
int32_t lunatic_module_spawn_export(uint64_t id, uint64_t key, const void *export_name, size_t export_len, const lunatic_spawn_options *options, lunatic_spawned *out);

// lunatic::net

/// Resolves the name of a host; waits for the answer. Returns the number of addresses, which are in the buffer;
/// `LUNATIC_NO_HOST`, with the reason as text in the buffer; or `LUNATIC_TIMED_OUT`.
LUNATIC_IMPORT("lunatic::net", "resolve")
int32_t lunatic_net_resolve(const void *host, size_t host_len, int32_t port, uint64_t timeout_ns);

/// Listens for TCP connections at an address, and writes the handle of the socket to `out`.
LUNATIC_IMPORT("lunatic::net", "tcp_listen")
int32_t lunatic_net_tcp_listen(const lunatic_socket_address *address, lunatic_handle *out);

/// Connects to an address; waits until the connection is established.
LUNATIC_IMPORT("lunatic::net", "tcp_connect")
int32_t lunatic_net_tcp_connect(const lunatic_socket_address *address, uint64_t timeout_ns, lunatic_handle *out);

/// Resolves the name of a host and connects to its addresses, one after the other, until one answers.
LUNATIC_IMPORT("lunatic::net", "tcp_connect_host")
int32_t lunatic_net_tcp_connect_host(const void *host, size_t host_len, int32_t port, uint64_t timeout_ns, lunatic_handle *out);

/// Waits for a connection to a listener and accepts it. Writes the address of the peer to `peer`; the family is 0 if
/// the peer has no IP address.
LUNATIC_IMPORT("lunatic::net", "accept")
int32_t lunatic_net_accept(uint64_t id, uint64_t key, uint64_t timeout_ns, lunatic_socket_address *peer, lunatic_handle *out);

/// Reads bytes; waits until there are some. Returns how many, 0 at the end of the stream. If the read timeout of the
/// socket passes, no bytes were taken.
LUNATIC_IMPORT("lunatic::net", "read")
int32_t lunatic_net_read(uint64_t id, uint64_t key, void *to, size_t to_len);

/// Reads as `read` does, but leaves the bytes to be read again.
LUNATIC_IMPORT("lunatic::net", "peek")
int32_t lunatic_net_peek(uint64_t id, uint64_t key, void *to, size_t to_len);

/// Writes as many bytes as there is room for, without waiting. Returns how many, or `LUNATIC_FULL` if there is no
/// room.
LUNATIC_IMPORT("lunatic::net", "try_write")
int32_t lunatic_net_try_write(uint64_t id, uint64_t key, const void *from, size_t from_len);

/// Writes as many bytes as there is room for; waits until there is some room. Returns how many.
LUNATIC_IMPORT("lunatic::net", "write")
int32_t lunatic_net_write(uint64_t id, uint64_t key, const void *from, size_t from_len);

/// Binds a UDP socket to an address.
LUNATIC_IMPORT("lunatic::net", "udp_bind")
int32_t lunatic_net_udp_bind(const lunatic_socket_address *address, lunatic_handle *out);

/// Connects a UDP socket to an address: `write` sends datagrams to it, and only datagrams from it are received.
LUNATIC_IMPORT("lunatic::net", "udp_connect")
int32_t lunatic_net_udp_connect(uint64_t id, uint64_t key, const lunatic_socket_address *address);

/// Sends a datagram to an address; waits until there is room.
LUNATIC_IMPORT("lunatic::net", "send_to")
int32_t lunatic_net_send_to(uint64_t id, uint64_t key, const lunatic_socket_address *address, const void *from, size_t from_len);

/// Waits for a datagram and takes it, or leaves it to be received again if `peek` is not 0. Returns its length, cut
/// to `to_len`. Writes the address of its sender to `address`.
LUNATIC_IMPORT("lunatic::net", "receive_from")
int32_t lunatic_net_receive_from(uint64_t id, uint64_t key, void *to, size_t to_len, int32_t peek, lunatic_socket_address *address);

/// Joins (`join` 1) or leaves (0) a multicast group. `interface` is an IPv4 address of the interface, or an IPv6
/// address whose scope id is the index of the interface.
LUNATIC_IMPORT("lunatic::net", "multicast")
int32_t lunatic_net_multicast(uint64_t id, uint64_t key, const lunatic_socket_address *group, const lunatic_socket_address *interface, int32_t join);

/// Listens at a path in one of the caller's folders, where no file must exist yet.
LUNATIC_IMPORT("lunatic::net", "unix_listen")
int32_t lunatic_net_unix_listen(const void *path, size_t path_len, lunatic_handle *out);

/// Connects to a path in one of the caller's folders.
LUNATIC_IMPORT("lunatic::net", "unix_connect")
int32_t lunatic_net_unix_connect(const void *path, size_t path_len, lunatic_handle *out);

/// Makes two streams that are connected to each other.
LUNATIC_IMPORT("lunatic::net", "unix_pair")
int32_t lunatic_net_unix_pair(lunatic_handle *one, lunatic_handle *other);

/// Shuts down reading (0), writing (1) or both (2).
LUNATIC_IMPORT("lunatic::net", "shutdown")
int32_t lunatic_net_shutdown(uint64_t id, uint64_t key, int32_t how);

/// Closes the caller's handle of a socket.
LUNATIC_IMPORT("lunatic::net", "close")
int32_t lunatic_net_close(uint64_t id, uint64_t key);

/// Makes another handle of the same socket.
LUNATIC_IMPORT("lunatic::net", "clone")
int32_t lunatic_net_clone(uint64_t id, uint64_t key, lunatic_handle *out);

/// Writes the address that the socket is bound to.
LUNATIC_IMPORT("lunatic::net", "local_address")
int32_t lunatic_net_local_address(uint64_t id, uint64_t key, lunatic_socket_address *out);

/// Writes the address that the socket is connected to.
LUNATIC_IMPORT("lunatic::net", "peer_address")
int32_t lunatic_net_peer_address(uint64_t id, uint64_t key, lunatic_socket_address *out);

/// Writes the value of an option, one of `LUNATIC_OPTION_…`.
LUNATIC_IMPORT("lunatic::net", "get_option")
int32_t lunatic_net_get_option(uint64_t id, uint64_t key, int32_t option, uint64_t *out);

/// Sets an option.
LUNATIC_IMPORT("lunatic::net", "set_option")
int32_t lunatic_net_set_option(uint64_t id, uint64_t key, int32_t option, uint64_t value);

/// Reads a TLS configuration (entries `KEY=VALUE`, each followed by a zero byte) and writes its handle to `out`. It
/// is dropped when the caller exits. Returns `LUNATIC_BAD_CONFIG`, with the reason as text in the buffer, if it is
/// invalid.
LUNATIC_IMPORT("lunatic::net", "tls_config")
int32_t lunatic_net_tls_config(const void *text, size_t text_len, lunatic_handle *out);

/// Replaces a TLS configuration: new connections use the new one.
LUNATIC_IMPORT("lunatic::net", "tls_replace")
int32_t lunatic_net_tls_replace(uint64_t id, uint64_t key, const void *text, size_t text_len);

/// Drops a TLS configuration of the caller's.
LUNATIC_IMPORT("lunatic::net", "tls_drop")
int32_t lunatic_net_tls_drop(uint64_t id, uint64_t key);

/// Starts TLS on a TCP connection, waits for the handshake, and writes the handle of the TLS stream to `out`. A
/// client passes the name of the server that it connects to, a server a name of length 0. The caller must close the
/// handle of the connection.
LUNATIC_IMPORT("lunatic::net", "tls_start")
int32_t lunatic_net_tls_start(uint64_t id, uint64_t key, uint64_t config_id, uint64_t config_key, const void *name, size_t name_len, lunatic_handle *out);

/// Puts information about a TLS stream into the buffer: one of `LUNATIC_TLS_INFO_…`. Returns `LUNATIC_EMPTY` if there
/// is none.
LUNATIC_IMPORT("lunatic::net", "tls_info")
int32_t lunatic_net_tls_info(uint64_t id, uint64_t key, int32_t what);

/// Hands a socket over: to a process (`kind` 0), to the owner of a channel (1), or to whoever claims it (2), in which
/// case it stays the caller's until then. The process that receives the handle claims the socket. Does nothing if the
/// socket has been claimed already.
LUNATIC_IMPORT("lunatic::net", "hand_over")
int32_t lunatic_net_hand_over(uint64_t id, uint64_t key, int32_t kind, uint64_t to_id, uint64_t to_key);

/// Claims a socket that is being handed over: it belongs to the caller then.
LUNATIC_IMPORT("lunatic::net", "claim")
int32_t lunatic_net_claim(uint64_t id, uint64_t key);

// lunatic::node

/// Writes the number of this node to `out`; 0 if it is in no cluster. Returns `LUNATIC_OK`.
LUNATIC_IMPORT("lunatic::node", "this")
int32_t lunatic_node_this(uint64_t *out);

/// Writes the number of the node of a process to `out`; 0 without a cluster. Returns `LUNATIC_OK`, `LUNATIC_CLOSED`
/// if the node is not connected any more, or `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::node", "of")
int32_t lunatic_node_of(uint64_t id, uint64_t key, uint64_t *out);

/// Asks the node of a process whether the process has exited, and waits for the answer. Returns 1 if it has not, and
/// 0 if it has, or if its node is not connected or is lost before it answers; or `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::node", "is_alive")
int32_t lunatic_node_is_alive(uint64_t id, uint64_t key);

/// Returns the number of nodes, and puts a list of them into the buffer, this one first: of each its number, the
/// length of its name as a `u16`, and its name. Returns `LUNATIC_DENIED` without the right `nodes`.
LUNATIC_IMPORT("lunatic::node", "list")
int32_t lunatic_node_list(void);

/// Returns the number of attributes of a node, and puts a list of them into the buffer, in the order of their keys:
/// of each the length of its key as a `u16`, its key, the length of its value as a `u16`, and its value. Returns
/// `LUNATIC_CLOSED` if the node is not connected, or `LUNATIC_DENIED` without the right `nodes`.
LUNATIC_IMPORT("lunatic::node", "attributes")
int32_t lunatic_node_attributes(uint64_t node);

/// Sends the caller a message with this tag whenever a node is connected or lost: a byte that is 1 or 0, the number
/// of the node, one of `LUNATIC_LOSS_…` as an `i32`, and the name of the node. Returns `LUNATIC_OK`, `LUNATIC_DENIED`
/// or `LUNATIC_LIMIT`.
LUNATIC_IMPORT("lunatic::node", "monitor")
int32_t lunatic_node_monitor(uint64_t tag);

/// Ends the messages of `lunatic_node_monitor` with this tag.
LUNATIC_IMPORT("lunatic::node", "demonitor")
int32_t lunatic_node_demonitor(uint64_t tag);

/// Spawns a process on a node like `lunatic_process_spawn`, and waits until it exists. The child runs the module of
/// the caller; it has no name, folders or captured output. Returns `LUNATIC_OK`, `LUNATIC_DENIED`, `LUNATIC_LIMIT`,
/// `LUNATIC_BAD_CONFIG`, `LUNATIC_REFUSED`, or `LUNATIC_GONE`: the node is not connected, or was lost, and it is
/// unknown whether there is a child.
LUNATIC_IMPORT("lunatic::node", "spawn")
int32_t lunatic_node_spawn(uint64_t node, lunatic_entry entry, const void *captured, size_t captured_len, const lunatic_spawn_options *options, lunatic_spawned *out);

/// Waits until something can be sent to the node of a process. Returns `LUNATIC_OK`, `LUNATIC_TIMED_OUT`,
/// `LUNATIC_CLOSED` if the process is on this node, or `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::node", "room")
int32_t lunatic_node_room(uint64_t id, uint64_t key, uint64_t timeout_ns);

/// Registers a process of this node under a global name until it exits. If it loses the name to a process of another
/// node, it gets the name as a message with the tag, unless that is 0. Of two such processes, the one with the higher
/// priority (0 to 255) keeps the name. Returns `LUNATIC_OK`, `LUNATIC_NAME_TAKEN`, `LUNATIC_CLOSED` (the process has
/// exited, or is on another node, or this node is in no cluster), `LUNATIC_INVALID`, `LUNATIC_DENIED` or
/// `LUNATIC_LIMIT`.
LUNATIC_IMPORT("lunatic::node", "register")
int32_t lunatic_node_register(const void *name, size_t len, uint64_t id, uint64_t key, int32_t priority, uint64_t tag);

/// Frees a global name of a process of this node. Returns `LUNATIC_OK`, `LUNATIC_CLOSED` if none has it, or
/// `LUNATIC_DENIED` if another process has it and the caller has no right to names.
LUNATIC_IMPORT("lunatic::node", "unregister")
int32_t lunatic_node_unregister(const void *name, size_t len);

/// Writes the handle of the process that has the global name to `out`, and returns `LUNATIC_OK`; or returns
/// `LUNATIC_CLOSED` if no process has it.
LUNATIC_IMPORT("lunatic::node", "lookup")
int32_t lunatic_node_lookup(const void *name, size_t len, lunatic_handle *out);

/// Adds a process of this node to a global group until it exits, once. Results are as for `lunatic_node_register`.
LUNATIC_IMPORT("lunatic::node", "join_group")
int32_t lunatic_node_join_group(const void *name, size_t len, uint64_t id, uint64_t key);

/// Removes a process of this node from a global group. Returns `LUNATIC_OK`, `LUNATIC_CLOSED` if it is not a member,
/// `LUNATIC_INVALID`, or `LUNATIC_DENIED` if it is another process than the caller, which has no right to names.
LUNATIC_IMPORT("lunatic::node", "leave_group")
int32_t lunatic_node_leave_group(const void *name, size_t len, uint64_t id, uint64_t key);

/// Returns the number of members of a global group, and puts their handles into the buffer.
LUNATIC_IMPORT("lunatic::node", "members")
int32_t lunatic_node_members(const void *name, size_t len);

// lunatic::process

/// Spawns a process that calls `entry`, an index of the function table with type `() -> ()`, in a fresh instance of
/// the calling module. The host keeps the bytes at `captured` for the child, which fetches them with
/// `lunatic_process_captured`.
///
/// Writes the handle to `out` and returns `LUNATIC_OK`; or returns `LUNATIC_LIMIT`, with the limit as text in the
/// buffer, or `LUNATIC_DENIED`.
LUNATIC_IMPORT("lunatic::process", "spawn_closure")
int32_t lunatic_process_spawn_closure(lunatic_entry entry, const void *captured, size_t captured_len, lunatic_handle *out);

/// Copies the bytes that this process was spawned with to `to`. Traps unless `len` is exactly their number.
LUNATIC_IMPORT("lunatic::process", "captured")
void lunatic_process_captured(void *to, size_t len);

/// Returns the number of bytes that this process was spawned with.
LUNATIC_IMPORT("lunatic::process", "captured_len")
size_t lunatic_process_captured_len(void);

/// For the loop that the host adds around spawned entries. A guest that calls it gets -1, and nothing happens.
LUNATIC_IMPORT("lunatic::process", "next")
int32_t lunatic_process_next(void);

/// Writes the handle of the calling process to `out`.
LUNATIC_IMPORT("lunatic::process", "this")
void lunatic_process_this(lunatic_handle *out);

/// Returns 1 if the process has not exited, else 0; or `LUNATIC_INVALID`. For a process of another node, returns 1 if
/// that node is connected; `lunatic_node_is_alive` asks it.
LUNATIC_IMPORT("lunatic::process", "is_alive")
int32_t lunatic_process_is_alive(uint64_t id, uint64_t key);

/// Kills a process wherever its execution is. Returns `LUNATIC_OK`, also if it has exited already; or
/// `LUNATIC_INVALID`. A process that kills itself does not return from this call.
LUNATIC_IMPORT("lunatic::process", "kill_handle")
int32_t lunatic_process_kill_handle(uint64_t id, uint64_t key);

/// Waits until a process has exited. Returns one of `LUNATIC_EXIT_…`, with the reason bytes in the buffer; or
/// `LUNATIC_TIMED_OUT` or `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::process", "join")
int32_t lunatic_process_join(uint64_t id, uint64_t key, uint64_t timeout_ns);

/// Blocks the calling process for at least this long.
LUNATIC_IMPORT("lunatic::process", "sleep_ns")
void lunatic_process_sleep_ns(uint64_t ns);

/// Lets other processes run first.
LUNATIC_IMPORT("lunatic::process", "yield_now")
void lunatic_process_yield_now(void);

/// Spawns a process as `spawn_closure` does, with options. The link, the monitor and the name take effect before the
/// child runs.
///
/// Returns `LUNATIC_OK`, `LUNATIC_LIMIT`, `LUNATIC_DENIED` or `LUNATIC_BAD_CONFIG`. Returns `LUNATIC_NAME_TAKEN` if
/// another process has the name: then `out` holds that process, and nothing was spawned.
LUNATIC_IMPORT("lunatic::process", "spawn")
int32_t lunatic_process_spawn(lunatic_entry entry, const void *captured, size_t captured_len, const lunatic_spawn_options *options, lunatic_spawned *out);

/// Exits the calling process with a reason. Does not return. Traps if the bytes are not reason bytes.
LUNATIC_IMPORT("lunatic::process", "exit")
void lunatic_process_exit(const void *reason, size_t len);

/// Sends an exit signal. KILLED always terminates the process. NORMAL has no effect, unless the caller sends it to
/// itself. Any other reason makes the process exit with it. If the process traps exits, every signal except KILLED
/// becomes mail instead.
///
/// Returns `LUNATIC_OK`, also if the process has exited already; or `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::process", "exit_signal")
int32_t lunatic_process_exit_signal(uint64_t id, uint64_t key, const void *reason, size_t len);

/// Links the calling process and another one, once: when one exits, the other gets an exit signal with the reason. If
/// the process has exited already, the caller gets a signal with NO_PROCESS. Returns `LUNATIC_OK` or
/// `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::process", "link")
int32_t lunatic_process_link(uint64_t id, uint64_t key);

/// Removes a link. After that no exit signal of the link arrives. Returns `LUNATIC_OK`, also if there is no link; or
/// `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::process", "unlink")
int32_t lunatic_process_unlink(uint64_t id, uint64_t key);

/// Monitors a process: the caller gets one message under the tag (with tag 0: under the reference) when the process
/// exits, or immediately if it has exited already. Writes the reference of the monitor to `out` and returns
/// `LUNATIC_OK`; or returns `LUNATIC_INVALID` or `LUNATIC_LIMIT`.
LUNATIC_IMPORT("lunatic::process", "monitor")
int32_t lunatic_process_monitor(uint64_t id, uint64_t key, uint64_t tag, uint64_t *out);

/// Removes a monitor. Returns 1 if it was active, else 0. If `flush` is not 0 and its message has arrived already,
/// the message is dropped.
LUNATIC_IMPORT("lunatic::process", "demonitor")
int32_t lunatic_process_demonitor(uint64_t reference, int32_t flush);

/// Sets whether exit signals become mail. Returns the previous setting.
LUNATIC_IMPORT("lunatic::process", "trap_exit")
int32_t lunatic_process_trap_exit(int32_t on);

/// Writes the handle of the process that spawned this one to `out`, and returns `LUNATIC_OK`; or returns
/// `LUNATIC_CLOSED` in the main process.
LUNATIC_IMPORT("lunatic::process", "parent")
int32_t lunatic_process_parent(lunatic_handle *out);

// lunatic::registry

/// Registers a process under a name until it exits. Returns `LUNATIC_OK`, `LUNATIC_NAME_TAKEN`, `LUNATIC_CLOSED` (the
/// process has exited), `LUNATIC_INVALID`, `LUNATIC_DENIED` or `LUNATIC_LIMIT`.
LUNATIC_IMPORT("lunatic::registry", "register")
int32_t lunatic_registry_register(const void *name, size_t len, uint64_t id, uint64_t key);

/// Frees a name. Returns `LUNATIC_OK`, `LUNATIC_CLOSED` if no process has it, or `LUNATIC_DENIED` if another process
/// has it and the caller has no right to names.
LUNATIC_IMPORT("lunatic::registry", "unregister")
int32_t lunatic_registry_unregister(const void *name, size_t len);

/// Writes the handle of the process that has the name to `out`, and returns `LUNATIC_OK`; or returns `LUNATIC_CLOSED`
/// if no process has it.
LUNATIC_IMPORT("lunatic::registry", "lookup")
int32_t lunatic_registry_lookup(const void *name, size_t len, lunatic_handle *out);

/// Adds a process to a group until it exits, once. Returns `LUNATIC_OK`, `LUNATIC_CLOSED` (the process has exited),
/// `LUNATIC_INVALID`, `LUNATIC_DENIED` or `LUNATIC_LIMIT`.
LUNATIC_IMPORT("lunatic::registry", "join_group")
int32_t lunatic_registry_join_group(const void *name, size_t len, uint64_t id, uint64_t key);

/// Removes a process from a group. Returns `LUNATIC_OK`, `LUNATIC_CLOSED` if it is not a member, `LUNATIC_INVALID`,
/// or `LUNATIC_DENIED` if it is another process than the caller, which has no right to names.
LUNATIC_IMPORT("lunatic::registry", "leave_group")
int32_t lunatic_registry_leave_group(const void *name, size_t len, uint64_t id, uint64_t key);

/// Returns the number of members of a group, and puts their handles into the buffer, in the order in which they
/// joined.
LUNATIC_IMPORT("lunatic::registry", "members")
int32_t lunatic_registry_members(const void *name, size_t len);

/// Sends a message to each member of a group, and returns how many got it; or returns `LUNATIC_LIMIT`.
LUNATIC_IMPORT("lunatic::registry", "broadcast")
int32_t lunatic_registry_broadcast(const void *name, size_t len, uint64_t tag, const void *message, size_t message_len);

// lunatic::rights

/// Returns 1 if the calling process has the right that the text names, else 0: `spawn`, `configure`, `names`,
/// `compile`, `inspect`, `metrics`, `trace`, `upgrade`, `nodes`, `connect:HOST:PORT`, `bind:ADDRESS:PORT` or
/// `resolve:HOST`. Returns `LUNATIC_INVALID` for other texts.
LUNATIC_IMPORT("lunatic::rights", "allows")
int32_t lunatic_rights_allows(const void *question, size_t question_len);

/// Writes the usage of the nearest budget of a process to `out`. Returns `LUNATIC_OK`; `LUNATIC_EMPTY` if neither the
/// process nor an ancestor has a budget; `LUNATIC_CLOSED` if the process has exited; or `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::rights", "usage")
int32_t lunatic_rights_usage(uint64_t id, uint64_t key, lunatic_usage *out);

/// Puts the text that a child has written to standard output (`stream` 0) or standard error (1) since the last call
/// into the buffer, if the caller spawned it with `stdout=capture` or `stderr=capture`. Returns `LUNATIC_OK`;
/// `LUNATIC_EMPTY` if the text is not captured, or the child has exited and all text was taken; or `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::rights", "take_output")
int32_t lunatic_rights_take_output(uint64_t id, uint64_t key, int32_t stream);

// lunatic::timer

/// Sends a message after a delay and, if the interval is not 0, again after each interval. The timer belongs to the
/// process that it sends to, and ends with it.
///
/// Writes the timer to `out` and returns `LUNATIC_OK`; or returns `LUNATIC_INVALID`, `LUNATIC_CLOSED`,
/// `LUNATIC_LIMIT`, or `LUNATIC_FULL` if the process has too many timers.
LUNATIC_IMPORT("lunatic::timer", "send_after")
int32_t lunatic_timer_send_after(uint64_t id, uint64_t key, uint64_t tag, const void *message, size_t len, uint64_t delay_ns, uint64_t interval_ns, uint64_t *out);

/// Cancels a timer. Returns 1 if it had not fired yet or fires at intervals; 0 if it had fired, or its process has
/// exited.
LUNATIC_IMPORT("lunatic::timer", "cancel")
int32_t lunatic_timer_cancel(uint64_t timer);

/// Stops the clock of the system permanently, for tests. When all its processes wait, the clock jumps to the next
/// timer or timeout. Returns `LUNATIC_OK`, or `LUNATIC_INVALID` if the caller is not the main process.
LUNATIC_IMPORT("lunatic::timer", "pause")
int32_t lunatic_timer_pause(void);

// lunatic::trace

/// Returns the length of the current context, 0 if there is none. The context is its `traceparent` of
/// `LUNATIC_TRACE_PARENT_LEN` bytes, followed by its `tracestate`. If it has at most `capacity` bytes, it is copied
/// to `to`; a longer one is put into the buffer.
LUNATIC_IMPORT("lunatic::trace", "current")
int32_t lunatic_trace_current(void *to, size_t capacity);

/// Sets the current context, written as `lunatic_trace_current` does, as if a message had brought it. Without bytes,
/// there is no context then. Returns `LUNATIC_OK`; `LUNATIC_INVALID` if it is not a context, in which case nothing
/// changes; or `LUNATIC_DENIED`.
LUNATIC_IMPORT("lunatic::trace", "set")
int32_t lunatic_trace_set(const void *context, size_t len);

/// Returns 1 if spans are recorded, else 0. The result does not change while the process lives.
LUNATIC_IMPORT("lunatic::trace", "recorded")
int32_t lunatic_trace_recorded(void);

/// Opens a span within the current one. `kind` is `LUNATIC_TRACE_INTERNAL` to `LUNATIC_TRACE_CONSUMER`, with
/// `LUNATIC_TRACE_ROOT` and `LUNATIC_TRACE_ENTER` added; `fields` are encoded as in `record`. A long name is cut.
///
/// Returns the number of the span in this process, 1 or more; or 0 if it is not recorded, because spans are not
/// recorded, the process does not have the right, or it has too many open.
LUNATIC_IMPORT("lunatic::trace", "open")
int32_t lunatic_trace_open(int32_t kind, const void *name, size_t len, const void *fields, size_t fields_len);

/// Makes an open span the current one. Returns `LUNATIC_OK`, or `LUNATIC_INVALID` if there is no such span, or
/// `LUNATIC_TRACE_OPEN_MAX` spans were entered and not left.
LUNATIC_IMPORT("lunatic::trace", "enter")
int32_t lunatic_trace_enter(int32_t span);

/// Leaves a span, which need not be the current one. The span that was entered before it becomes current again, or
/// the context that the process was given. Returns `LUNATIC_OK`, or `LUNATIC_INVALID` if the span was not entered.
LUNATIC_IMPORT("lunatic::trace", "leave")
int32_t lunatic_trace_leave(int32_t span);

/// Adds fields to an open span. Returns `LUNATIC_OK`, `LUNATIC_INVALID`, or `LUNATIC_LIMIT` if it has too many. Traps
/// if the bytes are not fields.
LUNATIC_IMPORT("lunatic::trace", "record")
int32_t lunatic_trace_record(int32_t span, const void *fields, size_t len);

/// Marks an open span as failed; the text gives the reason, and is cut if it is long. Returns `LUNATIC_OK` or
/// `LUNATIC_INVALID`.
LUNATIC_IMPORT("lunatic::trace", "fail")
int32_t lunatic_trace_fail(int32_t span, const void *text, size_t len);

/// Ends a span, and leaves it. Returns `LUNATIC_OK`, `LUNATIC_INVALID`, or `LUNATIC_FULL` if the span was dropped,
/// because too many are waiting to be sent.
LUNATIC_IMPORT("lunatic::trace", "close")
int32_t lunatic_trace_close(int32_t span);

#ifdef __cplusplus
}
#endif

#endif
