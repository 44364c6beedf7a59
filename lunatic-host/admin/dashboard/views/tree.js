// The processes below those that have spawned them. A branch is asked for when it is opened, and looked at again in turn with the other
// open ones: one a second.

import { get } from "../api.js";
import { empty, h, keep, mark, say } from "../dom.js";
import { bare, brief, count, number } from "../format.js";
import { poll } from "../poll.js";
import { link, state } from "../table.js";

export const title = () => "Tree";

const PAGE = 50;
/** Branches of so few children are opened by themselves, down to this depth. */
const FEW = 12;
const DEPTH = 4;

export function show(main, { query, signal }) {
  const root = query.get("root") ?? "";
  const top = branch({ id: root || "none", depth: 0 });
  const all = root && h("a", { class: "button", href: "#/tree" }, "From the main process");
  const nothing = empty("Looking…", "The processes come one branch after the other.");
  top.list.classList.add("tree");
  main.append(h("div", { class: "head" }, h("h1", {}, root ? `Children of #${bare(root)}` : "Tree"), all),
    h("p", { class: "note lead" }, "Each process stands below the one that has spawned it. Supervisors have their children below them."),
    h("div", { class: "card tree-card" }, top.list, top.more, nothing));

  const open = [top];
  let turn = 0;
  const now = poll(async () => {
    const next = open.find((one) => !one.looked) ?? open[(turn += 1) % open.length];
    await next.look();
    nothing.hidden = top.list.children.length > 0;
    if (!nothing.hidden) say(nothing.firstChild, root ? "No children" : "No process lives");
    // Those that have never been seen follow at once: the user has just opened them.
    if (open.some((one) => !one.looked)) now();
  }, signal);

  /** The children of a process. */
  function branch({ id, depth }) {
    const self = { looked: false, limit: PAGE, list: h("ul"), more: null, look };
    self.more = h("button", { type: "button", class: "button small more", hidden: true, onclick: () => {
      self.limit += PAGE;
      self.looked = false;
      now();
    } });

    async function look() {
      self.looked = true;
      const page = await get(`/v1/processes?${new URLSearchParams({ parent: id, limit: self.limit, children: "count" })}`, signal);
      keep(self.list, page.processes, (process) => process.id, (process) => node(process, depth), (element, process) => element.show(process));
      const left = page.matched - page.processes.length;
      self.more.hidden = left === 0;
      say(self.more, `Show ${number(Math.min(left, PAGE))} of ${number(left)} more`);
      // What has gone is not asked for any more.
      open.splice(0, open.length, ...open.filter((one) => one === top || one.list.isConnected));
    }
    return self;
  }

  function node(process, depth) {
    const [name, what, children, mail] = [h("span", { class: "name" }), state(), h("span", { class: "note" }), h("span", { class: "tag" })];
    const toggle = h("button", { type: "button", class: "toggle", "aria-expanded": "false", onclick: () => set(!below) });
    const card = h("div", { class: "node" }, toggle, link(process.id), name, what.element, mail, children);
    const element = h("li", {}, card);
    let below = null;

    function set(opened) {
      if (opened) {
        below = branch({ id: process.id, depth: depth + 1 });
        element.append(below.list, below.more);
        open.push(below);
        now?.();
      } else {
        open.splice(open.indexOf(below), 1);
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
      mark(toggle, "aria-label", `Children of ${seen.id}`);
      if (isNew && many > 0 && many <= FEW && depth < DEPTH) queueMicrotask(() => below || set(true));
      isNew = false;
    };
    return element;
  }
}
