// The processes as a table. The host sorts, searches and filters, so that a million are no more work here than fifty.

import { get } from "../api.js";
import { empty, h, keep, mark, say } from "../dom.js";
import { bare, brief, count, number, size, time } from "../format.js";
import { poll } from "../poll.js";
import { link, PAGE, pager, state } from "../table.js";

export const title = () => "Processes";

/** The columns: heading, the order by it, how it looks, and whether a narrow screen leaves it out. */
const COLUMNS = [
  { name: "Process", order: "id" },
  { name: "Name" },
  { name: "State" },
  { name: "Mailbox", order: "mailbox", of: (process) => number(process.mailbox), figure: true },
  { name: "Mail", order: "mailbox-bytes", of: (process) => size(process.mailbox_bytes), figure: true, wide: true },
  { name: "Oldest", order: "oldest", of: (process) => (process.oldest_mail_ms == null ? "–" : time(process.oldest_mail_ms)), figure: true, wide: true },
  { name: "Memory", order: "memory", of: (process) => size(process.memory_bytes), figure: true },
  { name: "On a core", order: "time", of: (process) => time(process.cpu_ms), figure: true, wide: true },
  { name: "Parent", wide: true },
];
const ORDERS = { id: "id", mailbox: "entries in the mailbox", "mailbox-bytes": "bytes of mail", oldest: "age of the oldest mail", memory: "memory", time: "time on a core" };
const STATES = { "": "any state", running: "running", ready: "ready", waiting: "waiting" };

export function show(main, { query, update, signal }) {
  const asked = {
    name: query.get("name") ?? "",
    state: query.get("state") ?? "",
    parent: query.get("parent") ?? "",
    order: query.get("order") in ORDERS ? query.get("order") : "id",
    skip: Math.max(0, Number(query.get("skip")) || 0),
  };
  const change = (changed) => {
    Object.assign(asked, { skip: 0 }, changed);
    update(Object.entries(asked).map(([name, value]) => [name, name === "order" && value === "id" ? "" : value || ""]));
    mark(card, "aria-busy", "true");
    tools.show(asked);
    heads.show(asked);
    now();
  };
  const [tools, heads, pages] = [toolbar(asked, change), headings(change), pager(asked, change)];
  const body = h("tbody");
  const total = h("span", { class: "note", id: "total" });
  const table = h("table", { "aria-describedby": "total" }, h("thead", {}, heads.element), body);
  const none = empty("No process matches", "No process that is alive has this name, state or parent.");
  const card = h("div", { class: "card list", "aria-busy": "true" }, table, none);
  main.append(h("div", { class: "head" }, h("h1", {}, "Processes"), total), tools.element, card, pages.element);
  none.hidden = true;
  tools.show(asked);
  heads.show(asked);

  const now = poll(async () => {
    const page = await get(`/v1/processes?${path(asked)}`, signal);
    if (asked.skip > 0 && page.processes.length === 0) {
      asked.skip = Math.max(0, PAGE * (Math.ceil(page.matched / PAGE) - 1));
      if (page.matched > 0) return now();
    }
    keep(body, page.processes, (process) => process.id, row, (element, process) => element.show(process));
    say(total, count(page.matched, "process", "processes"));
    pages.show(page, page.processes.length);
    table.hidden = page.matched === 0;
    none.hidden = page.matched > 0;
    mark(card, "aria-busy", null);
  }, signal);
}

function path({ name, state, parent, order, skip }) {
  const query = new URLSearchParams({ order, skip, limit: PAGE });
  for (const [key, value] of Object.entries({ name, state, parent })) if (value) query.set(key, value);
  return query;
}

function toolbar(asked, change) {
  let timer = 0;
  const search = h("input", { type: "search", id: "search", placeholder: "Part of a name", value: asked.name, spellcheck: "false", autocomplete: "off" });
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => change({ name: search.value.trim() }), 250);
  });
  const select = (id, options, key) => h("select", { id, onchange: (event) => change({ [key]: event.target.value }) },
    Object.entries(options).map(([value, text]) => h("option", { value, selected: asked[key] === value }, text)));
  const states = select("state", STATES, "state");
  const order = select("order", ORDERS, "order");
  const parent = h("button", { type: "button", class: "button filter", onclick: () => change({ parent: "" }) });
  const element = h("div", { class: "tools", role: "search" },
    h("label", { for: "search" }, h("span", {}, "Search"), search),
    h("label", { for: "state" }, h("span", {}, "State"), states),
    h("label", { for: "order", class: "narrow" }, h("span", {}, "Sort by"), order),
    parent);
  const show = (now) => {
    order.value = now.order;
    parent.hidden = !now.parent;
    say(parent, `Children of #${bare(now.parent)} ✕`);
    mark(parent, "aria-label", `Show not only the children of ${now.parent}`);
  };
  return { element, show };
}

function headings(change) {
  const cells = COLUMNS.map((column) => h("th", { scope: "col", class: classes(column) },
    column.order ? h("button", { type: "button", onclick: () => change({ order: column.order }) }, column.name) : column.name));
  const show = ({ order }) => COLUMNS.forEach((column, place) => {
    const direction = column.order === "id" ? "ascending" : "descending";
    mark(cells[place], "aria-sort", column.order && (column.order === order ? direction : "none"));
  });
  return { element: h("tr", {}, cells), show };
}

const classes = ({ figure, wide }) => [figure && "figure", wide && "wide"].filter(Boolean).join(" ") || undefined;

function row(process) {
  const [name, parent, what] = [h("span", { class: "name" }), h("td", { class: "wide" }), state()];
  const figures = COLUMNS.filter(({ of }) => of).map((column) => ({ column, cell: h("td", { class: classes(column), "data-label": column.name }) }));
  const element = h("tr", {}, h("th", { scope: "row" }, link(process.id)), h("td", {}, name), h("td", {}, what.element), figures.map(({ cell }) => cell), parent);
  if (process.parent) parent.append(link(process.parent));
  else parent.append("–");
  element.show = (now) => {
    say(name, brief(now));
    mark(name, "title", now.title);
    what.show(now);
    for (const { column, cell } of figures) say(cell, column.of(now));
  };
  return element;
}
