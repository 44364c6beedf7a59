/// Lunatic for C++17: typed spawns and messages, and values that undo what they stand for when they go.
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
/// It is made of `lunatic.h`, which says what a child has and what codes mean, and needs no exceptions and no RTTI. Values
/// that go to another process as bytes, captured or in messages, are trivially copyable and hold no pointers.

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

/// The text that the last call left: why it was denied, for example.
inline std::string taken() {
    std::string text(lunatic_buffer_len(), '\0');
    lunatic_buffer_take(text.data(), text.size());
    return text;
}

/// How a process ended.
struct reason {
    /// One of `LUNATIC_EXIT_…`.
    std::int32_t kind = LUNATIC_EXIT_FORGOTTEN;
    /// The code of an exit, or one of `LUNATIC_TRAP_…`.
    std::int32_t detail = 0;
    std::string text;

    /// Reads reason bytes.
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

/// The value that the bytes are; nothing if they have another length.
template <class T> std::optional<T> value_of(std::string_view bytes) {
    static_assert(std::is_trivially_copyable_v<T>, "only plain values come from another process");
    if (bytes.size() != sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

/// A process, here or on another node. A plain value: it can be captured, sent and compared, and its end is not the end of
/// the process.
struct process {
    lunatic_handle handle{};

    /// The calling process.
    static process self() { return {lunatic_this()}; }

    /// The process with the name.
    static std::optional<process> named(std::string_view name) {
        process found;
        if (lunatic_registry_lookup(name.data(), name.size(), &found.handle) != LUNATIC_OK) return std::nullopt;
        return found;
    }

    /// Appends a message to its mailbox: `LUNATIC_OK`, or why not.
    std::int32_t send_bytes(std::uint64_t tag, std::string_view message) const {
        return lunatic_send(handle, tag, message.data(), message.size());
    }
    template <class T> std::int32_t send(std::uint64_t tag, const T &message) const {
        return send_bytes(tag, bytes_of(message));
    }

    /// Waits for its end: one of `LUNATIC_EXIT_…`, or `LUNATIC_TIMED_OUT`. `taken` has the reason bytes.
    std::int32_t join(std::uint64_t timeout_ns = forever) const { return lunatic_join(handle, timeout_ns, nullptr); }

    std::int32_t kill() const { return lunatic_kill(handle); }
    std::int32_t link() const { return lunatic_link(handle); }
    bool is_alive() const { return lunatic_process_is_alive(handle.id, handle.key) == 1; }

    friend bool operator==(process one, process other) { return lunatic_same(one.handle, other.handle); }
    friend bool operator!=(process one, process other) { return !(one == other); }
};

namespace detail {

/// The parameter of a body, without `const &`; `void` if it takes none.
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

/// Spawns a process that calls `body`, a function that takes nothing or one plain value. Nothing if it was refused; `taken`
/// says why.
template <auto body, class... T> std::optional<process> spawn(const T &...captured) {
    process child;
    auto bytes = detail::captured_of<body>(captured...);
    auto code = lunatic_spawn(detail::entry<body>, bytes.data(), bytes.size(), &child.handle);
    if (code != LUNATIC_OK) return std::nullopt;
    return child;
}

/// The right to be told of the end of a process, which goes with this value.
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
    /// No news comes any more, and those that wait in the mailbox are dropped.
    ~monitor() {
        if (reference_ != 0) lunatic_process_demonitor(reference_, 1);
    }

    std::uint64_t reference() const { return reference_; }
};

/// A child with the monitor that was there before it ran.
struct watched_child {
    process child;
    monitor watch;
};

/// As `spawn`; when the child ends, a message of the kind `LUNATIC_MAIL_DOWN` comes under the tag.
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

/// What came by mail.
struct mail {
    lunatic_header header;
    std::string body;

    bool is_message() const { return header.kind == LUNATIC_MAIL_MESSAGE; }
    /// The value that was sent; nothing if it has another length.
    template <class T> std::optional<T> value() const { return value_of<T>(body); }
    /// How the process of news ended.
    lunatic::reason reason() const { return lunatic::reason::read(body); }
};

/// Takes the oldest mail with one of the tags, or any if there are none. Nothing if the timeout passes first.
inline std::optional<mail> receive(std::initializer_list<std::uint64_t> tags = {}, std::uint64_t timeout_ns = forever) {
    mail got;
    auto len = lunatic_receive(tags.begin(), tags.size(), &got.header, nullptr, 0, timeout_ns);
    if (len < 0) return std::nullopt;
    if (len > 0) got.body = taken();
    return got;
}

/// A channel of values of one type. A plain value as `process` is: it closes when the process that made it ends.
template <class T> struct channel {
    lunatic_handle handle{};

    /// Holds at most `bound` values; 0: any number.
    static std::optional<channel> make(std::uint64_t bound = 0) {
        channel made;
        if (lunatic_channel(bound, &made.handle) != LUNATIC_OK) return std::nullopt;
        return made;
    }

    std::int32_t send(const T &value, std::uint64_t timeout_ns = forever) const {
        auto bytes = bytes_of(value);
        return lunatic_push(handle, bytes.data(), bytes.size(), timeout_ns);
    }

    /// Nothing if the timeout passes first, the channel is closed, or the message is no such value.
    std::optional<T> receive(std::uint64_t timeout_ns = forever) const {
        static_assert(std::is_trivially_copyable_v<T>, "only plain values come from another process");
        T value;
        auto len = lunatic_pull(handle, &value, sizeof value, timeout_ns);
        if (len != static_cast<std::int32_t>(sizeof value)) return std::nullopt;
        return value;
    }
};

/// A message that comes later, unless this value goes first.
class timer {
    std::uint64_t timer_ = 0;

  public:
    /// `interval_ns` of 0 sends once.
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

/// The name of a process, which is free again when this value goes.
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

    /// `LUNATIC_OK`, or why the process has not got the name, such as `LUNATIC_NAME_TAKEN`.
    std::int32_t code() const { return code_; }
};

} // namespace lunatic

#endif
