/** The form in which a token can be pasted. */

import { element } from "./dom.js";
import { keep, read } from "./session.js";

/**
 * Show the form.
 * @param {HTMLElement} view
 * @param {string} why
 */
export function signIn(view, why) {
  const field = element("textarea", { id: "token", rows: 4, required: true, autocomplete: "off", spellcheck: "false" });
  const error = element("p", { class: "error", role: "alert" });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (read(field.value.trim()) === null) {
      error.textContent = "This is not a token: copy all three parts, with the dots between them.";
      return;
    }
    keep(field.value);
    location.reload();
  };
  view.replaceChildren(
    element(
      "form",
      { name: "sign-in", class: "card sign-in", onsubmit: submit },
      element("h1", {}, "Sign in"),
      element("p", {}, why),
      element("label", { for: "token" }, "Token"),
      field,
      error,
      element("button", { type: "submit", class: "primary" }, "Sign in"),
      element("p", { class: "hint" }, "Where the service runs, ", element("code", {}, "./run console alice"), " prints a link that signs alice in."),
    ),
  );
}
