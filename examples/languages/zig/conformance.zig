//! The conformance kit in Zig: `lunatic conformance` runs this program with the name of a case, and checks what it does.
//!
//!     zig build-exe -target wasm32-wasi -O ReleaseSafe --stack 65536 conformance.zig
//!     lunatic conformance conformance.wasm

const std = @import("std");
const lunatic = @import("lunatic.zig");

const allocator = std.heap.wasm_allocator;
const forever = lunatic.forever;
const print = lunatic.print;

fn printReason(reason: lunatic.Reason) void {
    switch (reason.kind) {
        0 => print("normal\n", .{}),
        1 => print("exit {d}\n", .{reason.detail}),
        4 => print("killed\n", .{}),
        7 => print("error: {s}\n", .{reason.text}),
        else => print("crashed\n", .{}),
    }
}

fn printEnd(process: lunatic.Handle) !void {
    printReason(try lunatic.join(allocator, process, forever));
}

fn wait(process: lunatic.Handle) !void {
    _ = try lunatic.join(allocator, process, forever);
}

fn printMessage(tags: []const u64) !void {
    const mail = try lunatic.receive(allocator, tags, forever);
    print("{s}\n", .{mail.body});
}

fn handleOf(bytes: []const u8) lunatic.Handle {
    return std.mem.bytesToValue(lunatic.Handle, bytes[0..@sizeOf(lunatic.Handle)]);
}

fn printCaptured(captured: []const u8) void {
    print("child: {s}\n", .{captured});
}

fn caseCaptured() !void {
    const child = try lunatic.spawn(printCaptured, "oak");
    try wait(child);
    print("joined: ", .{});
    try printEnd(child);
}

var variable: u32 = 1;

fn printVariable(_: []const u8) void {
    print("child: {d}\n", .{variable});
}

fn caseMemory() !void {
    variable = 2;
    try wait(try lunatic.spawn(printVariable, ""));
    print("parent: {d}\n", .{variable});
}

fn printPart(_: []const u8) void {
    print("kept", .{});
}

fn caseFlush() !void {
    try wait(try lunatic.spawn(printPart, ""));
}

fn printThree(_: []const u8) void {
    for (0..3) |_| {
        const mail = lunatic.receive(allocator, &.{}, forever) catch @trap();
        print("{d} ({s})\n", .{ mail.header.tag, mail.body });
    }
}

fn caseMessages() !void {
    const child = try lunatic.spawn(printThree, "");
    try lunatic.send(child, 16, "a");
    try lunatic.send(child, 17, "b");
    try lunatic.send(child, 18, "");
    try wait(child);
}

fn caseSelective() !void {
    const self = lunatic.this();
    try lunatic.send(self, 16, "one");
    try lunatic.send(self, 17, "two");
    try lunatic.send(self, 18, "three");
    try printMessage(&.{18});
    try printMessage(&.{ 17, 16 });
    try printMessage(&.{});
}

fn sendLong(captured: []const u8) void {
    const message = allocator.alloc(u8, 3 << 20) catch @trap();
    for (message, 0..) |*byte, at| byte.* = @intCast(at % 251);
    lunatic.send(handleOf(captured), 16, message) catch @trap();
}

fn caseLong() !void {
    const self = lunatic.this();
    _ = try lunatic.spawn(sendLong, std.mem.asBytes(&self));
    const mail = try lunatic.receive(allocator, &.{16}, forever);
    var sum: u64 = 0;
    for (mail.body) |byte| sum += byte;
    print("{d} {d}\n", .{ mail.body.len, sum });
}

fn sendNumbers(captured: []const u8) void {
    const numbers: lunatic.Channel = .{ .handle = handleOf(captured) };
    for (1..6) |number| {
        const word: u32 = @intCast(number);
        numbers.push(std.mem.asBytes(&word), forever) catch @trap();
    }
}

fn caseChannel() !void {
    const numbers = try lunatic.Channel.make(1);
    _ = try lunatic.spawn(sendNumbers, std.mem.asBytes(&numbers));
    var sum: u32 = 0;
    for (0..5) |_| {
        var word: u32 = 0;
        _ = try numbers.pull(std.mem.asBytes(&word), forever);
        sum += word;
    }
    print("{d}\n", .{sum});
}

fn sendChannel(captured: []const u8) void {
    const mine = lunatic.Channel.make(0) catch @trap();
    lunatic.send(handleOf(captured), 16, std.mem.asBytes(&mine)) catch @trap();
}

fn caseClosed() !void {
    const self = lunatic.this();
    try wait(try lunatic.spawn(sendChannel, std.mem.asBytes(&self)));
    const mail = try lunatic.receive(allocator, &.{16}, forever);
    const theirs: lunatic.Channel = .{ .handle = handleOf(mail.body) };
    var room: [1]u8 = undefined;
    if (theirs.pull(&room, forever)) |_| {} else |why| if (why == error.Closed) print("closed\n", .{});
}

fn exitWith7(_: []const u8) void {
    lunatic.exit(7);
}

fn caseLink() !void {
    lunatic.trapExits();
    _ = try lunatic.spawnWith(exitWith7, "", .{ .flags = .{ .link = true } });
    const mail = try lunatic.receive(allocator, &.{lunatic.exit_tag}, forever);
    if (mail.header.kind == .exit) printReason(lunatic.Reason.read(mail.body));
}

fn crash(_: []const u8) void {
    @trap();
}

fn caseMonitor() !void {
    _ = try lunatic.spawnWith(crash, "", .{ .flags = .{ .monitor = true }, .monitor_tag = 20 });
    const mail = try lunatic.receive(allocator, &.{20}, forever);
    if (mail.header.kind == .down) printReason(lunatic.Reason.read(mail.body));
}

fn fail(_: []const u8) void {
    lunatic.fail("out of stock");
}

fn caseReason() !void {
    try printEnd(try lunatic.spawn(fail, ""));
}

fn waitForMail(_: []const u8) void {
    _ = lunatic.receive(allocator, &.{}, forever) catch @trap();
}

fn caseKill() !void {
    const child = try lunatic.spawn(waitForMail, "");
    if (try lunatic.isAlive(child)) print("alive\n", .{});
    try lunatic.kill(child);
    try printEnd(child);
    if (!try lunatic.isAlive(child)) print("gone\n", .{});
}

fn compute(_: []const u8) void {
    var number: u32 = 0;
    const place: *volatile u32 = &number;
    while (true) place.* +%= 1;
}

fn caseBusy() !void {
    const child = try lunatic.spawn(compute, "");
    lunatic.sleep(lunatic.millisecond);
    try lunatic.kill(child);
    try printEnd(child);
}

fn findClerk(_: []const u8) void {
    lunatic.send(lunatic.lookup("clerk") catch @trap(), 16, "found") catch @trap();
}

fn caseNames() !void {
    try lunatic.register("clerk", lunatic.this());
    _ = try lunatic.spawn(findClerk, "");
    try printMessage(&.{16});
    const other = try lunatic.spawn(waitForMail, "");
    if (lunatic.register("clerk", other)) {} else |why| if (why == error.NameTaken) print("taken\n", .{});
    try lunatic.unregister("clerk");
    if (lunatic.lookup("clerk")) |_| {} else |why| if (why == error.Closed) print("free\n", .{});
}

fn caseTimer() !void {
    const self = lunatic.this();
    _ = try lunatic.sendAfter(self, 16, "tick", lunatic.millisecond);
    try printMessage(&.{16});
    if (lunatic.cancel(try lunatic.sendAfter(self, 16, "late", 3600 * lunatic.second))) print("cancelled\n", .{});
}

fn caseTimeout() !void {
    if (lunatic.receive(allocator, &.{}, lunatic.millisecond)) |_| {} else |why| if (why == error.TimedOut) print("timed out\n", .{});
    if (lunatic.receive(allocator, &.{}, 0)) |_| {} else |why| if (why == error.Empty) print("empty\n", .{});
}

fn answer(_: []const u8) void {
    const mail = lunatic.receive(allocator, &.{16}, forever) catch @trap();
    const head = @sizeOf(lunatic.Request);
    const request = std.mem.bytesToValue(lunatic.Request, mail.body[0..head]);
    const reply = std.mem.concat(allocator, u8, &.{ mail.body[head..], "!" }) catch @trap();
    lunatic.send(request.from, request.reference, reply) catch @trap();
}

fn caseCall() !void {
    print("{s}\n", .{try lunatic.call(allocator, try lunatic.spawn(answer, ""), 16, "ping", forever)});
    const silent = try lunatic.spawn(waitForMail, "");
    if (lunatic.call(allocator, silent, 16, "ping", forever)) |_| {} else |why| if (why == error.Gone) print("gone\n", .{});
}

fn tryToSpawn(_: []const u8) void {
    if (lunatic.spawn(waitForMail, "")) |_| {} else |why| if (why == error.Denied) print("denied\n", .{});
}

fn caseRights() !void {
    const options: lunatic.Options = .{};
    try wait((try lunatic.spawnWith(tryToSpawn, "", options.withConfig("deny=spawn\x00"))).process);
}

fn caseForged() !void {
    if (lunatic.isAlive(.{})) |_| {} else |why| if (why == error.Invalid) print("invalid\n", .{});
}

fn caseCode() !void {
    lunatic.exit(9);
}

pub fn main(init: std.process.Init.Minimal) !void {
    defer lunatic.flush();
    const args = try init.args.toSlice(allocator);
    if (args.len != 2) return error.OneCaseIsNeeded;
    const cases = .{
        .{ "captured", caseCaptured }, .{ "memory", caseMemory },       .{ "flush", caseFlush },
        .{ "messages", caseMessages }, .{ "selective", caseSelective }, .{ "long", caseLong },
        .{ "channel", caseChannel },   .{ "closed", caseClosed },       .{ "link", caseLink },
        .{ "monitor", caseMonitor },   .{ "reason", caseReason },       .{ "kill", caseKill },
        .{ "busy", caseBusy },         .{ "names", caseNames },         .{ "timer", caseTimer },
        .{ "timeout", caseTimeout },   .{ "call", caseCall },           .{ "rights", caseRights },
        .{ "forged", caseForged },     .{ "code", caseCode },
    };
    inline for (cases) |case| {
        if (std.mem.eql(u8, args[1], case[0])) return case[1]();
    }
    return error.NoSuchCase;
}
