// What processes do, while it happens: all, one, or those of a name.

import { events, Denied } from "../api.js";
import { h, say } from "../dom.js";
import { bare, brief, number, size } from "../format.js";

export const title = () => "Trace";

const KINDS = { spawned: "spawns", ended: "ends", sent: "sends", received: "receipts", waits: "waits", runs: "runs" };
const USUAL = ["spawned", "ended", "sent", "received"];
/** So many are kept on the page. */
const ROWS_MAX = 300;
const LIMIT = 100_000;

export function show(main, { query, update, signal }) {
  const asked = fields(query);
  const start = h("button", { class: "button primary" }, "Start");
  const form = h("form", { class: "tools" }, asked.elements, start);
  const note = h("p", { class: "note lead", role: "status" }, "Events show which process does what and how long messages are, but never the content of messages.");
  const body = h("tbody");
  const table = h("table", { class: "events" }, h("thead", {}, h("tr", {}, ["Seconds", "Process", "What"].map((text) => h("th", { scope: "col" }, text)))), body);
  const card = h("div", { class: "card list", hidden: true }, table);
  main.append(h("div", { class: "head" }, h("h1", {}, "Trace")), form, note, card);

  let running = null;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) return stop("Stopped.");
    const wanted = asked.read();
    update(Object.entries(wanted));
    if (!wanted.kinds) return say(note, "Choose at least one kind of event.");
    run(wanted);
  });
  signal.addEventListener("abort", () => running?.abort());
  document.addEventListener("visibilitychange", () => document.hidden && running && stop("Stopped, as nobody looked."), { signal });

  function stop(why) {
    running?.abort();
    running = null;
    say(start, "Start");
    say(note, why);
  }

  async function run(wanted) {
    const visit = (running = new AbortController());
    body.replaceChildren();
    card.hidden = false;
    say(start, "Stop");
    say(note, "Listening…");
    const asked = new URLSearchParams({ kinds: wanted.kinds, limit: LIMIT, seconds: 600 });
    for (const key of ["process", "name"]) if (wanted[key]) asked.set(key, wanted[key]);
    const heard = { all: 0, lost: 0 };
    try {
      for await (const some of events(asked, visit.signal)) draw(some, heard);
      if (running === visit) stop(`${told(heard)} The trace has ended.`);
    } catch (error) {
      if (running === visit && !(error instanceof Denied)) stop(error.message);
    }
  }

  function draw(some, heard) {
    const rows = some.filter((event) => event.process);
    heard.all += rows.length;
    for (const { lost } of some) heard.lost += lost ?? 0;
    body.prepend(...rows.slice(-ROWS_MAX).reverse().map(row));
    while (body.rows.length > ROWS_MAX) body.lastChild.remove();
    say(note, told(heard));
  }
}

/** What is to be traced: a process, a name, kinds of events. */
function fields(query) {
  const field = (id, label, placeholder) => {
    const input = h("input", { id, value: query.get(id) ?? "", placeholder, autocomplete: "off", spellcheck: "false" });
    return { input, element: h("label", { for: id }, h("span", {}, label), input) };
  };
  const [process, name] = [field("process", "Process", "any, or 17"), field("name", "Name", "part of a name")];
  const chosen = query.get("kinds")?.split(",") ?? USUAL;
  const boxes = Object.keys(KINDS).map((kind) => h("input", { type: "checkbox", value: kind, checked: chosen.includes(kind) }));
  const kinds = boxes.map((box) => h("label", { class: "check" }, box, KINDS[box.value]));
  const read = () => ({
    process: bare(process.input.value.trim()),
    name: name.input.value.trim(),
    kinds: boxes.filter((box) => box.checked).map((box) => box.value).join(),
  });
  return { elements: [process.element, name.element, h("fieldset", {}, h("legend", {}, "What"), kinds)], read };
}

function told({ all, lost }) {
  const more = lost ? ` ${number(lost)} were left out, because there were too many: choose one process, or fewer kinds of events.` : "";
  return `${number(all)} events, the newest above.${more}`;
}

function row(event) {
  return h("tr", { "data-reason": event.reason }, h("td", { class: "figure" }, (event.at_us / 1e6).toFixed(6)),
    h("td", {}, who(event.process, event.title)), h("td", {}, what(event)));
}

const who = (id, title) => h("span", {}, h("a", { href: `#/process/${bare(id)}`, class: "id" }, id), title && h("span", { class: "name", title }, ` ${brief({ title })}`));

function what(event) {
  const other = event.other ? who(event.other, event.other_title) : "nobody";
  const message = `${size(event.len ?? 0)}, tag ${event.tag}`;
  switch (event.event) {
    case "spawned": return h("span", {}, "was spawned by ", other);
    case "ended": return h("span", {}, event.reason_text ?? "ended");
    case "sent": return h("span", {}, "sends ", other, ` ${message}`);
    case "received": return h("span", {}, `receives ${message}`);
    case "waits": return h("span", {}, `waits for ${event.waits_for ?? "something"}`);
    default: return h("span", {}, event.event);
  }
}
