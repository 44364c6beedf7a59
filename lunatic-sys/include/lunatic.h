/// Lunatic for C and C++: processes, messages, links, monitors, names and timers.
///
///     #include <lunatic.h>
///     #include <stdio.h>
///
///     LUNATIC_ENTRY(child, captured, len) {
///         printf("%.*s\n", (int)len, (const char *)captured);
///     }
///
///     int main(void) {
///         lunatic_handle process;
///         if (lunatic_spawn(child, "hello", 5, &process) != LUNATIC_OK) return 1;
///         return lunatic_join(process, LUNATIC_NO_TIMEOUT, NULL);
///     }
///
/// Compile it for WASI preview 1 (`--target=wasm32-wasip1`) with this folder in the include path, and run it with
/// `lunatic FILE.wasm`. The imports themselves, with the codes and layouts, are in `lunatic/abi.h`.
///
/// **What a child has.** Its own memory, as the module's data section and then its constructors leave it: a global
/// variable has the value that its initializer says, never one that the parent has assigned, and a pointer of the
/// parent's means nothing. What a child is to know goes along as captured bytes, or in messages. Folders, environment and
/// standard output are the parent's, unless a configuration says otherwise.
///
/// Functions return 0 or more for success, and a code below 0 (`LUNATIC_INVALID` and so on) otherwise. Timeouts are in
/// nanoseconds; `LUNATIC_NO_TIMEOUT` waits for ever, and 0 never waits.

#ifndef LUNATIC_H
#define LUNATIC_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lunatic/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

/// A second, in nanoseconds.
#define LUNATIC_SECOND UINT64_C(1000000000)
/// A millisecond, in nanoseconds.
#define LUNATIC_MILLISECOND UINT64_C(1000000)

// Entries

/// Of the C library: runs what `atexit` and destructors of C++ were given, and flushes `stdio`.
void __wasm_call_dtors(void);

/// Calls the body of an entry with the captured bytes, and flushes `stdio` when it returns. `LUNATIC_ENTRY` uses it.
static inline void lunatic_enter(void (*body)(const void *captured, size_t len)) {
    size_t len = lunatic_process_captured_len();
    // `malloc` aligns for any type, so the body may read the bytes as the struct that they are.
    void *captured = len > 0 ? malloc(len) : NULL;
    if (len > 0 && captured == NULL) __builtin_trap();
    lunatic_process_captured(captured, len);
    body(captured, len);
    free(captured);
    __wasm_call_dtors();
}

/// Defines the entry `name` of processes, with the parameters `const void *captured` and `size_t len`:
///
///     LUNATIC_ENTRY(worker, captured, len) { … }
///
/// `captured` is aligned for any type, and NULL if `len` is 0. When the body returns, `atexit` functions have run and
/// `stdio` is flushed, as after `main`; the process has ended normally. Reports call the process by this name.
#define LUNATIC_ENTRY(name, captured, len)                             \
    static void name##_body(const void *captured, size_t len);         \
    static void name(void) { lunatic_enter(name##_body); }             \
    static void name##_body(__attribute__((unused)) const void *captured, __attribute__((unused)) size_t len)

// Spawning

/// Keeps `lunatic::process` `next` in the program: the host needs this import in a program that spawns, and linkers drop
/// what nobody calls. It does nothing.
static inline void lunatic_keep_loop(void) { (void)lunatic_process_next(); }

/// Spawns a process that calls `entry`, with a copy of at most 64 KiB of captured bytes. `LUNATIC_OK`, `LUNATIC_LIMIT`
/// or `LUNATIC_DENIED`.
static inline int32_t lunatic_spawn(lunatic_entry entry, const void *captured, size_t len, lunatic_handle *out) {
    lunatic_keep_loop();
    return lunatic_process_spawn_closure(entry, captured, len, out);
}

/// The same with options, such as `{.flags = LUNATIC_SPAWN_LINK | LUNATIC_SPAWN_MONITOR}`, which hold before the child
/// runs. Also `LUNATIC_NAME_TAKEN` (`out` has the process with the name) and `LUNATIC_BAD_CONFIG`.
static inline int32_t lunatic_spawn_with(
    lunatic_entry entry, const void *captured, size_t len, const lunatic_spawn_options *options, lunatic_spawned *out
) {
    lunatic_keep_loop();
    return lunatic_process_spawn(entry, captured, len, options, out);
}

/// Gives a child a name. The text must live until it is spawned.
static inline void lunatic_options_name(lunatic_spawn_options *options, const char *name) {
    options->name = (uint64_t)(uintptr_t)name;
    options->name_len = (uint32_t)strlen(name);
}

/// Gives a child other rights than its parent's: entries `KEY` or `KEY=VALUE`, a zero byte behind each, so that a literal
/// is `"dir=/data::/data:ro\0" "max-memory=16M"` and `len` its `sizeof`. The text must live until it is spawned.
static inline void lunatic_options_config(lunatic_spawn_options *options, const char *entries, size_t len) {
    options->config = (uint64_t)(uintptr_t)entries;
    options->config_len = (uint32_t)len;
}

/// The calling process.
static inline lunatic_handle lunatic_this(void) {
    lunatic_handle out;
    lunatic_process_this(&out);
    return out;
}

/// Whether two handles are of the same process or channel.
static inline bool lunatic_same(lunatic_handle one, lunatic_handle other) {
    return one.id == other.id && one.key == other.key;
}

// The buffer: results of unknown length

/// What the last call left behind, such as the text of `LUNATIC_DENIED` or a message that is longer than the room for
/// it; with a zero byte behind its `*len` bytes. To be freed. NULL if there is no memory left, and it stays where it is.
static inline char *lunatic_take(size_t *len) {
    *len = lunatic_buffer_len();
    char *bytes = (char *)malloc(*len + 1);
    if (bytes == NULL) return NULL;
    lunatic_buffer_take(bytes, *len);
    bytes[*len] = 0;
    return bytes;
}

/// Leaves a message of more than 1 MiB in the buffer, from where it is sent.
static inline int32_t lunatic_put_long(const void *message, size_t len) {
    return len > LUNATIC_IN_PLACE_LEN_MAX ? lunatic_buffer_put(message, len) : LUNATIC_OK;
}

// Messages

/// Appends a message to the mailbox of a process. `LUNATIC_OK`, `LUNATIC_CLOSED` (it has ended), `LUNATIC_FULL`,
/// `LUNATIC_LIMIT` or `LUNATIC_INVALID`. Tags are yours to choose from 16 up to 2⁶³−1.
static inline int32_t lunatic_send(lunatic_handle to, uint64_t tag, const void *message, size_t len) {
    int32_t code = lunatic_put_long(message, len);
    return code < 0 ? code : lunatic_mailbox_send(to.id, to.key, tag, message, len);
}

/// Takes the oldest message, or news of a link or monitor, that has one of these tags (`tags_len` 0: any), and waits for
/// one. Its length, or `LUNATIC_TIMED_OUT`, or with a timeout of 0 `LUNATIC_EMPTY`. `header->kind` tells which it is
/// (`LUNATIC_MAIL_…`). If it has more than `capacity` bytes, or more than 1 MiB, `lunatic_take` has it.
static inline int32_t lunatic_receive(
    const uint64_t *tags, size_t tags_len, lunatic_header *header, void *to, size_t capacity, uint64_t timeout_ns
) {
    return lunatic_mailbox_receive(tags, tags_len, header, to, capacity, timeout_ns);
}

/// What the message of a call begins with: who asks, and under which tag the reply is awaited.
typedef struct lunatic_request {
    lunatic_handle from;
    uint64_t reference;
} lunatic_request;

/// Sends a request (a `lunatic_request` and behind it the message) and waits for the reply: its length, as
/// `lunatic_receive`. `LUNATIC_GONE` if the process ends first, and `lunatic_take_reason` tells how; `LUNATIC_TIMED_OUT`,
/// `LUNATIC_FULL`, `LUNATIC_LIMIT`, `LUNATIC_INVALID`. A reply that comes later is dropped.
static inline int32_t lunatic_call(
    lunatic_handle to, uint64_t tag, const void *message, size_t len, void *reply, size_t capacity, uint64_t timeout_ns
) {
    lunatic_request request = {lunatic_this(), 0};
    char *bytes = (char *)malloc(sizeof request + len);
    if (bytes == NULL) return LUNATIC_LIMIT;
    int32_t code = lunatic_mailbox_reference(&request.reference);
    if (code < 0) {
        free(bytes);
        return code;
    }
    memcpy(bytes, &request, sizeof request);
    if (len > 0) memcpy(bytes + sizeof request, message, len);
    len += sizeof request;
    code = lunatic_put_long(bytes, len);
    if (code == LUNATIC_OK)
        code = lunatic_mailbox_call(
            to.id, to.key, tag, bytes, len, &request.reference, reply, capacity, timeout_ns
        );
    lunatic_mailbox_close(request.reference);
    free(bytes);
    return code;
}

/// Answers a request.
static inline int32_t lunatic_reply(lunatic_request request, const void *message, size_t len) {
    return lunatic_send(request.from, request.reference, message, len);
}

// Channels

/// Makes a channel, which closes when the calling process ends. `bound` is how many messages it holds; 0: any number.
static inline int32_t lunatic_channel(uint64_t bound, lunatic_handle *out) { return lunatic_channel_new(bound, out); }

/// Appends a message, waiting while the channel is full. `LUNATIC_OK`, `LUNATIC_TIMED_OUT`, `LUNATIC_CLOSED`,
/// `LUNATIC_LIMIT` or `LUNATIC_INVALID`.
static inline int32_t lunatic_push(lunatic_handle channel, const void *message, size_t len, uint64_t timeout_ns) {
    int32_t code = lunatic_put_long(message, len);
    return code < 0 ? code : lunatic_channel_send(channel.id, channel.key, message, len, timeout_ns);
}

/// Takes the oldest message, waiting for one: its length. If it has more than `capacity` bytes, or more than 1 MiB,
/// `lunatic_take` has it. Or `LUNATIC_TIMED_OUT`, `LUNATIC_CLOSED`, `LUNATIC_INVALID`.
static inline int32_t lunatic_pull(lunatic_handle channel, void *to, size_t capacity, uint64_t timeout_ns) {
    return lunatic_channel_receive(channel.id, channel.key, to, capacity, timeout_ns);
}

// How processes end

/// An exit reason.
typedef struct lunatic_reason {
    /// One of `LUNATIC_EXIT_…`.
    int32_t kind;
    /// The code of `LUNATIC_EXIT_EXIT`, one of `LUNATIC_TRAP_…`, else 0.
    int32_t detail;
    /// Not ended by a zero byte; part of the bytes that the reason was read from.
    const char *text;
    size_t text_len;
} lunatic_reason;

/// Reads the body of a message of the kind `LUNATIC_MAIL_EXIT` or `LUNATIC_MAIL_DOWN`; false if it has fewer than 8 bytes.
static inline bool lunatic_read_reason(const void *bytes, size_t len, lunatic_reason *out) {
    if (len < LUNATIC_REASON_HEAD_LEN) return false;
    memcpy(&out->kind, bytes, 4);
    memcpy(&out->detail, (const char *)bytes + 4, 4);
    out->text = (const char *)bytes + LUNATIC_REASON_HEAD_LEN;
    out->text_len = len - LUNATIC_REASON_HEAD_LEN;
    return true;
}

/// The reason that `lunatic_call` or `lunatic_join` has left in the buffer. Free what is returned when the text is no longer
/// needed. NULL if there is none or no memory left.
static inline char *lunatic_take_reason(lunatic_reason *out) {
    size_t len;
    char *bytes = lunatic_take(&len);
    if (bytes == NULL || lunatic_read_reason(bytes, len, out)) return bytes;
    free(bytes);
    return NULL;
}

/// The bytes of a reason, which must be freed; NULL if there is no memory left.
static inline char *lunatic_reason_bytes(int32_t kind, int32_t detail, const char *text, size_t *len) {
    size_t text_len = text == NULL ? 0 : strlen(text);
    *len = LUNATIC_REASON_HEAD_LEN + text_len;
    char *bytes = (char *)malloc(*len);
    if (bytes == NULL) return NULL;
    memcpy(bytes, &kind, 4);
    memcpy(bytes + 4, &detail, 4);
    if (text_len > 0) memcpy(bytes + LUNATIC_REASON_HEAD_LEN, text, text_len);
    return bytes;
}

/// Ends the calling process with a reason, as `exit` does: `stdio` is flushed first. `text` may be NULL, and has at most
/// 64 KiB.
__attribute__((noreturn)) static inline void lunatic_exit(int32_t kind, int32_t detail, const char *text) {
    size_t len;
    char *bytes = lunatic_reason_bytes(kind, detail, text, &len);
    __wasm_call_dtors();
    if (bytes != NULL) lunatic_process_exit(bytes, len);
    __builtin_trap();
}

/// Waits for a process to end: one of `LUNATIC_EXIT_…`, with the rest in `*reason` if that is not NULL; free its text with
/// `lunatic_free_reason`. Or `LUNATIC_TIMED_OUT`, `LUNATIC_INVALID`.
static inline int32_t lunatic_join(lunatic_handle process, uint64_t timeout_ns, lunatic_reason *reason) {
    int32_t kind = lunatic_process_join(process.id, process.key, timeout_ns);
    if (reason != NULL && kind >= 0 && lunatic_take_reason(reason) == NULL) {
        lunatic_reason unknown = {kind, 0, NULL, 0};
        *reason = unknown;
    }
    return kind;
}

/// Frees the text of a reason that `lunatic_join` or `lunatic_take_reason` has made.
static inline void lunatic_free_reason(lunatic_reason *reason) {
    if (reason->text != NULL) free((char *)reason->text - LUNATIC_REASON_HEAD_LEN);
    reason->text = NULL;
}

/// Ends a process wherever it is.
static inline int32_t lunatic_kill(lunatic_handle process) {
    return lunatic_process_kill_handle(process.id, process.key);
}

/// Sends an exit signal, such as `LUNATIC_EXIT_SHUTDOWN`, to which a process that traps exits can react.
static inline int32_t lunatic_signal(lunatic_handle process, int32_t kind, int32_t detail, const char *text) {
    size_t len;
    char *bytes = lunatic_reason_bytes(kind, detail, text, &len);
    if (bytes == NULL) return LUNATIC_LIMIT;
    int32_t code = lunatic_process_exit_signal(process.id, process.key, bytes, len);
    free(bytes);
    return code;
}

/// Links the caller and a process: when one ends, the other gets an exit signal with the reason.
static inline int32_t lunatic_link(lunatic_handle process) { return lunatic_process_link(process.id, process.key); }

/// Takes a link away.
static inline int32_t lunatic_unlink(lunatic_handle process) { return lunatic_process_unlink(process.id, process.key); }

/// Whether exit signals become messages (`LUNATIC_MAIL_EXIT`, with the tag `LUNATIC_TAG_SIGNAL`) from now on.
static inline bool lunatic_trap_exits(bool on) { return lunatic_process_trap_exit(on) != 0; }

/// Asks for one message (`LUNATIC_MAIL_DOWN`) under the tag when the process ends, at once if it has. `*reference` is the
/// monitor, for `lunatic_process_demonitor`.
static inline int32_t lunatic_monitor(lunatic_handle process, uint64_t tag, uint64_t *reference) {
    return lunatic_process_monitor(process.id, process.key, tag, reference);
}

// Names, timers, rights

/// Gives a process a name, of 1 to 255 bytes, until it ends. Also `LUNATIC_NAME_TAKEN`, `LUNATIC_CLOSED`.
static inline int32_t lunatic_register(const char *name, lunatic_handle process) {
    return lunatic_registry_register(name, strlen(name), process.id, process.key);
}

/// The process with the name; or `LUNATIC_CLOSED`.
static inline int32_t lunatic_lookup(const char *name, lunatic_handle *out) {
    return lunatic_registry_lookup(name, strlen(name), out);
}

/// Takes a name away.
static inline int32_t lunatic_unregister(const char *name) { return lunatic_registry_unregister(name, strlen(name)); }

/// Sends a message after `delay_ns`, and if `interval_ns` is not 0 again after each of these. `*timer` is for
/// `lunatic_timer_cancel`.
static inline int32_t lunatic_send_after(
    lunatic_handle to, uint64_t tag, const void *message, size_t len, uint64_t delay_ns, uint64_t interval_ns,
    uint64_t *timer
) {
    int32_t code = lunatic_put_long(message, len);
    if (code < 0) return code;
    return lunatic_timer_send_after(to.id, to.key, tag, message, len, delay_ns, interval_ns, timer);
}

/// Waits so long.
static inline void lunatic_sleep(uint64_t ns) { lunatic_process_sleep_ns(ns); }

/// Whether the process may do this: `spawn`, `names`, `connect:HOST:PORT` and so on.
static inline bool lunatic_allows(const char *question) {
    return lunatic_rights_allows(question, strlen(question)) == 1;
}

#ifdef __cplusplus
}
#endif

#endif
