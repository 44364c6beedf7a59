// A worker for each number that answers by message, and a child that is monitored while it crashes.
//
//     asc main.ts --outFile main.wasm --exportTable --use abort=lunatic/stop
//     lunatic main.wasm

import * as lunatic from "./lunatic";

const SQUARE: u64 = 16;
const CRASH: u64 = 17;

function square(): void {
  const captured = lunatic.captured();
  const number = captured[16];
  lunatic.send(lunatic.Handle.read(captured), SQUARE, [number * number]);
}

function crash(): void {
  unreachable();
}

export function _start(): void {
  for (let number: u8 = 1; number <= 3; number++) {
    const alone: StaticArray<u8> = [number];
    lunatic.spawn(square, lunatic.self().bytes.concat<StaticArray<u8>>(alone));
  }
  let sum = 0;
  for (let i = 0; i < 3; i++) sum += lunatic.receive([SQUARE], lunatic.FOREVER).body[0];
  lunatic.print("the sum of squares is " + sum.toString() + "\n");

  const nothing: StaticArray<u8> = [];
  lunatic.spawnWith(crash, nothing, lunatic.MONITOR, CRASH, "");
  const reason = lunatic.Reason.read(lunatic.receive([CRASH], lunatic.FOREVER).body);
  lunatic.print("the child crashed: kind " + reason.kind.toString() + ", detail " + reason.detail.toString() + "\n");
}
