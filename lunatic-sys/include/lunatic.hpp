/// Lunatic for C++17: typed spawns and messages, and values whose destructors undo what they stand for.
///
///     #include <lunatic.hpp>
///
///     void child(const int &number) { … }
///
///     int main() {
///         auto process = lunatic::spawn<child>(7);
///         return process ? process->join() : 1;
///     }
///
/// It is built on `lunatic.h`, which describes the memory of a child and the codes, and needs neither exceptions nor
/// RTTI. Values that go to another process as bytes, captured or in messages, must be trivially copyable and contain
/// no pointers.

#ifndef LUNATIC_HPP
#define LUNATIC_HPP

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "lunatic.h"

namespace lunatic {

/// The timeout that never passes.
inline constexpr std::uint64_t forever = LUNATIC_NO_TIMEOUT;

/// Takes the text that the last call left in the buffer: the reason for a denial, for example.
inline std::string taken() {
    std::string text(lunatic_buffer_len(), '\0');
    lunatic_buffer_take(text.data(), text.size());
    return text;
}

/// An exit reason.
struct reason {
    /// One of `LUNATIC_EXIT_…`.
    std::int32_t kind = LUNATIC_EXIT_FORGOTTEN;
    /// The exit code, or one of `LUNATIC_TRAP_…`.
    std::int32_t detail = 0;
    std::string text;

    /// Decodes reason bytes.
    static reason read(std::string_view bytes) {
        lunatic_reason raw;
        if (!lunatic_read_reason(bytes.data(), bytes.size(), &raw)) return {};
        return {raw.kind, raw.detail, std::string(raw.text, raw.text_len)};
    }
};

/// The bytes of a value.
template <class T> std::string_view bytes_of(const T &value) {
    static_assert(std::is_trivially_copyable_v<T>, "only plain values go to another process");
    return {reinterpret_cast<const char *>(&value), sizeof value};
}

/// Returns the value that the bytes represent; nothing if they have another length.
template <class T> std::optional<T> value_of(std::string_view bytes) {
    static_assert(std::is_trivially_copyable_v<T>, "only plain values come from another process");
    if (bytes.size() != sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

/// A process, here or on another node. It is a plain value: it can be captured, sent and compared, and its destruction
/// does not affect the process.
struct process {
    lunatic_handle handle{};

    /// Returns the calling process.
    static process self() { return {lunatic_this()}; }

    /// Returns the process with the name.
    static std::optional<process> named(std::string_view name) {
        process found;
        if (lunatic_registry_lookup(name.data(), name.size(), &found.handle) != LUNATIC_OK) return std::nullopt;
        return found;
    }

    /// Sends a message to its mailbox. Returns `LUNATIC_OK` or an error code.
    std::int32_t send_bytes(std::uint64_t tag, std::string_view message) const {
        return lunatic_send(handle, tag, message.data(), message.size());
    }
    template <class T> std::int32_t send(std::uint64_t tag, const T &message) const {
        return send_bytes(tag, bytes_of(message));
    }

    /// Waits until it has exited. Returns one of `LUNATIC_EXIT_…`, or `LUNATIC_TIMED_OUT`. `taken` has the reason
    /// bytes.
    std::int32_t join(std::uint64_t timeout_ns = forever) const { return lunatic_join(handle, timeout_ns, nullptr); }

    std::int32_t kill() const { return lunatic_kill(handle); }
    std::int32_t link() const { return lunatic_link(handle); }
    bool is_alive() const { return lunatic_process_is_alive(handle.id, handle.key) == 1; }

    friend bool operator==(process one, process other) { return lunatic_same(one.handle, other.handle); }
    friend bool operator!=(process one, process other) { return !(one == other); }
};

namespace detail {

/// The parameter type of a body, without `const &`; `void` without a parameter.
template <class F> struct parameter;
template <> struct parameter<void (*)()> { using type = void; };
template <class T> struct parameter<void (*)(T)> { using type = std::decay_t<T>; };

/// The entry of processes that run `body`.
template <auto body> void entry() {
    using captured = typename parameter<decltype(body)>::type;
    lunatic_enter([](const void *bytes, std::size_t len) {
        if constexpr (std::is_void_v<captured>)
            body();
        else
            body(*value_of<captured>({static_cast<const char *>(bytes), len}));
    });
}

template <auto body, class... T> std::string_view captured_of(const T &...value) {
    using expected = typename parameter<decltype(body)>::type;
    static_assert(sizeof...(T) == (std::is_void_v<expected> ? 0 : 1), "the body takes what is captured, and no more");
    static_assert((std::is_same_v<T, expected> && ...), "the body takes a value of another type");
    if constexpr (sizeof...(T) == 0)
        return {};
    else
        return bytes_of(value...);
}

} // namespace detail

/// Spawns a process that calls `body`, a function without parameters or with one plain value. Returns nothing if the
/// spawn was refused; `taken` has the reason.
template <auto body, class... T> std::optional<process> spawn(const T &...captured) {
    process child;
    auto bytes = detail::captured_of<body>(captured...);
    auto code = lunatic_spawn(detail::entry<body>, bytes.data(), bytes.size(), &child.handle);
    if (code != LUNATIC_OK) return std::nullopt;
    return child;
}

/// A monitor of a process, which is removed when this value is destroyed.
class monitor {
    std::uint64_t reference_ = 0;

  public:
    explicit monitor(std::uint64_t reference) : reference_(reference) {}
    monitor(process watched, std::uint64_t tag) { lunatic_monitor(watched.handle, tag, &reference_); }
    monitor(monitor &&other) noexcept : reference_(std::exchange(other.reference_, 0)) {}
    monitor &operator=(monitor &&other) noexcept {
        std::swap(reference_, other.reference_);
        return *this;
    }
    /// No more notifications arrive, and those in the mailbox are dropped.
    ~monitor() {
        if (reference_ != 0) lunatic_process_demonitor(reference_, 1);
    }

    std::uint64_t reference() const { return reference_; }
};

/// A child, and a monitor that was set before it ran.
struct watched_child {
    process child;
    monitor watch;
};

/// Spawns as `spawn` does; when the child exits, mail of the kind `LUNATIC_MAIL_DOWN` arrives under the tag.
template <auto body, class... T>
std::optional<watched_child> spawn_monitored(std::uint64_t tag, const T &...captured) {
    lunatic_spawn_options options{};
    options.flags = LUNATIC_SPAWN_MONITOR;
    options.monitor_tag = tag;
    lunatic_spawned spawned;
    auto bytes = detail::captured_of<body>(captured...);
    auto code = lunatic_spawn_with(detail::entry<body>, bytes.data(), bytes.size(), &options, &spawned);
    if (code != LUNATIC_OK) return std::nullopt;
    return watched_child{{spawned.process}, monitor(spawned.reference)};
}

/// Mail that was received.
struct mail {
    lunatic_header header;
    std::string body;

    bool is_message() const { return header.kind == LUNATIC_MAIL_MESSAGE; }
    /// Returns the value that was sent; nothing if it has another length.
    template <class T> std::optional<T> value() const { return value_of<T>(body); }
    /// Returns the exit reason in a notification.
    lunatic::reason reason() const { return lunatic::reason::read(body); }
};

/// Receives the oldest mail with one of the tags, or with any tag if there are none. Nothing if the timeout passes
/// first.
inline std::optional<mail> receive(std::initializer_list<std::uint64_t> tags = {}, std::uint64_t timeout_ns = forever) {
    mail got;
    auto len = lunatic_receive(tags.begin(), tags.size(), &got.header, nullptr, 0, timeout_ns);
    if (len < 0) return std::nullopt;
    if (len > 0) got.body = taken();
    return got;
}

/// A channel of values of one type. It is a plain value, as `process` is. The channel closes when the process that
/// made it exits.
template <class T> struct channel {
    lunatic_handle handle{};

    /// Makes a channel that holds at most `bound` values; 0 means no bound.
    static std::optional<channel> make(std::uint64_t bound = 0) {
        channel made;
        if (lunatic_channel(bound, &made.handle) != LUNATIC_OK) return std::nullopt;
        return made;
    }

    std::int32_t send(const T &value, std::uint64_t timeout_ns = forever) const {
        auto bytes = bytes_of(value);
        return lunatic_push(handle, bytes.data(), bytes.size(), timeout_ns);
    }

    /// Returns nothing if the timeout passes first, the channel is closed, or the message is not such a value.
    std::optional<T> receive(std::uint64_t timeout_ns = forever) const {
        static_assert(std::is_trivially_copyable_v<T>, "only plain values come from another process");
        T value;
        auto len = lunatic_pull(handle, &value, sizeof value, timeout_ns);
        if (len != static_cast<std::int32_t>(sizeof value)) return std::nullopt;
        return value;
    }
};

/// A timer, which is cancelled when this value is destroyed.
class timer {
    std::uint64_t timer_ = 0;

  public:
    /// With an `interval_ns` of 0, it sends only once.
    template <class T>
    timer(process to, std::uint64_t tag, const T &message, std::uint64_t delay_ns, std::uint64_t interval_ns = 0) {
        auto bytes = bytes_of(message);
        lunatic_send_after(to.handle, tag, bytes.data(), bytes.size(), delay_ns, interval_ns, &timer_);
    }
    timer(timer &&other) noexcept : timer_(std::exchange(other.timer_, 0)) {}
    timer &operator=(timer &&other) noexcept {
        std::swap(timer_, other.timer_);
        return *this;
    }
    ~timer() {
        if (timer_ != 0) lunatic_timer_cancel(timer_);
    }
};

/// A name of a process, which is freed when this value is destroyed.
class name {
    std::string text_;
    std::int32_t code_;

  public:
    name(std::string text, process named)
        : text_(std::move(text)),
          code_(lunatic_registry_register(text_.data(), text_.size(), named.handle.id, named.handle.key)) {}
    name(name &&other) noexcept
        : text_(std::move(other.text_)), code_(std::exchange(other.code_, LUNATIC_CLOSED)) {}
    name &operator=(name &&other) noexcept {
        std::swap(text_, other.text_);
        std::swap(code_, other.code_);
        return *this;
    }
    ~name() {
        if (code_ == LUNATIC_OK) lunatic_registry_unregister(text_.data(), text_.size());
    }

    /// `LUNATIC_OK`, or the reason why the process has not got the name, such as `LUNATIC_NAME_TAKEN`.
    std::int32_t code() const { return code_; }
};

} // namespace lunatic

#endif
