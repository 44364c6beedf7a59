// One process: all that is known of it, whom it knows, where it is, and the two ways to end it.

import { file, get, offers, post, Refused } from "../api.js";
import { chart } from "../charts.js";
import { confirm } from "../confirm.js";
import { empty, h, keep, mark, say } from "../dom.js";
import { brief, count, number, percent, size, time } from "../format.js";
import { poll } from "../poll.js";
import { link, state } from "../table.js";

export const title = (id) => `Process #${id}`;

/** So many of those that it knows are linked at once. */
const SHOWN = 50;
const SAMPLES_MAX = 300;

const FACTS = [
  ["Names", (process) => process.names.join(", ") || "none"],
  ["Begins in", (process) => process.entry ?? "unknown"],
  ["Mailbox", (process) => `${count(process.mailbox, "entry", "entries")}, ${size(process.mailbox_bytes)}`],
  ["Oldest mail", (process) => (process.oldest_mail_ms == null ? "none" : `${time(process.oldest_mail_ms)} old`)],
  ["Linear memory", (process) => `${size(process.memory_bytes)}${process.is_frozen ? ", packed" : ""}`],
  ["Time on a core", (process) => `${time(process.cpu_ms)} in ${count(process.runs, "run", "runs")}`],
  ["Last ran", (process) => (process.stopped_ms == null ? (process.runs ? "now" : "never") : `${time(process.stopped_ms)} ago`)],
  ["Age", (process) => `${time(process.age_ms)} in which anything ran`],
  ["Exit signals", (process) => (process.traps_exits ? "become mail" : "end it")],
  ["Timers", (process) => number(process.timers)],
  ["Code", (process) => (process.code_version ? `version ${process.code_version}: ${process.code}` : process.code)],
];
const RELATIONS = [
  ["Linked to", "links"],
  ["Monitors", "monitors"],
  ["Monitored by", "monitored_by"],
];

export function show(main, { of, signal }) {
  const path = `/v1/processes/${encodeURIComponent(of)}`;
  const head = headOf(path, of, () => now());
  const facts = FACTS.map(([name, value]) => ({ value, cell: h("dd", {}, "–"), name }));
  const parent = h("dd", {}, "–");
  const relations = RELATIONS.map(([name, key]) => relation(name, key));
  const [mail, core] = charts(signal);
  main.append(
    ...head.elements,
    h("div", { class: "charts" }, mail.element, core.element),
    h("div", { class: "columns" },
      h("section", { class: "card", "aria-label": "Facts" }, h("dl", { class: "facts" },
        h("dt", {}, "Parent"), parent, facts.flatMap(({ name, cell }) => [h("dt", {}, name), cell]))),
      h("div", { class: "stacked" }, h("section", { class: "card", "aria-label": "Relations" }, relations.map((one) => one.element)), stackOf(path, signal))));

  const samples = [];
  const now = poll(async () => {
    const process = await get(path, signal).catch((error) => {
      if (!(error instanceof Refused)) throw error;
      if (samples.length && error.status === 404) head.end();
      else main.replaceChildren(...missing(of));
    });
    // Its id names no other process later.
    if (!process) return false;
    head.show(process);
    parent.replaceChildren(process.parent ? link(process.parent) : "none");
    for (const { value, cell } of facts) say(cell, value(process));
    for (const one of relations) one.show(process);
    sample(samples, process);
    mail.draw([samples.map(({ at }) => at), samples.map(({ mailbox }) => mailbox)]);
    core.draw([samples.map(({ at }) => at), samples.map(({ busy }) => busy)]);
  }, signal);
}

/** What stands above all: its name, what it does, and what can be done about it. */
function headOf(path, of, changed) {
  const [heading, id, what] = [h("h1", {}, "…"), h("span", { class: "note" }), state()];
  const note = h("p", { class: "note ended", role: "status" });
  const act = async (act) => {
    try {
      if (await act(path, of)) changed();
    } catch (error) {
      say(note, error.message);
    }
  };
  const buttons = [["Dump", dump, ""], ["Exit…", exit, " danger"], ["Kill…", kill, " danger"]].map(([text, does, kind]) =>
    h("button", { type: "button", class: `button${kind}`, onclick: () => act(does) }, text));
  const elements = [
    h("div", { class: "head process" }, h("div", { class: "title" }, heading, h("div", { class: "line" }, id, what.element)), h("div", { class: "actions" }, buttons)),
    note,
    h("nav", { class: "tools", "aria-label": "Of this process" },
      h("a", { class: "button", href: `#/processes?parent=${of}` }, "Children"),
      h("a", { class: "button", href: `#/tree?root=${of}` }, "Tree from here"),
      h("a", { class: "button", href: `#/trace?process=${of}` }, "Trace")),
  ];
  const show = (process) => {
    say(heading, brief(process));
    mark(heading, "title", process.title);
    say(id, process.is_main ? `${process.id}, the main process` : process.id);
    what.show(process);
  };
  const end = () => {
    buttons.forEach((button) => (button.disabled = true));
    what.show({ state: "ended" });
    say(note, "This process has ended. This page shows its last known state.");
  };
  return { elements, show, end };
}

const missing = (of) => [
  h("div", { class: "head" }, h("h1", {}, `Process #${of}`)),
  h("div", { class: "card" }, empty("There is no such process", "It has ended, or never existed. ", h("a", { href: "#/processes" }, "All processes"))),
];

/** Saves a core dump, which it does not notice. */
async function dump(path, id) {
  const url = URL.createObjectURL(await file(`${path}/dump`));
  h("a", { href: url, download: `process-${id}.wasm` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return false;
}

async function kill(path, id) {
  const text = "It ends wherever it is, whatever it traps. Those who are linked to it or monitor it hear that it was killed; a supervisor may start it again.";
  if ((await confirm({ title: `Kill process #${id}?`, text, action: "Kill it" })) === null) return false;
  await post(`${path}/kill`);
  return true;
}

async function exit(path, id) {
  const text = "An exit signal is sent to it, as from the main process. It ends with this reason, unless it traps exits.";
  const field = { label: "Reason", value: "shutdown", help: "shutdown, normal, or the text of an error" };
  const reason = await confirm({ title: `Send process #${id} an exit signal?`, text, action: "Send it", field });
  if (reason === null) return false;
  await post(`${path}/exit?${new URLSearchParams({ reason: reason.trim() || "shutdown" })}`);
  return true;
}

function charts(signal) {
  const busy = (value) => percent(100 * value);
  return [
    chart({ title: "Mailbox", lines: [{ label: "entries" }], format: number, top: 4, signal }),
    chart({ title: "Time on a core", lines: [{ label: "of one core" }], format: busy, kind: "part", top: 1, signal }),
  ];
}

function sample(samples, process) {
  const at = Date.now() / 1_000;
  const last = samples.at(-1);
  const busy = last ? Math.min(1, Math.max(0, process.cpu_ms - last.cpu) / 1_000 / (at - last.at)) : null;
  samples.push({ at, mailbox: process.mailbox, cpu: process.cpu_ms, busy });
  if (samples.length > SAMPLES_MAX) samples.shift();
}

function relation(name, key) {
  const [list, more] = [h("ul", { class: "chips" }), h("span", { class: "note" })];
  const element = h("div", { class: "relation" }, h("h2", {}, name), list, more);
  const show = (process) => {
    const ids = process[key].slice(0, SHOWN);
    const all = process[`${key}_len`];
    keep(list, ids, (id) => id, (id) => h("li", {}, link(id)), () => {});
    say(more, all === 0 ? "nobody" : all > ids.length ? `and ${number(all - ids.length)} more` : "");
  };
  return { element, show };
}

/** The functions that it is in, if the program tells; asked for once, and then when the user wants to know. */
function stackOf(path, signal) {
  const list = h("ol", { class: "frames" });
  const why = h("p", { class: "note" });
  const again = h("button", { type: "button", class: "button small", onclick: look }, "Look again");
  const element = h("section", { class: "card", "aria-labelledby": "stack", hidden: true },
    h("div", { class: "head" }, h("h2", { id: "stack" }, "Stack"), again), list, why);

  async function look() {
    const ask = async () => (await offers("/v1/processes/ID/stack", signal)) && get(`${path}/stack`, signal);
    const seen = await ask().catch(() => null);
    if (!seen) return;
    element.hidden = false;
    const frames = seen.frames ?? [];
    list.replaceChildren(...frames.map((frame) => h("li", {}, h("span", { class: "function" }, frame.function),
      frame.file && h("span", { class: "note" }, [frame.file, frame.line].filter(Boolean).join(":")))));
    say(why, seen.unseen ? `Not seen: ${seen.unseen}.` : seen.is_cut ? "And more, which called these." : "");
  }
  look();
  return element;
}
