// The processes below those that have spawned them. A branch is asked for when it is opened, and looked at again in turn with the other
// open ones: one a second.

import { get } from "../api.js";
import { empty, h, keep, mark, say } from "../dom.js";
import { bare, brief, count, number } from "../format.js";
import { poll } from "../poll.js";
import { link, PAGE, state } from "../table.js";

export const title = () => "Tree";

/** Branches of so few children are opened by themselves, down to this depth. */
const FEW = 12;
const DEPTH = 4;

export function show(main, { query, signal }) {
  const root = query.get("root") ?? "";
  const tree = { signal, open: [], now: () => {} };
  const top = branch(tree, root || "none", 0);
  tree.open.push(top);
  top.list.classList.add("tree");
  const nothing = empty("Looking…", "The processes are loaded one branch at a time.");
  main.append(
    h("div", { class: "head" }, h("h1", {}, root ? `Children of #${bare(root)}` : "Tree"), root && h("a", { class: "button", href: "#/tree" }, "From the main process")),
    h("p", { class: "note lead" }, "Each process is shown below the process that spawned it, so the children of a supervisor are below it."),
    h("div", { class: "card tree-card" }, top.list, top.more, nothing));

  let turn = 0;
  tree.now = poll(async () => {
    const next = tree.open.find((one) => !one.looked) ?? tree.open[(turn += 1) % tree.open.length];
    await next.look();
    // What has gone is not asked for any more.
    tree.open = tree.open.filter((one) => one.list.isConnected);
    nothing.hidden = top.list.children.length > 0;
    if (!nothing.hidden) nothing.replaceChildren(h("strong", {}, root ? "No children" : "No process lives"));
    // Those that have never been seen follow at once: the user has just opened them.
    if (tree.open.some((one) => !one.looked)) tree.now();
  }, signal);
}

/** The children of a process: a list, and a button for more of them. */
function branch(tree, id, depth) {
  let limit = PAGE;
  const list = h("ul");
  const more = h("button", { type: "button", class: "button small more", hidden: true, onclick: () => {
    limit += PAGE;
    self.looked = false;
    tree.now();
  } });

  async function look() {
    self.looked = true;
    const page = await get(`/v1/processes?${new URLSearchParams({ parent: id, limit, children: "count" })}`, tree.signal);
    keep(list, page.processes, (process) => process.id, (process) => node(tree, process, depth), (element, process) => element.show(process));
    const left = page.matched - page.processes.length;
    more.hidden = left === 0;
    say(more, `Show ${number(Math.min(left, PAGE))} of ${number(left)} more`);
  }
  const self = { looked: false, list, more, look };
  return self;
}

/** A process, with a button that shows its children. */
function node(tree, process, depth) {
  const [name, what, children, mail] = [h("span", { class: "name" }), state(), h("span", { class: "note" }), h("span", { class: "tag" })];
  const toggle = h("button", { type: "button", class: "toggle", "aria-expanded": "false", "aria-label": `Children of ${process.id}`, onclick: () => set(!below) });
  const element = h("li", {}, h("div", { class: "node" }, toggle, link(process.id), name, what.element, mail, children));
  let below = null;

  function set(opened) {
    if (opened) {
      below = branch(tree, process.id, depth + 1);
      element.append(below.list, below.more);
      tree.open.push(below);
      tree.now();
    } else {
      tree.open.splice(tree.open.indexOf(below), 1);
      below.list.remove();
      below.more.remove();
      below = null;
    }
    mark(toggle, "aria-expanded", String(opened));
  }

  let isNew = true;
  element.show = (seen) => {
    const many = seen.children_len ?? 0;
    say(name, brief(seen));
    mark(name, "title", seen.title);
    what.show(seen);
    mail.hidden = seen.mailbox === 0;
    say(mail, `${number(seen.mailbox)} in the mailbox`);
    say(children, many ? count(many, "child", "children") : "");
    toggle.disabled = many === 0 && !below;
    if (isNew && many > 0 && many <= FEW && depth < DEPTH) queueMicrotask(() => below || set(true));
    isNew = false;
  };
  return element;
}
