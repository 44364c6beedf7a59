// Lunatic for AssemblyScript: processes, messages, channels, links, monitors, names, timers and exit reasons.
//
// A child has its own memory, with the initial values of global variables: pass data to it as captured bytes or in messages. Compile
// with `--exportTable`, because the optimizer drops the table that contains the entries, and without `--exportStart`, so that the
// start function of the module runs in each child before its entry. Codes below 0 are returned unchanged; docs/abi.md describes them.

// @ts-ignore: decorator
@external("lunatic::process", "spawn")
declare function process_spawn(entry: u32, captured: usize, capturedLen: usize, options: usize, out: usize): i32;
// @ts-ignore: decorator
@external("lunatic::process", "captured")
declare function process_captured(to: usize, len: usize): void;
// @ts-ignore: decorator
@external("lunatic::process", "captured_len")
declare function process_captured_len(): usize;
// @ts-ignore: decorator
@external("lunatic::process", "next")
declare function process_next(): i32;
// @ts-ignore: decorator
@external("lunatic::process", "this")
declare function process_this(out: usize): void;
// @ts-ignore: decorator
@external("lunatic::process", "is_alive")
declare function process_is_alive(id: u64, key: u64): i32;
// @ts-ignore: decorator
@external("lunatic::process", "kill_handle")
declare function process_kill(id: u64, key: u64): i32;
// @ts-ignore: decorator
@external("lunatic::process", "join")
declare function process_join(id: u64, key: u64, timeout: u64): i32;
// @ts-ignore: decorator
@external("lunatic::process", "sleep_ns")
declare function process_sleep(ns: u64): void;
// @ts-ignore: decorator
@external("lunatic::process", "exit")
declare function process_exit(reason: usize, len: usize): void;
// @ts-ignore: decorator
@external("lunatic::process", "trap_exit")
declare function process_trap_exit(on: i32): i32;
// @ts-ignore: decorator
@external("lunatic::mailbox", "send")
declare function mailbox_send(id: u64, key: u64, tag: u64, message: usize, len: usize): i32;
// @ts-ignore: decorator
@external("lunatic::mailbox", "receive")
declare function mailbox_receive(tags: usize, tagsLen: usize, header: usize, to: usize, capacity: usize, timeout: u64): i32;
// @ts-ignore: decorator
@external("lunatic::mailbox", "reference")
declare function mailbox_reference(out: usize): i32;
// @ts-ignore: decorator
@external("lunatic::mailbox", "close")
declare function mailbox_close(reference: u64): void;
// @ts-ignore: decorator
@external("lunatic::mailbox", "call")
declare function mailbox_call(id: u64, key: u64, tag: u64, message: usize, len: usize, reference: usize, to: usize, capacity: usize, timeout: u64): i32;
// @ts-ignore: decorator
@external("lunatic::channel", "new")
declare function channel_new(bound: u64, out: usize): i32;
// @ts-ignore: decorator
@external("lunatic::channel", "send")
declare function channel_send(id: u64, key: u64, message: usize, len: usize, timeout: u64): i32;
// @ts-ignore: decorator
@external("lunatic::channel", "receive")
declare function channel_receive(id: u64, key: u64, to: usize, capacity: usize, timeout: u64): i32;
// @ts-ignore: decorator
@external("lunatic::registry", "register")
declare function registry_register(name: usize, len: usize, id: u64, key: u64): i32;
// @ts-ignore: decorator
@external("lunatic::registry", "unregister")
declare function registry_unregister(name: usize, len: usize): i32;
// @ts-ignore: decorator
@external("lunatic::registry", "lookup")
declare function registry_lookup(name: usize, len: usize, out: usize): i32;
// @ts-ignore: decorator
@external("lunatic::timer", "send_after")
declare function timer_send_after(id: u64, key: u64, tag: u64, message: usize, len: usize, delay: u64, interval: u64, out: usize): i32;
// @ts-ignore: decorator
@external("lunatic::timer", "cancel")
declare function timer_cancel(timer: u64): i32;
// @ts-ignore: decorator
@external("lunatic::buffer", "len")
declare function buffer_len(): usize;
// @ts-ignore: decorator
@external("lunatic::buffer", "take")
declare function buffer_take(to: usize, len: usize): void;
// @ts-ignore: decorator
@external("lunatic::buffer", "put")
declare function buffer_put(from: usize, len: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: i32, iovs: usize, iovsLen: usize, written: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "proc_exit")
declare function proc_exit(code: i32): void;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "args_sizes_get")
declare function args_sizes_get(count: usize, size: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "args_get")
declare function args_get(args: usize, bytes: usize): i32;

export const INVALID: i32 = -1;
export const CLOSED: i32 = -2;
export const EMPTY: i32 = -4;
export const TIMED_OUT: i32 = -5;
export const GONE: i32 = -7;
export const NAME_TAKEN: i32 = -8;
export const DENIED: i32 = -9;

/** The timeout that never passes. Timeouts are in nanoseconds. */
export const FOREVER: u64 = u64.MAX_VALUE;
/** A millisecond, in nanoseconds. */
export const MILLISECOND: u64 = 1_000_000;

/** A handle of a process or a channel. Its bytes can be captured and sent. */
export class Handle {
  constructor(public id: u64 = 0, public key: u64 = 0) {}

  static read(bytes: StaticArray<u8>): Handle {
    const at = changetype<usize>(bytes);
    return new Handle(load<u64>(at), load<u64>(at, 8));
  }

  get bytes(): StaticArray<u8> {
    const bytes = new StaticArray<u8>(16);
    store<u64>(changetype<usize>(bytes), this.id);
    store<u64>(changetype<usize>(bytes), this.key, 8);
    return bytes;
  }
}

/** Flags of a spawn. */
export const LINK: u32 = 1;
export const MONITOR: u32 = 2;

/** Encodes a text as UTF-8. */
export function utf8(text: string): StaticArray<u8> {
  const bytes = new StaticArray<u8>(String.UTF8.byteLength(text));
  String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, changetype<usize>(bytes));
  return bytes;
}

/** Decodes UTF-8. */
export function text(bytes: StaticArray<u8>): string {
  return String.UTF8.decodeUnsafe(changetype<usize>(bytes), bytes.length);
}

function at(bytes: StaticArray<u8>): usize {
  return changetype<usize>(bytes);
}

/** Returns the bytes that this process was spawned with. */
export function captured(): StaticArray<u8> {
  const bytes = new StaticArray<u8>(<i32>process_captured_len());
  process_captured(at(bytes), bytes.length);
  return bytes;
}

/** The result of the last spawn: the child; or the code, if that is not 0. */
export class Spawned {
  constructor(public code: i32, public process: Handle) {}
}

/**
 * Spawns a process that calls the function. Options take effect before the child runs: `flags` are `LINK` and `MONITOR`, `config`
 * its rights, entries `KEY` or `KEY=VALUE`, each followed by a zero byte.
 */
export function spawnWith(entry: () => void, bytes: StaticArray<u8>, flags: u32, monitorTag: u64, config: string): Spawned {
  // The host needs this import in a program that spawns, and the compiler drops imports that are not called.
  process_next();
  const options = new StaticArray<u8>(56), out = new StaticArray<u8>(24), rights = utf8(config);
  store<u32>(at(options), flags);
  store<u64>(at(options), monitorTag, 32);
  store<u64>(at(options), at(rights), 40);
  store<u32>(at(options), rights.length, 48);
  const code = process_spawn(entry.index, at(bytes), bytes.length, at(options), at(out));
  return new Spawned(code, Handle.read(out));
}

/** Spawns a process that calls the function, with a copy of the bytes, at most 64 KiB. Aborts the program if the spawn is refused. */
export function spawn(entry: () => void, bytes: StaticArray<u8> = []): Handle {
  const spawned = spawnWith(entry, bytes, 0, 0, "");
  assert(spawned.code == 0, "a spawn was refused");
  return spawned.process;
}

/** Returns the calling process. */
export function self(): Handle {
  const out = new StaticArray<u8>(16);
  process_this(at(out));
  return Handle.read(out);
}

/** Returns 1 if the process has not exited, else 0; or INVALID. */
export function isAlive(process: Handle): i32 {
  return process_is_alive(process.id, process.key);
}

export function kill(process: Handle): i32 {
  return process_kill(process.id, process.key);
}

/** Takes the contents of the buffer that the last call has filled. */
export function take(): StaticArray<u8> {
  const bytes = new StaticArray<u8>(<i32>buffer_len());
  buffer_take(at(bytes), bytes.length);
  return bytes;
}

// Messages of more than 1 MiB are sent through the buffer.
function putLong(message: StaticArray<u8>): i32 {
  return message.length > 1 << 20 ? buffer_put(at(message), message.length) : 0;
}

/** Sends a message to the mailbox of a process. Returns 0 or a code. Tags must be 16 or more. */
export function send(to: Handle, tag: u64, message: StaticArray<u8>): i32 {
  const code = putLong(message);
  return code < 0 ? code : mailbox_send(to.id, to.key, tag, at(message), message.length);
}

/** Mail: a message (kind 0), or a notification from a link (1) or a monitor (2). `code` is below 0 if there is none. */
export class Mail {
  constructor(public code: i32, public kind: u32, public tag: u64, public body: StaticArray<u8>) {}
}

/** Receives the oldest mail with one of the tags, or with any tag if there are none. */
export function receive(tags: StaticArray<u64>, timeout: u64): Mail {
  const header = new StaticArray<u8>(40);
  // If it does not fit, the body is in the buffer.
  const len = mailbox_receive(changetype<usize>(tags), tags.length, at(header), 0, 0, timeout);
  const body: StaticArray<u8> = len > 0 ? take() : [];
  return new Mail(len, load<u32>(at(header)), load<u64>(at(header), 8), body);
}

/** The caller, and the message of a call. */
export class Request {
  constructor(public from: Handle, public reference: u64, public message: StaticArray<u8>) {}

  static read(body: StaticArray<u8>): Request {
    return new Request(Handle.read(body), load<u64>(at(body), 16), StaticArray.fromArray(body.slice(24)));
  }

  reply(message: StaticArray<u8>): i32 {
    return send(this.from, this.reference, message);
  }
}

/** Sends a message and waits for the reply; `code` is below 0 if there is none. */
export function call(to: Handle, tag: u64, message: StaticArray<u8>, timeout: u64): Mail {
  const reference = new StaticArray<u8>(8);
  let code = mailbox_reference(at(reference));
  const head = self().bytes.concat<StaticArray<u8>>(reference);
  const bytes = head.concat<StaticArray<u8>>(message);
  if (code == 0) code = putLong(bytes);
  if (code == 0) {
    code = mailbox_call(to.id, to.key, tag, at(bytes), bytes.length, at(reference), 0, 0, timeout);
    mailbox_close(load<u64>(at(reference)));
  }
  const body: StaticArray<u8> = code > 0 ? take() : [];
  return new Mail(code, 0, 0, body);
}

/** An exit reason: a kind from docs/abi.md (0 normal, 1 exit, 3 trap, 4 killed, 7 error), with its detail and text. */
export class Reason {
  constructor(public kind: i32, public detail: i32, public text: string) {}

  static read(bytes: StaticArray<u8>): Reason {
    return new Reason(load<i32>(at(bytes)), load<i32>(at(bytes), 4), text(StaticArray.fromArray(bytes.slice(8))));
  }
}

/** Waits until a process has exited. */
export function join(process: Handle): Reason {
  process_join(process.id, process.key, FOREVER);
  return Reason.read(take());
}

/** Exits the calling process with an error. */
export function fail(why: string): void {
  const head = new StaticArray<u8>(8);
  store<i32>(at(head), 7);
  const bytes = head.concat<StaticArray<u8>>(utf8(why));
  process_exit(at(bytes), bytes.length);
}

export function exit(code: i32): void {
  proc_exit(code);
}

/** Makes exit signals become mail, with the tag 1. */
export function trapExits(): void {
  process_trap_exit(1);
}

export function sleep(ns: u64): void {
  process_sleep(ns);
}

/** A queue of messages, which closes when the process that made it exits. */
export class Channel {
  constructor(public handle: Handle) {}

  /** Makes a channel that holds at most `bound` messages; 0 means no bound. */
  static make(bound: u64): Channel {
    const out = new StaticArray<u8>(16);
    assert(channel_new(bound, at(out)) == 0, "a channel was refused");
    return new Channel(Handle.read(out));
  }

  push(message: StaticArray<u8>, timeout: u64): i32 {
    const code = putLong(message);
    return code < 0 ? code : channel_send(this.handle.id, this.handle.key, at(message), message.length, timeout);
  }

  /** Receives the oldest message, as mail; `code` is below 0 if there is none. */
  pull(timeout: u64): Mail {
    const len = channel_receive(this.handle.id, this.handle.key, 0, 0, timeout);
    const body: StaticArray<u8> = len > 0 ? take() : [];
    return new Mail(len, 0, 0, body);
  }
}

export function register(name: string, process: Handle): i32 {
  const bytes = utf8(name);
  return registry_register(at(bytes), bytes.length, process.id, process.key);
}

export function unregister(name: string): i32 {
  const bytes = utf8(name);
  return registry_unregister(at(bytes), bytes.length);
}

/** Returns the process with the name, and a code, as a spawn does. */
export function lookup(name: string): Spawned {
  const bytes = utf8(name), out = new StaticArray<u8>(16);
  const code = registry_lookup(at(bytes), bytes.length, at(out));
  return new Spawned(code, Handle.read(out));
}

/** Sends a message after a delay; returns the timer. */
export function sendAfter(to: Handle, tag: u64, message: StaticArray<u8>, delay: u64): u64 {
  const out = new StaticArray<u8>(8);
  assert(timer_send_after(to.id, to.key, tag, at(message), message.length, delay, 0, at(out)) == 0, "a timer was refused");
  return load<u64>(at(out));
}

/** Cancels a timer; returns whether it had not sent yet. */
export function cancel(timer: u64): bool {
  return timer_cancel(timer) == 1;
}

/** Prints to standard output immediately, without a newline. */
export function print(line: string): void {
  const bytes = utf8(line), range = new StaticArray<usize>(3);
  range[0] = at(bytes);
  range[1] = bytes.length;
  fd_write(1, changetype<usize>(range), 1, changetype<usize>(range) + 8);
}

/** Returns the argument with this number, or nothing. */
export function argument(number: i32): string {
  const sizes = new StaticArray<usize>(2);
  args_sizes_get(changetype<usize>(sizes), changetype<usize>(sizes) + 4);
  if (<usize>number >= sizes[0]) return "";
  const places = new StaticArray<usize>(<i32>sizes[0]), bytes = new StaticArray<u8>(<i32>sizes[1]);
  args_get(changetype<usize>(places), at(bytes));
  return String.UTF8.decodeUnsafe(places[number], sizes[1] - (places[number] - at(bytes)), true);
}

/** The compiler calls this for `abort` (`--use abort=lunatic/stop`): writes the message to standard error, and traps. */
export function stop(message: string | null, file: string | null, line: u32, column: u32): void {
  const bytes = utf8((message ? message : "abort") + " in " + (file ? file : "?") + ":" + line.toString() + "\n");
  const range = new StaticArray<usize>(3);
  range[0] = at(bytes);
  range[1] = bytes.length;
  fd_write(2, changetype<usize>(range), 1, changetype<usize>(range) + 8);
  unreachable();
}
