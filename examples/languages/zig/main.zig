//! A worker for each number that answers by message, and a child that is monitored while it crashes.
//!
//!     zig build-exe -target wasm32-wasi -O ReleaseSafe --stack 65536 main.zig
//!     lunatic main.wasm

const std = @import("std");
const lunatic = @import("lunatic.zig");

const Job = extern struct { parent: lunatic.Handle, number: u64 };

const square_tag = 16;
const crash_tag = 17;

fn square(captured: []const u8) void {
    const job = std.mem.bytesToValue(Job, captured[0..@sizeOf(Job)]);
    const answer: u64 = job.number * job.number;
    lunatic.send(job.parent, square_tag, std.mem.asBytes(&answer)) catch @trap();
}

fn crash(_: []const u8) void {
    @trap();
}

pub fn main() !void {
    defer lunatic.flush();
    const allocator = std.heap.wasm_allocator;
    for (1..4) |number| {
        const job: Job = .{ .parent = lunatic.this(), .number = number };
        _ = try lunatic.spawn(square, std.mem.asBytes(&job));
    }
    var sum: u64 = 0;
    for (0..3) |_| {
        const mail = try lunatic.receive(allocator, &.{square_tag}, lunatic.forever);
        sum += std.mem.bytesToValue(u64, mail.body[0..8]);
    }
    lunatic.print("the sum of squares is {d}\n", .{sum});

    _ = try lunatic.spawnWith(crash, "", .{ .flags = .{ .monitor = true }, .monitor_tag = crash_tag });
    const mail = try lunatic.receive(allocator, &.{crash_tag}, lunatic.forever);
    const reason = lunatic.Reason.read(mail.body);
    lunatic.print("the child crashed: kind {d}, detail {d}\n", .{ reason.kind, reason.detail });
}
