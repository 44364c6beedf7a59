// What processes have, as far as the program lists it: modules, channels, names, groups, sockets. The columns are those that it tells.

import { get, offers } from "../api.js";
import { empty, h, keep, say } from "../dom.js";
import { number, size } from "../format.js";
import { poll } from "../poll.js";
import { link, PAGE, pager } from "../table.js";

export const title = (name) => LISTS[name] ?? LISTS.modules;

const LISTS = { modules: "Modules", channels: "Channels", names: "Names", groups: "Groups", sockets: "Sockets", workers: "Workers", nodes: "Nodes" };

export function show(main, { of, query, update, signal }) {
  const name = of in LISTS ? of : "modules";
  const asked = { skip: Math.max(0, Number(query.get("skip")) || 0) };
  const pages = pager(asked, ({ skip }) => {
    asked.skip = skip;
    update([["skip", skip || ""]]);
    now();
  });
  const [head, body, total] = [h("tr"), h("tbody"), h("span", { class: "note" })];
  const table = h("table", {}, h("thead", {}, head), body);
  const none = empty("None", "There are none at the moment.");
  const card = h("div", { class: "card list", hidden: true }, table, none);
  main.append(h("div", { class: "head" }, h("h1", {}, LISTS[name]), total), tabs(name, signal), card, pages.element);

  const now = poll(async () => {
    const page = await get(`/v1/${name}?${new URLSearchParams({ limit: PAGE, skip: asked.skip })}`, signal);
    const columns = columnsOf(page.rows);
    keep(head, columns, ({ key }) => key, heading, () => {});
    keep(body, page.rows, (row) => JSON.stringify(columns.slice(0, 2).map(({ key }) => row[key])), (row) => line(columns, row), refresh);
    say(total, number(page.matched));
    pages.show(page, page.rows.length);
    table.hidden = page.rows.length === 0;
    none.hidden = !table.hidden;
    card.hidden = false;
  }, signal);
}

function tabs(name, signal) {
  const element = h("nav", { class: "tabs", "aria-label": "Lists" }, Object.entries(LISTS).map(([list, label]) => {
    const tab = h("a", { class: "button", href: `#/lists/${list}`, "aria-current": list === name && "page" }, label);
    offers(`/v1/${list}`, signal).then((has) => (tab.hidden = !has), () => {});
    return tab;
  }));
  return element;
}

/** The columns of some rows: what each is called, and whether it has figures. */
function columnsOf(rows) {
  return Object.keys(rows[0] ?? {}).map((key) => ({
    key,
    label: key.replace(/_bytes$|_ms$/, "").replaceAll("_", " "),
    figure: rows.some((row) => typeof row[key] === "number") && "figure",
  }));
}

const heading = ({ label, figure }) => h("th", { scope: "col", class: figure }, label);

function line(columns, row) {
  const cells = columns.map(({ key, label, figure }) => {
    const element = h("td", { class: figure, "data-label": label });
    if (["owner", "process"].includes(key) && row[key]) element.append(link(row[key]));
    else element.dataset.of = key;
    return element;
  });
  return h("tr", {}, cells);
}

/** Links stay as they are: a row with another owner is another row. */
function refresh(element, row) {
  for (const cell of element.querySelectorAll("[data-of]")) say(cell, text(cell.dataset.of, row[cell.dataset.of]));
}

function text(key, value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (/bytes$/.test(key)) return size(value);
  return /_ms$/.test(key) ? `${number(value)} ms` : number(value);
}
