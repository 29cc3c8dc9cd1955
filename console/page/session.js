/**
 * The session: a token from the link of `./run`, from the auth server, or pasted in. It is kept for this tab only.
 */

const KEPT = "tasklog.token";

/** @typedef {{token: string, user: string}} Session */

/**
 * Return the session, or null if nobody is signed in.
 * @returns {Promise<Session | null>}
 */
export async function session() {
  return keptSession() ?? read(await renewed());
}

/** Return the session of the address or of this tab, or null if there is none. */
export function keptSession() {
  takeFromAddress();
  return read(sessionStorage.getItem(KEPT));
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
export function keep(token) {
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
export function read(token) {
  try {
    const part = (token?.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (character) => character.charCodeAt(0));
    const { sub } = JSON.parse(new TextDecoder().decode(bytes));
    return typeof sub === "string" && token !== null ? { token, user: sub } : null;
  } catch {
    return null;
  }
}
