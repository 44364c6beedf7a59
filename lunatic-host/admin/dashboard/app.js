// The frame around the views: which one is shown, and whether the program answers.

import { link, offers } from "./api.js";
import { h, say } from "./dom.js";
import * as token from "./token.js";
import * as crashes from "./views/crashes.js";
import * as lists from "./views/lists.js";
import * as overview from "./views/overview.js";
import * as process from "./views/process.js";
import * as processes from "./views/processes.js";
import * as trace from "./views/trace.js";
import * as tree from "./views/tree.js";
import * as versions from "./views/versions.js";

const VIEWS = { "": overview, processes, process, tree, crashes, trace, lists, versions };

const main = document.getElementById("main");
const banner = document.getElementById("banner");
const status = document.getElementById("link");
let visit = new AbortController();
let shown = null;

/** The place in the address: a view, what it is of, and what it is asked for. */
function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, of] = path.split("/");
  return { name: name in VIEWS ? name : "", of, query: new URLSearchParams(query) };
}

function show() {
  visit.abort();
  visit = new AbortController();
  const { name, of, query } = place();
  const view = VIEWS[name];
  const update = (changed) => {
    const text = new URLSearchParams([...changed].filter(([, value]) => value)).toString();
    history.replaceState(null, "", `#/${name}${of ? `/${of}` : ""}${text ? `?${text}` : ""}`);
  };
  main.replaceChildren();
  view.show(main, { of, query, update, signal: visit.signal });
  document.title = `${view.title(of)} – Lunatic`;
  for (const entry of document.querySelectorAll("#views a")) {
    const is = entry.getAttribute("href") === `#/${name === "process" ? "processes" : name}`;
    if (is) entry.setAttribute("aria-current", "page");
    else entry.removeAttribute("aria-current");
  }
  // Who came by the keyboard goes on in the new view, and not where the old one was.
  if (shown !== null && shown !== name + of) main.focus({ preventScroll: true });
  shown = name + of;
  scrollTo(0, 0);
}

/** Asks for the token. */
function signIn(why) {
  visit.abort();
  const input = h("input", { id: "token", type: "password", autocomplete: "off", required: true });
  const form = h("form", { class: "card sign-in" },
    h("h1", {}, "Which program?"),
    h("p", {}, "Open the address that the program printed at its start, or enter the token from that address. A program that was restarted has a new token."),
    why && h("p", { class: "note" }, why),
    h("label", { for: "token" }, "Token", input),
    h("div", { class: "actions" }, h("button", { class: "button primary" }, "Show it")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    token.set(input.value.trim());
    show();
  });
  main.replaceChildren(form);
  document.title = "Lunatic";
  input.focus();
}

const STATES = {
  live: "Live",
  lost: "Not connected",
  denied: "Not signed in",
};

link.addEventListener("change", ({ detail: { state, why } }) => {
  status.dataset.state = state;
  say(status.lastElementChild, STATES[state]);
  banner.hidden = state !== "lost";
  if (state === "lost") {
    say(banner, `${why ? `${why[0].toUpperCase()}${why.slice(1)}.` : "The connection is lost: the program has ended, or cannot be reached."} Trying again. This page shows the last known state.`);
  }
  document.body.classList.toggle("stale", state === "lost");
  if (state === "denied") signIn(why);
  if (state === "live") showMore();
});

/** Views of what not every program tells: one of another version may not. */
async function showMore() {
  for (const [view, path] of [["lists", "/v1/modules"], ["versions", "/v1/versions"]]) {
    const has = await offers(path).catch(() => false);
    document.getElementById(view).hidden = !has;
  }
}

// What stands behind the `#` is a view, and not a part of the page.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

addEventListener("hashchange", () => {
  token.fromAddress();
  show();
});

// Without a token the program may let us in all the same: if it has seen a certificate.
await token.find();
show();
