// The failures that were heard of while somebody looked, newest first.

import { events } from "./api.js";
import { h } from "./dom.js";
import { bare, brief, clock } from "./format.js";
import { follow } from "./poll.js";

/** So many are kept. */
const KEPT_MAX = 200;
const QUERY = "kinds=ended&failures=only&limit=1000000&seconds=3600";

const crashes = [];
let number = 0;

/** Those that are kept. */
export const kept = () => crashes;

/** Listens until `signal`, and calls `changed` when there are more; with a text if there is something to say about that. */
export function listen(changed, signal) {
  let start = 0;
  const stream = (visit) => {
    start = Date.now();
    return events(QUERY, visit);
  };
  const hear = (heard) => {
    let said = "";
    for (const event of heard) {
      if (event.event === "ended") crashes.unshift({ ...event, number: (number += 1), when: start + event.at_us / 1_000 });
      if (event.event === "lost") said = `${event.lost} failures came too fast to be shown.`;
      if (event.event === "refused") said = event.text;
    }
    crashes.length = Math.min(crashes.length, KEPT_MAX);
    changed(said);
  };
  follow(stream, hear, signal);
}

/** A failure as an item of a list. */
export function item(crash) {
  return h("li", { class: "crash" },
    h("div", { class: "line" },
      h("time", { datetime: new Date(crash.when).toISOString() }, clock(crash.when)),
      h("span", { class: "tag bad" }, crash.reason.replaceAll("_", " ")),
      h("a", { href: `#/process/${bare(crash.process)}` }, crash.process),
      h("span", { class: "name", title: crash.title }, crash.title ? brief(crash) : "")),
    h("pre", {}, crash.reason_text));
}
