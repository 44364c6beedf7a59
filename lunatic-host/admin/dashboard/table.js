// How processes look in tables: their states, and links to them.

import { h, mark, say } from "./dom.js";
import { bare } from "./format.js";

/** A link to a process. */
export const link = (id) => h("a", { href: `#/process/${bare(id)}`, class: "id" }, id);

/** What a process does, in words. */
export function words(process) {
  if (process.is_frozen) return `frozen, waits for ${process.waits_for ?? "something"}`;
  return process.waits_for ? `waits for ${process.waits_for}` : process.state;
}

/** A dot and words for a state; `show` changes them. */
export function state() {
  const text = h("span");
  const element = h("span", { class: "state" }, h("i", { "aria-hidden": "true" }), text);
  const show = (process) => {
    mark(element, "data-state", process.is_frozen ? "frozen" : process.state);
    say(text, words(process));
  };
  return { element, show };
}
