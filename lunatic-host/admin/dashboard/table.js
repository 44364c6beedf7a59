// How processes look in tables: their states, and links to them; and pages of tables.

import { h, mark, say } from "./dom.js";
import { bare, number } from "./format.js";

/** So many rows are a page. */
export const PAGE = 50;

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

/** Buttons that turn pages: `asked.skip` says which is shown, `change` is called with another. */
export function pager(asked, change) {
  const to = (text, label, skip) => h("button", { type: "button", class: "button", "aria-label": label, onclick: () => change({ skip: skip() }) }, text);
  let matched = 0;
  const last = () => PAGE * Math.max(0, Math.ceil(matched / PAGE) - 1);
  const first = to("«", "First page", () => 0);
  const back = to("Previous", "Previous page", () => Math.max(0, asked.skip - PAGE));
  const next = to("Next", "Next page", () => asked.skip + PAGE);
  const end = to("»", "Last page", last);
  const range = h("span", { class: "range" });
  const element = h("nav", { class: "pages", "aria-label": "Pages" }, first, back, range, next, end);
  const show = (page, shown) => {
    matched = page.matched;
    say(range, matched ? `${number(asked.skip + 1)} to ${number(asked.skip + shown)} of ${number(matched)}` : "");
    first.disabled = back.disabled = asked.skip === 0;
    next.disabled = end.disabled = asked.skip + shown >= matched;
    element.hidden = matched <= PAGE && asked.skip === 0;
  };
  element.hidden = true;
  return { element, show };
}
