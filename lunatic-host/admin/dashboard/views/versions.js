// The versions of the program's code that run, and how its last upgrade stands.

import { get, post } from "../api.js";
import { confirm } from "../confirm.js";
import { empty, h, keep, mark, say } from "../dom.js";
import { count, number, time } from "../format.js";
import { poll } from "../poll.js";

export const title = () => "Code";

/** What each phase is called here. */
const PHASES = {
  checking: "It is found out what the version can have",
  canary: "The first processes change",
  watching: "The first processes have changed, and are watched",
  changing: "The others change",
  done: "Done",
  rehearsed: "Rehearsed: nothing was changed",
  refused: "Refused: nothing was changed",
  "rolling back": "All that had changed goes back",
  "rolled back": "All that had changed has gone back",
};

const FACTS = [
  ["From, to", (upgrade) => `version ${upgrade.from} to ${upgrade.to}, ${upgrade.code}`],
  ["Changed", (upgrade) => count(upgrade.changed, "process", "processes")],
  ["Kept their version", (upgrade) => count(upgrade.kept, "process", "processes")],
  ["Have still to come to their point of change", (upgrade) => count(upgrade.waiting, "process", "processes")],
  ["Have no point of change", (upgrade) => count(upgrade.without_point, "process", "processes")],
  ["Stood still", (upgrade) => `${pause(upgrade.pause_p50_us)} at the median, ${pause(upgrade.pause_p99_us)} at the 99th percentile, ${pause(upgrade.pause_max_us)} at most`],
  ["Took", (upgrade) => time(upgrade.ms)],
];

const pause = (us) => (us < 1_000 ? `${us} µs` : `${(us / 1_000).toFixed(1)} ms`);

export function show(main, { signal }) {
  const [versions, body] = [h("span", { class: "note" }), h("tbody")];
  const last = upgradeOf();
  main.append(h("div", { class: "head" }, h("h1", {}, "Code"), versions),
    h("div", { class: "card list" }, h("table", {}, h("thead", {}, h("tr", {},
      ["Version", "Module", "Processes"].map((name) => h("th", { scope: "col", class: name === "Processes" && "figure" }, name)))), body)),
    last.element);
  const now = poll(async () => {
    const page = await get("/v1/versions", signal);
    say(versions, count(page.matched, "version", "versions"));
    keep(body, page.rows, (row) => row.version, line, refresh);
    const { upgrades } = await get("/v1/system", signal);
    last.show(upgrades ? await get("/v1/upgrade", signal) : null);
  }, signal);
  last.changed = now;
}

const line = () => h("tr", {}, h("th", { scope: "row" }), h("td", { "data-label": "Module" }), h("td", { class: "figure", "data-label": "Processes" }));

function refresh(element, row) {
  const [version, module, processes] = element.children;
  say(version, row.current ? `${row.version}, the current one` : String(row.version));
  say(module, row.module);
  say(processes, number(row.processes));
}

/** The last upgrade: what it does, what it has done, and a way back. */
function upgradeOf() {
  const one = { changed: () => {} };
  const [phase, why, note] = [h("strong", { class: "phase" }), h("p", { class: "note why" }), h("p", { class: "note", role: "status" })];
  const facts = FACTS.map(([name, value]) => ({ value, parts: [h("dt", {}, name), h("dd", {}, "–")] }));
  const [kinds, refusals] = [h("ul", { class: "kinds" }), h("ul", { class: "kinds" })];
  const never = empty("Not upgraded yet", "`lunatic upgrade FILE` brings the program to another version while it runs.");
  const back = h("button", { type: "button", class: "button danger", hidden: true, onclick: cancel }, "Take it back…");
  const told = h("div", { class: "upgrade", hidden: true }, h("div", { class: "head" }, phase, back), why, note,
    h("dl", { class: "facts" }, facts.flatMap(({ parts }) => parts)), kinds, refusals);
  one.element = h("section", { class: "card spaced", "aria-labelledby": "upgrade" }, h("div", { class: "head" }, h("h2", { id: "upgrade" }, "Last upgrade")), told, never);

  one.show = (upgrade) => {
    never.hidden = upgrade !== null;
    told.hidden = upgrade === null;
    if (!upgrade) return;
    say(phase, PHASES[upgrade.phase] ?? upgrade.phase);
    mark(phase, "data-phase", upgrade.phase);
    say(why, upgrade.why ? `Why: ${upgrade.why}.` : "");
    back.hidden = upgrade.is_over;
    for (const { value, parts } of facts) say(parts[1], value(upgrade));
    keep(kinds, upgrade.kinds, (kind) => kind.entry, () => h("li"), (element, kind) => {
      const state = kind.misfit ? `cannot change: ${kind.misfit}` : kind.is_tried ? "can change; one was tried" : "could not be tried";
      say(element, `${count(kind.processes, "process", "processes")} in ${kind.entry}: ${state}`);
    });
    keep(refusals, upgrade.refusals, (refusal) => refusal.process, () => h("li"), (element, refusal) => say(element, `${refusal.process} kept its version: ${refusal.why}`));
  };

  async function cancel() {
    const text = "All processes that have changed go back to their former version, with the state that they have now where that version can read it.";
    if ((await confirm({ title: "Take the upgrade back?", text, action: "Take it back" })) === null) return;
    await post("/v1/upgrade/cancel").catch((error) => say(note, error.message));
    one.changed();
  }
  return one;
}
