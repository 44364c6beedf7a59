// The program as a whole: what it holds now, and over the last minutes.

import { alarms } from "../alarms.js";
import { get, post } from "../api.js";
import { chart } from "../charts.js";
import { confirm } from "../confirm.js";
import * as crashes from "../crashes.js";
import { empty, h, keep, mark, say } from "../dom.js";
import { compact, count, number, percent, rate, size, time } from "../format.js";
import * as history from "../history.js";
import { poll } from "../poll.js";

export const title = () => "Overview";

/** Only so many of the failures stand here. */
const CRASHES_MAX = 3;

const TILES = [
  ["Processes", (system) => number(system.processes), (system) => `${number(system.waiting)} wait, ${number(system.frozen)} of them frozen`],
  ["Spawns", (_, now) => (now ? rate(now.spawns) : "–"), (system) => `${compact(system.spawned)} since the start`],
  ["Failures", (system) => number(system.failed), (_, now) => (now ? `${rate(now.failures)} now` : ""), (system) => system.failed > 0],
  ["Memory", (system) => size(system.resident_bytes || system.memory_bytes), (system) => `${size(system.queued_bytes)} of it messages`],
  ["Workers", (_, now) => (now?.busy == null ? "–" : percent((100 * now.busy) / now.workers)), (system) => (system.workers_us.length ? `busy, of ${count(system.workers_us.length, "worker", "workers")}` : "not told by this system")],
  ["Runs for", (system) => time(system.uptime_ms), (system) => `Lunatic ${system.version}, process ${system.pid}`],
];

const lines = (...pairs) => pairs.map(([name, label]) => ({ name, label }));
const CHARTS = [
  { title: "Processes", lines: lines(["waiting", "waiting"], ["ready", "run or can"], ["frozen", "frozen"]), format: compact, top: 4 },
  { title: "Spawns and ends", lines: lines(["spawns", "spawns"], ["ends", "ends"], ["failures", "failures"]), format: rate, top: 4 },
  { title: "Run queues", lines: lines(["woken", "woken"], ["fresh", "fresh"], ["burners", "used their slice"], ["injected", "from outside"]), format: compact, top: 4 },
  { title: "Memory", lines: lines(["resident", "resident"], ["linear", "linear"], ["queued", "messages"], ["kept", "other"]), format: size, kind: "size", top: 1 << 20 },
  { title: "Busy workers", lines: lines(["busy", "busy"]), format: (value) => value.toFixed(1), kind: "share", top: 1 },
];

export function show(main, { signal }) {
  const tiles = TILES.map(([name]) => tile(name));
  const charts = CHARTS.map((about) => ({ names: about.lines.map(({ name }) => name), ...chart({ ...about, signal }) }));
  const list = h("ul", { class: "crashes" });
  const none = empty("None so far", "Processes that panic, trap or end with an error are shown here as it happens.");
  const noticed = alarms();
  const stop = h("button", { type: "button", class: "button", onclick: askToStop }, "Stop the program…");
  main.append(
    h("div", { class: "head" }, h("h1", {}, "Overview"), stop),
    h("dl", { class: "tiles" }, tiles.map((one) => one.element)),
    noticed.element,
    h("div", { class: "charts" }, charts.map((one) => one.element),
      h("section", { class: "card recent", "aria-labelledby": "recent" },
        h("h2", { id: "recent" }, "Latest failures ", h("a", { href: "#/crashes", class: "more" }, "all")), list, none)));

  crashes.listen(showCrashes, signal);
  showCrashes();
  poll(async () => {
    const system = await get("/v1/system", signal);
    history.record(system);
    const newest = history.newest();
    const now = newest?.spawns === undefined ? undefined : { ...newest, workers: system.workers_us.length };
    TILES.forEach(([, value, note, warn], place) => tiles[place].show(value(system, now), note(system, now), warn?.(system)));
    for (const one of charts) one.draw(history.columns(one.names));
    const name = document.getElementById("program");
    say(name, system.program.split("/").at(-1));
    mark(name, "title", system.program);
    await noticed.draw(system, signal);
  }, signal);

  function showCrashes() {
    const newest = crashes.kept().slice(0, CRASHES_MAX);
    keep(list, newest, (crash) => crash.number, crashes.item, () => {});
    none.hidden = newest.length > 0;
  }
}

function tile(name) {
  const [value, note] = [h("span", { class: "value" }, "–"), h("span", { class: "note" }, "\u00a0")];
  const element = h("div", { class: "card tile" }, h("dt", {}, name), h("dd", {}, value, note));
  const show = (text, more, warn) => {
    say(value, text);
    say(note, more);
    element.classList.toggle("warn", Boolean(warn));
  };
  return { element, show };
}

async function askToStop() {
  const text = "All processes are told to end in order, as SIGTERM does it. The program is then gone, and this page with it.";
  if ((await confirm({ title: "Stop the program?", text, action: "Stop it" })) === null) return;
  await post("/v1/shutdown").catch(() => {});
}
