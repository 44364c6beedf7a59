//! Lunatic for Zig: processes, messages, channels, links, monitors, names, timers and exit reasons.
//!
//! A child has its own memory, with the initial contents of the data section: pass data to it as captured bytes or in messages. Codes
//! below 0 become Zig errors here; `docs/abi.md` says when each is returned.

const std = @import("std");

/// The timeout that never passes. Timeouts are in nanoseconds.
pub const forever: u64 = std.math.maxInt(u64);
/// A millisecond, in nanoseconds.
pub const millisecond: u64 = 1_000_000;
/// A second, in nanoseconds.
pub const second: u64 = 1_000_000_000;

/// A handle of a process or a channel. It can be captured, sent and compared.
pub const Handle = extern struct {
    id: u64 = 0,
    key: u64 = 0,
};

/// Bits of `Options.flags`.
pub const Flags = packed struct(u32) {
    link: bool = false,
    monitor: bool = false,
    trap_exit: bool = false,
    new_scope: bool = false,
    rest: u28 = 0,
};

/// The options of a spawn; `name` and `config` are pointers with lengths, see `options`.
pub const Options = extern struct {
    flags: Flags = .{},
    name_len: u32 = 0,
    name: u64 = 0,
    max_memory: u64 = 0,
    mailbox_max: u64 = 0,
    monitor_tag: u64 = 0,
    config: u64 = 0,
    config_len: u32 = 0,
    reserved: u32 = 0,

    /// The rights of the child: entries `KEY` or `KEY=VALUE`, each followed by a zero byte.
    pub fn withConfig(options: Options, config: []const u8) Options {
        var with = options;
        with.config = @intFromPtr(config.ptr);
        with.config_len = @intCast(config.len);
        return with;
    }
};

/// A child, and the reference of its monitor.
pub const Spawned = extern struct { process: Handle = .{}, reference: u64 = 0 };

/// The kind of a mailbox entry.
pub const Kind = enum(u32) { message = 0, exit = 1, down = 2, change = 3, _ };

/// The description of mail, beside its body.
pub const Header = extern struct {
    kind: Kind = .message,
    len: u32 = 0,
    tag: u64 = 0,
    reference: u64 = 0,
    from: Handle = .{},
};

/// The tag of mail about exits.
pub const exit_tag: u64 = 1;

/// The imports, by namespace.
pub const abi = struct {
    pub const process = struct {
        pub extern "lunatic::process" fn spawn(entry: Entry, captured: [*]const u8, len: usize, options: *const Options, out: *Spawned) i32;
        pub extern "lunatic::process" fn captured(to: [*]u8, len: usize) void;
        pub extern "lunatic::process" fn captured_len() usize;
        pub extern "lunatic::process" fn next() i32;
        pub extern "lunatic::process" fn this(out: *Handle) void;
        pub extern "lunatic::process" fn is_alive(id: u64, key: u64) i32;
        pub extern "lunatic::process" fn kill_handle(id: u64, key: u64) i32;
        pub extern "lunatic::process" fn join(id: u64, key: u64, timeout_ns: u64) i32;
        pub extern "lunatic::process" fn sleep_ns(ns: u64) void;
        pub extern "lunatic::process" fn exit(reason: [*]const u8, len: usize) void;
        pub extern "lunatic::process" fn trap_exit(on: i32) i32;
    };
    pub const mailbox = struct {
        pub extern "lunatic::mailbox" fn send(id: u64, key: u64, tag: u64, message: [*]const u8, len: usize) i32;
        pub extern "lunatic::mailbox" fn receive(tags: [*]const u64, tags_len: usize, header: *Header, to: [*]u8, capacity: usize, timeout_ns: u64) i32;
        pub extern "lunatic::mailbox" fn reference(out: *u64) i32;
        pub extern "lunatic::mailbox" fn close(reference: u64) void;
        pub extern "lunatic::mailbox" fn call(id: u64, key: u64, tag: u64, message: [*]const u8, len: usize, reference: *u64, to: [*]u8, capacity: usize, timeout_ns: u64) i32;
    };
    pub const channel = struct {
        pub extern "lunatic::channel" fn new(bound: u64, out: *Handle) i32;
        pub extern "lunatic::channel" fn send(id: u64, key: u64, message: [*]const u8, len: usize, timeout_ns: u64) i32;
        pub extern "lunatic::channel" fn receive(id: u64, key: u64, to: [*]u8, capacity: usize, timeout_ns: u64) i32;
    };
    pub const registry = struct {
        pub extern "lunatic::registry" fn register(name: [*]const u8, len: usize, id: u64, key: u64) i32;
        pub extern "lunatic::registry" fn unregister(name: [*]const u8, len: usize) i32;
        pub extern "lunatic::registry" fn lookup(name: [*]const u8, len: usize, out: *Handle) i32;
    };
    pub const timer = struct {
        pub extern "lunatic::timer" fn send_after(id: u64, key: u64, tag: u64, message: [*]const u8, len: usize, delay_ns: u64, interval_ns: u64, out: *u64) i32;
        pub extern "lunatic::timer" fn cancel(timer: u64) i32;
    };
    pub const buffer = struct {
        pub extern "lunatic::buffer" fn len() usize;
        pub extern "lunatic::buffer" fn take(to: [*]u8, len: usize) void;
        pub extern "lunatic::buffer" fn put(from: [*]const u8, len: usize) i32;
    };
};

pub const Error = error{ Invalid, Closed, Full, Empty, TimedOut, Limit, Gone, NameTaken, Denied, BadConfig, Other };

/// Returns the number that a call has returned, or its error.
fn check(code: i32) Error!u32 {
    return switch (code) {
        0...std.math.maxInt(i32) => @intCast(code),
        -1 => error.Invalid,
        -2 => error.Closed,
        -3 => error.Full,
        -4 => error.Empty,
        -5 => error.TimedOut,
        -6 => error.Limit,
        -7 => error.Gone,
        -8 => error.NameTaken,
        -9 => error.Denied,
        -10 => error.BadConfig,
        else => error.Other,
    };
}

/// The function that a process calls first.
pub const Entry = *const fn () callconv(.c) void;

/// An entry that calls `body` with the captured bytes, and flushes the output of `print` afterwards.
pub fn entry(comptime body: fn (captured: []const u8) void) Entry {
    return &struct {
        fn run() callconv(.c) void {
            const len = abi.process.captured_len();
            const bytes = std.heap.wasm_allocator.alloc(u8, len) catch @trap();
            if (len > 0) abi.process.captured(bytes.ptr, len);
            body(bytes);
            flush();
        }
    }.run;
}

/// The address of bytes. An empty slice may point behind the memory, which would trap.
fn start(bytes: []const u8) [*]const u8 {
    return if (bytes.len == 0) "" else bytes.ptr;
}

/// Spawns a process that calls `body` with a copy of the captured bytes, at most 64 KiB.
pub fn spawn(comptime body: fn ([]const u8) void, captured: []const u8) Error!Handle {
    return (try spawnWith(body, captured, .{})).process;
}

/// Spawns a process with options, which take effect before the child runs.
pub fn spawnWith(comptime body: fn ([]const u8) void, captured: []const u8, options: Options) Error!Spawned {
    // The host needs this import in a program that spawns, and linkers drop imports that are not called.
    _ = abi.process.next();
    var out: Spawned = .{};
    _ = try check(abi.process.spawn(entry(body), start(captured), captured.len, &options, &out));
    return out;
}

/// The calling process.
pub fn this() Handle {
    var out: Handle = .{};
    abi.process.this(&out);
    return out;
}

/// Messages of more than 1 MiB are sent through the buffer.
fn putLong(message: []const u8) Error!void {
    if (message.len > 1 << 20) _ = try check(abi.buffer.put(start(message), message.len));
}

/// Sends a message to the mailbox of a process. Tags must be 16 or more.
pub fn send(to: Handle, tag: u64, message: []const u8) Error!void {
    try putLong(message);
    _ = try check(abi.mailbox.send(to.id, to.key, tag, start(message), message.len));
}

/// Mail; the caller must free its body.
pub const Mail = struct { header: Header, body: []u8 };

/// Takes the contents of the buffer that the last call has filled.
pub fn take(allocator: std.mem.Allocator) ![]u8 {
    const bytes = try allocator.alloc(u8, abi.buffer.len());
    if (bytes.len > 0) abi.buffer.take(bytes.ptr, bytes.len);
    return bytes;
}

/// Receives the oldest mail with one of the tags, or with any tag if there are none.
pub fn receive(allocator: std.mem.Allocator, tags: []const u64, timeout_ns: u64) !Mail {
    var header: Header = .{};
    // If it does not fit, the body is in the buffer.
    const no_room = [0]u8{};
    const len = try check(abi.mailbox.receive(if (tags.len == 0) @as([*]const u64, &.{0}) else tags.ptr, tags.len, &header, @constCast(&no_room), 0, timeout_ns));
    const body = if (len == 0) try allocator.alloc(u8, 0) else try take(allocator);
    return .{ .header = header, .body = body };
}

/// The beginning of the message of a call.
pub const Request = extern struct { from: Handle, reference: u64 };

/// Sends a request, which is a `Request` followed by the message, and waits for the reply.
pub fn call(allocator: std.mem.Allocator, to: Handle, tag: u64, message: []const u8, timeout_ns: u64) ![]u8 {
    var request: Request = .{ .from = this(), .reference = 0 };
    _ = try check(abi.mailbox.reference(&request.reference));
    const bytes = try std.mem.concat(allocator, u8, &.{ std.mem.asBytes(&request), message });
    defer allocator.free(bytes);
    try putLong(bytes);
    defer abi.mailbox.close(request.reference);
    const no_room = [0]u8{};
    const code = abi.mailbox.call(to.id, to.key, tag, start(bytes), bytes.len, &request.reference, @constCast(&no_room), 0, timeout_ns);
    return if (try check(code) == 0) allocator.alloc(u8, 0) else take(allocator);
}

/// An exit reason.
pub const Reason = struct {
    /// A kind from `docs/abi.md`: 0 normal, 1 exit, 3 trap, 4 killed, 7 error.
    kind: i32,
    detail: i32,
    text: []const u8,

    /// Decodes the bytes of a reason.
    pub fn read(bytes: []const u8) Reason {
        return .{
            .kind = std.mem.readInt(i32, bytes[0..4], .little),
            .detail = std.mem.readInt(i32, bytes[4..8], .little),
            .text = bytes[8..],
        };
    }
};

/// Waits until a process has exited. The caller must free the text of the reason.
pub fn join(allocator: std.mem.Allocator, process: Handle, timeout_ns: u64) !Reason {
    _ = try check(abi.process.join(process.id, process.key, timeout_ns));
    return Reason.read(try take(allocator));
}

/// Exits the calling process with an error.
pub fn fail(text: []const u8) noreturn {
    flush();
    var bytes: [1024]u8 = undefined;
    std.mem.writeInt(i32, bytes[0..4], 7, .little);
    std.mem.writeInt(i32, bytes[4..8], 0, .little);
    const len = @min(text.len, bytes.len - 8);
    @memcpy(bytes[8..][0..len], text[0..len]);
    abi.process.exit(&bytes, 8 + len);
    unreachable;
}

/// Exits the calling process with a code, and flushes first.
pub fn exit(code: u32) noreturn {
    flush();
    std.os.wasi.proc_exit(code);
}

/// Returns whether the process has not exited.
pub fn isAlive(process: Handle) Error!bool {
    return try check(abi.process.is_alive(process.id, process.key)) == 1;
}

/// Kills a process wherever its execution is.
pub fn kill(process: Handle) Error!void {
    _ = try check(abi.process.kill_handle(process.id, process.key));
}

/// A queue of messages, which closes when the process that made it exits.
pub const Channel = extern struct {
    handle: Handle = .{},

    /// Makes a channel that holds at most `bound` messages; 0 means no bound.
    pub fn make(bound: u64) Error!Channel {
        var made: Channel = .{};
        _ = try check(abi.channel.new(bound, &made.handle));
        return made;
    }

    pub fn push(channel: Channel, message: []const u8, timeout_ns: u64) Error!void {
        try putLong(message);
        _ = try check(abi.channel.send(channel.handle.id, channel.handle.key, start(message), message.len, timeout_ns));
    }

    /// Returns the length of the oldest message, which is in `to` if it fits, and otherwise in the buffer.
    pub fn pull(channel: Channel, to: []u8, timeout_ns: u64) Error!u32 {
        return check(abi.channel.receive(channel.handle.id, channel.handle.key, to.ptr, to.len, timeout_ns));
    }
};

/// Registers a process under a name until it exits.
pub fn register(name: []const u8, process: Handle) Error!void {
    _ = try check(abi.registry.register(start(name), name.len, process.id, process.key));
}

/// Frees a name.
pub fn unregister(name: []const u8) Error!void {
    _ = try check(abi.registry.unregister(start(name), name.len));
}

/// Returns the process with the name.
pub fn lookup(name: []const u8) Error!Handle {
    var out: Handle = .{};
    _ = try check(abi.registry.lookup(start(name), name.len, &out));
    return out;
}

/// Sends a message after a delay; the timer can be passed to `cancel`.
pub fn sendAfter(to: Handle, tag: u64, message: []const u8, delay_ns: u64) Error!u64 {
    var timer: u64 = 0;
    try putLong(message);
    _ = try check(abi.timer.send_after(to.id, to.key, tag, start(message), message.len, delay_ns, 0, &timer));
    return timer;
}

/// Cancels a timer; returns whether it had not sent yet.
pub fn cancel(timer: u64) bool {
    return abi.timer.cancel(timer) == 1;
}

/// Blocks the calling process for this time.
pub fn sleep(ns: u64) void {
    abi.process.sleep_ns(ns);
}

/// Makes exit signals become mail.
pub fn trapExits() void {
    _ = abi.process.trap_exit(1);
}

var printed: [1024]u8 = undefined;
var printed_len: usize = 0;

/// Prints to standard output. The text is written when a line ends, after 1 KiB, or when the entry returns. `main` must end with
/// `flush`.
pub fn print(comptime format: []const u8, args: anytype) void {
    var text: [512]u8 = undefined;
    const line = std.fmt.bufPrint(&text, format, args) catch @trap();
    if (printed_len + line.len > printed.len) flush();
    @memcpy(printed[printed_len..][0..line.len], line);
    printed_len += line.len;
    if (std.mem.endsWith(u8, line, "\n")) flush();
}

/// Writes the printed text.
pub fn flush() void {
    var from: usize = 0;
    while (from < printed_len) {
        const part = [1]std.os.wasi.ciovec_t{.{ .base = printed[from..].ptr, .len = printed_len - from }};
        var written: usize = 0;
        if (std.os.wasi.fd_write(1, &part, 1, &written) != .SUCCESS) break;
        from += written;
    }
    printed_len = 0;
}
