// Failures as they come.

import { kept, item, listen } from "../crashes.js";
import { empty, h, keep, say } from "../dom.js";

export const title = () => "Crashes";

export function show(main, { signal }) {
  const list = h("ul", { class: "crashes" });
  const note = h("p", { class: "note" });
  const none = empty("Nothing has failed while this view was open", "Processes that panic, trap or end with an error appear here as it happens. ",
    "What failed before is in the program's standard error.");
  main.append(h("div", { class: "head" }, h("h1", {}, "Crashes")),
    h("p", { class: "note lead" }, "The last 200 failures that were reported while this view or the overview was open."), note, h("div", { class: "card" }, list, none));
  const draw = (said) => {
    keep(list, kept(), (crash) => crash.number, item, () => {});
    none.hidden = kept().length > 0;
    if (said) say(note, said);
  };
  listen(draw, signal);
  draw();
}
