// The conformance kit in AssemblyScript: `lunatic conformance` runs this program with the name of a case, and checks what it does.
//
//     asc conformance.ts --outFile conformance.wasm --exportTable --use abort=lunatic/stop
//     lunatic conformance conformance.wasm

import * as lunatic from "./lunatic";

const none: StaticArray<u8> = [];
const any: StaticArray<u64> = [];

function println(line: string): void {
  lunatic.print(line + "\n");
}

function printReason(reason: lunatic.Reason): void {
  if (reason.kind == 0) println("normal");
  else if (reason.kind == 1) println("exit " + reason.detail.toString());
  else if (reason.kind == 4) println("killed");
  else if (reason.kind == 7) println("error: " + reason.text);
  else println("crashed");
}

function printMail(tags: StaticArray<u64>): void {
  println(lunatic.text(lunatic.receive(tags, lunatic.FOREVER).body));
}

function printCaptured(): void {
  println("child: " + lunatic.text(lunatic.captured()));
}

function captured(): void {
  const child = lunatic.spawn(printCaptured, lunatic.utf8("oak"));
  lunatic.join(child);
  lunatic.print("joined: ");
  printReason(lunatic.join(child));
}

let variable = 1;

function printVariable(): void {
  println("child: " + variable.toString());
}

function memory(): void {
  variable = 2;
  lunatic.join(lunatic.spawn(printVariable));
  println("parent: " + variable.toString());
}

function printPart(): void {
  lunatic.print("kept");
}

function flush(): void {
  lunatic.join(lunatic.spawn(printPart));
}

function printThree(): void {
  for (let i = 0; i < 3; i++) {
    const mail = lunatic.receive(any, lunatic.FOREVER);
    println(mail.tag.toString() + " (" + lunatic.text(mail.body) + ")");
  }
}

function messages(): void {
  const child = lunatic.spawn(printThree);
  lunatic.send(child, 16, lunatic.utf8("a"));
  lunatic.send(child, 17, lunatic.utf8("b"));
  lunatic.send(child, 18, none);
  lunatic.join(child);
}

function selective(): void {
  const self = lunatic.self();
  lunatic.send(self, 16, lunatic.utf8("one"));
  lunatic.send(self, 17, lunatic.utf8("two"));
  lunatic.send(self, 18, lunatic.utf8("three"));
  printMail([18]);
  printMail([17, 16]);
  printMail(any);
}

function sendLong(): void {
  const message = new StaticArray<u8>(3 << 20);
  for (let i = 0; i < message.length; i++) message[i] = <u8>(i % 251);
  lunatic.send(lunatic.Handle.read(lunatic.captured()), 16, message);
}

function long(): void {
  lunatic.spawn(sendLong, lunatic.self().bytes);
  const message = lunatic.receive([16], lunatic.FOREVER).body;
  let sum: u64 = 0;
  for (let i = 0; i < message.length; i++) sum += message[i];
  println(message.length.toString() + " " + sum.toString());
}

function sendNumbers(): void {
  const numbers = new lunatic.Channel(lunatic.Handle.read(lunatic.captured()));
  for (let i: u8 = 1; i <= 5; i++) numbers.push([i, 0, 0, 0], lunatic.FOREVER);
}

function channel(): void {
  const numbers = lunatic.Channel.make(1);
  lunatic.spawn(sendNumbers, numbers.handle.bytes);
  let sum = 0;
  for (let i = 0; i < 5; i++) sum += load<i32>(changetype<usize>(numbers.pull(lunatic.FOREVER).body));
  println(sum.toString());
}

function sendChannel(): void {
  lunatic.send(lunatic.Handle.read(lunatic.captured()), 16, lunatic.Channel.make(0).handle.bytes);
}

function closed(): void {
  lunatic.join(lunatic.spawn(sendChannel, lunatic.self().bytes));
  const theirs = new lunatic.Channel(lunatic.Handle.read(lunatic.receive([16], lunatic.FOREVER).body));
  if (theirs.pull(lunatic.FOREVER).code == lunatic.CLOSED) println("closed");
}

function exitWith7(): void {
  lunatic.exit(7);
}

function link(): void {
  lunatic.trapExits();
  lunatic.spawnWith(exitWith7, none, lunatic.LINK, 0, "");
  const mail = lunatic.receive([1], lunatic.FOREVER);
  if (mail.kind == 1) printReason(lunatic.Reason.read(mail.body));
}

function crash(): void {
  unreachable();
}

function monitor(): void {
  lunatic.spawnWith(crash, none, lunatic.MONITOR, 20, "");
  const mail = lunatic.receive([20], lunatic.FOREVER);
  if (mail.kind == 2) printReason(lunatic.Reason.read(mail.body));
}

function fail(): void {
  lunatic.fail("out of stock");
}

function reason(): void {
  printReason(lunatic.join(lunatic.spawn(fail)));
}

function wait(): void {
  lunatic.receive(any, lunatic.FOREVER);
}

function kill(): void {
  const child = lunatic.spawn(wait);
  if (lunatic.isAlive(child) == 1) println("alive");
  lunatic.kill(child);
  printReason(lunatic.join(child));
  if (lunatic.isAlive(child) == 0) println("gone");
}

function compute(): void {
  while (true) variable++;
}

function busy(): void {
  const child = lunatic.spawn(compute);
  lunatic.sleep(lunatic.MILLISECOND);
  lunatic.kill(child);
  printReason(lunatic.join(child));
}

function findClerk(): void {
  lunatic.send(lunatic.lookup("clerk").process, 16, lunatic.utf8("found"));
}

function names(): void {
  lunatic.register("clerk", lunatic.self());
  lunatic.spawn(findClerk);
  printMail([16]);
  if (lunatic.register("clerk", lunatic.spawn(wait)) == lunatic.NAME_TAKEN) println("taken");
  lunatic.unregister("clerk");
  if (lunatic.lookup("clerk").code == lunatic.CLOSED) println("free");
}

function timer(): void {
  lunatic.sendAfter(lunatic.self(), 16, lunatic.utf8("tick"), lunatic.MILLISECOND);
  printMail([16]);
  if (lunatic.cancel(lunatic.sendAfter(lunatic.self(), 16, none, 3_600_000 * lunatic.MILLISECOND))) println("cancelled");
}

function timeout(): void {
  if (lunatic.receive(any, lunatic.MILLISECOND).code == lunatic.TIMED_OUT) println("timed out");
  if (lunatic.receive(any, 0).code == lunatic.EMPTY) println("empty");
}

function answer(): void {
  const request = lunatic.Request.read(lunatic.receive([16], lunatic.FOREVER).body);
  request.reply(lunatic.utf8(lunatic.text(request.message) + "!"));
}

function call(): void {
  const ping = lunatic.utf8("ping");
  println(lunatic.text(lunatic.call(lunatic.spawn(answer), 16, ping, lunatic.FOREVER).body));
  if (lunatic.call(lunatic.spawn(wait), 16, ping, lunatic.FOREVER).code == lunatic.GONE) println("gone");
}

function tryToSpawn(): void {
  if (lunatic.spawnWith(wait, none, 0, 0, "").code == lunatic.DENIED) println("denied");
}

function rights(): void {
  lunatic.join(lunatic.spawnWith(tryToSpawn, none, 0, 0, "deny=spawn\0").process);
}

function forged(): void {
  if (lunatic.isAlive(new lunatic.Handle()) == lunatic.INVALID) println("invalid");
}

function code(): void {
  lunatic.exit(9);
}

export function _start(): void {
  const cases = new Map<string, () => void>();
  cases.set("captured", captured).set("memory", memory).set("flush", flush).set("messages", messages);
  cases.set("selective", selective).set("long", long).set("channel", channel).set("closed", closed);
  cases.set("link", link).set("monitor", monitor).set("reason", reason).set("kill", kill).set("busy", busy);
  cases.set("names", names).set("timer", timer).set("timeout", timeout).set("call", call).set("rights", rights);
  cases.set("forged", forged).set("code", code);
  cases.get(lunatic.argument(1))();
}
