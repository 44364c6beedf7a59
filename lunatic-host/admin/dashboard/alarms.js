// The problems that the host has noticed.

import { get } from "./api.js";
import { h, keep, say } from "./dom.js";
import { bare, clock, count } from "./format.js";

/** Whether they are over is asked so often. */
const PACE = 10_000;

/** A list of them, for a view that has it drawn with what it knows of the program. */
export function alarms() {
  const [list, total] = [h("ul", { class: "alarms" }), h("span")];
  const element = h("section", { class: "card alarmed", "aria-labelledby": "alarms", hidden: true },
    h("div", { class: "head" }, h("h2", { id: "alarms" }, total)), list);

  let [known, asked] = [0, 0];

  async function draw(system, signal) {
    if (!system.alarms || (system.alarms === known && Date.now() < asked + PACE)) return;
    [known, asked] = [system.alarms, Date.now()];
    const view = await get("/v1/alarms", signal);
    element.hidden = view.alarms.length === 0;
    say(total, count(view.alarms.length + view.left_out, "problem noticed", "problems noticed"));
    // The newest first.
    keep(list, view.alarms.toReversed(), (alarm) => `${alarm.time_ms} ${alarm.process} ${alarm.kind}`, item, refresh);
  }
  return { element, draw };
}

function item(alarm) {
  return h("li", { class: "alarm" },
    h("div", { class: "line" },
      h("time", { datetime: new Date(alarm.time_ms).toISOString() }, clock(alarm.time_ms)),
      h("span", { class: "tag warn" }, alarm.kind),
      alarm.process && h("a", { href: `#/process/${bare(alarm.process)}` }, alarm.process),
      h("span", { class: "note over" })),
    h("p", {}, alarm.text),
    h("p", { class: "note" }, alarm.advice));
}

function refresh(element, alarm) {
  say(element.querySelector(".over"), alarm.is_on ? "" : "was over at the last look");
}
