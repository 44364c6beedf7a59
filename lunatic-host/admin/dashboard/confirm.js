// Asks before something is done that cannot be undone.

import { h } from "./dom.js";

/** Asks; comes to `null` if the answer is no, and else to the text of the field, if there is one. */
export function confirm({ title, text, action, field }) {
  const input = field && h("input", { id: "reason", value: field.value, autocomplete: "off", spellcheck: "false" });
  const cancel = h("button", { type: "button", class: "button" }, "Cancel");
  const yes = h("button", { type: "submit", class: "button danger" }, action);
  const form = h("form", { method: "dialog" },
    h("h2", { id: "question" }, title),
    h("p", {}, text),
    field && h("label", { for: "reason" }, field.label, input, field.help && h("small", {}, field.help)),
    h("div", { class: "actions" }, cancel, yes));
  const dialog = h("dialog", { "aria-labelledby": "question" }, form);
  document.body.append(dialog);
  return new Promise((done) => {
    const end = (answer) => {
      dialog.close();
      dialog.remove();
      done(answer);
    };
    cancel.addEventListener("click", () => end(null));
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      end(null);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      end(input ? input.value : "");
    });
    dialog.showModal();
    (input ?? cancel).focus();
  });
}
