/**
 * The session: a token from the link of `./run`, from the auth server, or pasted in. It is kept for this tab only.
 */

import { element } from "./dom.js";

const KEPT = "tasklog.token";

/** @typedef {{token: string, user: string}} Session */

/**
 * Return the session, or null if nobody is signed in.
 * @returns {Promise<Session | null>}
 */
export async function session() {
  takeFromAddress();
  return read(sessionStorage.getItem(KEPT)) ?? read(await renewed());
}

/** Take the token out of the address and keep it, if there is one; return whether there was. */
export function takeFromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token === null) return false;
  history.replaceState(null, "", location.pathname);
  keep(token);
  return true;
}

/** @param {string} token */
function keep(token) {
  sessionStorage.setItem(KEPT, token.trim());
}

export function forget() {
  sessionStorage.removeItem(KEPT);
}

/**
 * Return a new token of the auth server that CONSOLE_TOKEN_URL names, or null if there is none.
 * @returns {Promise<string | null>}
 */
export async function renewed() {
  const url = document.documentElement.dataset.tokenUrl;
  if (url === undefined) return null;
  try {
    const answer = await fetch(url, { credentials: "include" });
    const { token } = answer.ok ? await answer.json() : { token: null };
    if (typeof token !== "string") return null;
    keep(token);
    return token;
  } catch {
    return null;
  }
}

/**
 * Return the session of a token, or null if this is not a token. The service checks the token, not the page.
 * @param {string | null} token
 * @returns {Session | null}
 */
function read(token) {
  try {
    const part = (token?.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (character) => character.charCodeAt(0));
    const { sub } = JSON.parse(new TextDecoder().decode(bytes));
    return typeof sub === "string" && token !== null ? { token, user: sub } : null;
  } catch {
    return null;
  }
}

/**
 * Show the form in which a token can be pasted.
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
