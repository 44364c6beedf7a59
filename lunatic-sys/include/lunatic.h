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
/// **The memory of a child.** A child has its own memory, with the initial contents of the module's data section after
/// its constructors have run: a global variable has its initial value, never one that the parent has assigned, and
/// pointers of the parent are not valid. Pass data to a child as captured bytes, or in messages. Folders, environment
/// and standard output are the parent's, unless a configuration changes that.
///
/// Functions return 0 or more for success, and a code below 0 (`LUNATIC_INVALID` and so on) otherwise. Timeouts are in
/// nanoseconds; `LUNATIC_NO_TIMEOUT` waits for ever, and with 0 a function does not wait.

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

/// A function of the C library: runs `atexit` functions and C++ destructors, and flushes `stdio`.
void __wasm_call_dtors(void);

/// Calls the body of an entry with the captured bytes, and flushes `stdio` when it returns. `LUNATIC_ENTRY` uses it.
static inline void lunatic_enter(void (*body)(const void *captured, size_t len)) {
    size_t len = lunatic_process_captured_len();
    // `malloc` aligns for any type, so the body can read the bytes as a struct.
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
/// `captured` is aligned for any type, and NULL if `len` is 0. When the body returns, `atexit` functions are run and
/// `stdio` is flushed, as after `main`; the process exits normally. Reports call the process by this name.
#define LUNATIC_ENTRY(name, captured, len)                             \
    static void name##_body(const void *captured, size_t len);         \
    static void name(void) { lunatic_enter(name##_body); }             \
    static void name##_body(__attribute__((unused)) const void *captured, __attribute__((unused)) size_t len)

// Spawning

/// Keeps the import `lunatic::process` `next` in the program: the host needs it in a program that spawns, and linkers
/// drop imports that are not called. The function does nothing.
static inline void lunatic_keep_loop(void) { (void)lunatic_process_next(); }

/// Spawns a process that calls `entry`, with a copy of the captured bytes, at most 64 KiB. Returns `LUNATIC_OK`,
/// `LUNATIC_LIMIT` or `LUNATIC_DENIED`.
static inline int32_t lunatic_spawn(lunatic_entry entry, const void *captured, size_t len, lunatic_handle *out) {
    lunatic_keep_loop();
    return lunatic_process_spawn_closure(entry, captured, len, out);
}

/// Spawns a process with options, such as `{.flags = LUNATIC_SPAWN_LINK | LUNATIC_SPAWN_MONITOR}`, which take effect
/// before the child runs. Also returns `LUNATIC_NAME_TAKEN` (`out` then holds the process with the name) and
/// `LUNATIC_BAD_CONFIG`.
static inline int32_t lunatic_spawn_with(
    lunatic_entry entry, const void *captured, size_t len, const lunatic_spawn_options *options, lunatic_spawned *out
) {
    lunatic_keep_loop();
    return lunatic_process_spawn(entry, captured, len, options, out);
}

/// Sets the name of a child. The text must live until the child is spawned.
static inline void lunatic_options_name(lunatic_spawn_options *options, const char *name) {
    options->name = (uint64_t)(uintptr_t)name;
    options->name_len = (uint32_t)strlen(name);
}

/// Sets the rights of a child: entries `KEY` or `KEY=VALUE`, each followed by a zero byte, so a literal is
/// `"dir=/data::/data:ro\0" "max-memory=16M"` and `len` its `sizeof`. The text must live until the child is spawned.
static inline void lunatic_options_config(lunatic_spawn_options *options, const char *entries, size_t len) {
    options->config = (uint64_t)(uintptr_t)entries;
    options->config_len = (uint32_t)len;
}

/// Returns the calling process.
static inline lunatic_handle lunatic_this(void) {
    lunatic_handle out;
    lunatic_process_this(&out);
    return out;
}

/// Returns whether two handles are of the same process or channel.
static inline bool lunatic_same(lunatic_handle one, lunatic_handle other) {
    return one.id == other.id && one.key == other.key;
}

// The buffer: results whose length is not known beforehand

/// Takes the contents of the buffer: the text of `LUNATIC_DENIED`, for example, or a message that did not fit. A zero
/// byte follows its `*len` bytes. The caller must free it. Returns NULL if there is no memory left; the buffer then
/// keeps its contents.
static inline char *lunatic_take(size_t *len) {
    *len = lunatic_buffer_len();
    char *bytes = (char *)malloc(*len + 1);
    if (bytes == NULL) return NULL;
    lunatic_buffer_take(bytes, *len);
    bytes[*len] = 0;
    return bytes;
}

/// Puts a message of more than 1 MiB into the buffer, from where it is sent.
static inline int32_t lunatic_put_long(const void *message, size_t len) {
    return len > LUNATIC_IN_PLACE_LEN_MAX ? lunatic_buffer_put(message, len) : LUNATIC_OK;
}

// Messages

/// Sends a message to the mailbox of a process. Returns `LUNATIC_OK`, `LUNATIC_CLOSED` (the process has exited),
/// `LUNATIC_FULL`, `LUNATIC_LIMIT` or `LUNATIC_INVALID`. The program can use the tags from 16 to 2⁶³−1.
static inline int32_t lunatic_send(lunatic_handle to, uint64_t tag, const void *message, size_t len) {
    int32_t code = lunatic_put_long(message, len);
    return code < 0 ? code : lunatic_mailbox_send(to.id, to.key, tag, message, len);
}

/// Receives the oldest mail with one of these tags (`tags_len` 0: any), a message or a notification from a link or
/// monitor; waits while there is none. `header->kind` (`LUNATIC_MAIL_…`) distinguishes them. Returns the length, or
/// `LUNATIC_TIMED_OUT`, or `LUNATIC_EMPTY` with a timeout of 0. If the mail has more than `capacity` bytes, or more
/// than 1 MiB, take it with `lunatic_take`.
static inline int32_t lunatic_receive(
    const uint64_t *tags, size_t tags_len, lunatic_header *header, void *to, size_t capacity, uint64_t timeout_ns
) {
    return lunatic_mailbox_receive(tags, tags_len, header, to, capacity, timeout_ns);
}

/// The beginning of the message of a call: the caller, and the tag for the reply.
typedef struct lunatic_request {
    lunatic_handle from;
    uint64_t reference;
} lunatic_request;

/// Sends a request (a `lunatic_request`, followed by the message) and waits for the reply. Returns its length, as
/// `lunatic_receive` does. Returns `LUNATIC_GONE` if the process exits first (take the reason with
/// `lunatic_take_reason`), `LUNATIC_TIMED_OUT`, `LUNATIC_FULL`, `LUNATIC_LIMIT` or `LUNATIC_INVALID`. A later reply is
/// dropped.
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

/// Makes a channel, which closes when the calling process exits. It holds at most `bound` messages; 0 means no bound.
static inline int32_t lunatic_channel(uint64_t bound, lunatic_handle *out) { return lunatic_channel_new(bound, out); }

/// Sends a message; waits while the channel is full. Returns `LUNATIC_OK`, `LUNATIC_TIMED_OUT`, `LUNATIC_CLOSED`,
/// `LUNATIC_LIMIT` or `LUNATIC_INVALID`.
static inline int32_t lunatic_push(lunatic_handle channel, const void *message, size_t len, uint64_t timeout_ns) {
    int32_t code = lunatic_put_long(message, len);
    return code < 0 ? code : lunatic_channel_send(channel.id, channel.key, message, len, timeout_ns);
}

/// Receives the oldest message; waits while there is none. Returns its length, or `LUNATIC_TIMED_OUT`,
/// `LUNATIC_CLOSED` or `LUNATIC_INVALID`. If the message has more than `capacity` bytes, or more than 1 MiB, take it
/// with `lunatic_take`.
static inline int32_t lunatic_pull(lunatic_handle channel, void *to, size_t capacity, uint64_t timeout_ns) {
    return lunatic_channel_receive(channel.id, channel.key, to, capacity, timeout_ns);
}

// Exits

/// An exit reason.
typedef struct lunatic_reason {
    /// One of `LUNATIC_EXIT_…`.
    int32_t kind;
    /// The exit code for `LUNATIC_EXIT_EXIT`, one of `LUNATIC_TRAP_…` for a trap, otherwise 0.
    int32_t detail;
    /// Not terminated by a zero byte; a part of the bytes that the reason was read from.
    const char *text;
    size_t text_len;
} lunatic_reason;

/// Decodes the body of mail of the kind `LUNATIC_MAIL_EXIT` or `LUNATIC_MAIL_DOWN`. Returns false if it has fewer than
/// 8 bytes.
static inline bool lunatic_read_reason(const void *bytes, size_t len, lunatic_reason *out) {
    if (len < LUNATIC_REASON_HEAD_LEN) return false;
    memcpy(&out->kind, bytes, 4);
    memcpy(&out->detail, (const char *)bytes + 4, 4);
    out->text = (const char *)bytes + LUNATIC_REASON_HEAD_LEN;
    out->text_len = len - LUNATIC_REASON_HEAD_LEN;
    return true;
}

/// Takes the reason that `lunatic_call` or `lunatic_join` has left in the buffer. The caller must free the result when
/// the text is no longer needed. Returns NULL if there is no reason, or no memory left.
static inline char *lunatic_take_reason(lunatic_reason *out) {
    size_t len;
    char *bytes = lunatic_take(&len);
    if (bytes == NULL || lunatic_read_reason(bytes, len, out)) return bytes;
    free(bytes);
    return NULL;
}

/// Encodes a reason. The caller must free the result; NULL if there is no memory left.
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

/// Exits the calling process with a reason. Like `exit`, it flushes `stdio` first. `text` may be NULL, and must have
/// at most 64 KiB.
__attribute__((noreturn)) static inline void lunatic_exit(int32_t kind, int32_t detail, const char *text) {
    size_t len;
    char *bytes = lunatic_reason_bytes(kind, detail, text, &len);
    __wasm_call_dtors();
    if (bytes != NULL) lunatic_process_exit(bytes, len);
    __builtin_trap();
}

/// Waits until a process has exited. Returns one of `LUNATIC_EXIT_…`, or `LUNATIC_TIMED_OUT` or `LUNATIC_INVALID`.
/// Unless `reason` is NULL, `*reason` receives the whole reason; free its text with `lunatic_free_reason`.
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

/// Kills a process wherever its execution is.
static inline int32_t lunatic_kill(lunatic_handle process) {
    return lunatic_process_kill_handle(process.id, process.key);
}

/// Sends an exit signal, such as `LUNATIC_EXIT_SHUTDOWN`, which a process that traps exits can handle.
static inline int32_t lunatic_signal(lunatic_handle process, int32_t kind, int32_t detail, const char *text) {
    size_t len;
    char *bytes = lunatic_reason_bytes(kind, detail, text, &len);
    if (bytes == NULL) return LUNATIC_LIMIT;
    int32_t code = lunatic_process_exit_signal(process.id, process.key, bytes, len);
    free(bytes);
    return code;
}

/// Links the caller and a process: when one exits, the other gets an exit signal with the reason.
static inline int32_t lunatic_link(lunatic_handle process) { return lunatic_process_link(process.id, process.key); }

/// Removes a link.
static inline int32_t lunatic_unlink(lunatic_handle process) { return lunatic_process_unlink(process.id, process.key); }

/// Sets whether exit signals become mail (`LUNATIC_MAIL_EXIT`, with the tag `LUNATIC_TAG_SIGNAL`).
static inline bool lunatic_trap_exits(bool on) { return lunatic_process_trap_exit(on) != 0; }

/// Monitors a process: the caller gets one notification (`LUNATIC_MAIL_DOWN`) under the tag when the process exits, or
/// immediately if it has exited already. `*reference` is the monitor, for `lunatic_process_demonitor`.
static inline int32_t lunatic_monitor(lunatic_handle process, uint64_t tag, uint64_t *reference) {
    return lunatic_process_monitor(process.id, process.key, tag, reference);
}

// Names, timers, rights

/// Registers a process under a name, of 1 to 255 bytes, until it exits. Also returns `LUNATIC_NAME_TAKEN` and
/// `LUNATIC_CLOSED`.
static inline int32_t lunatic_register(const char *name, lunatic_handle process) {
    return lunatic_registry_register(name, strlen(name), process.id, process.key);
}

/// Finds the process with the name; returns `LUNATIC_CLOSED` if there is none.
static inline int32_t lunatic_lookup(const char *name, lunatic_handle *out) {
    return lunatic_registry_lookup(name, strlen(name), out);
}

/// Frees a name.
static inline int32_t lunatic_unregister(const char *name) { return lunatic_registry_unregister(name, strlen(name)); }

/// Sends a message after `delay_ns` and, if `interval_ns` is not 0, again after each interval. `*timer` is the timer,
/// for `lunatic_timer_cancel`.
static inline int32_t lunatic_send_after(
    lunatic_handle to, uint64_t tag, const void *message, size_t len, uint64_t delay_ns, uint64_t interval_ns,
    uint64_t *timer
) {
    int32_t code = lunatic_put_long(message, len);
    if (code < 0) return code;
    return lunatic_timer_send_after(to.id, to.key, tag, message, len, delay_ns, interval_ns, timer);
}

/// Blocks the calling process for this time.
static inline void lunatic_sleep(uint64_t ns) { lunatic_process_sleep_ns(ns); }

/// Returns whether the process has a right: `spawn`, `names`, `connect:HOST:PORT` and so on.
static inline bool lunatic_allows(const char *question) {
    return lunatic_rights_allows(question, strlen(question)) == 1;
}

#ifdef __cplusplus
}
#endif

#endif
