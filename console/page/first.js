/** Asks for the tasks, and for the commands that wait, at once: most modules are still on their way then. */

import { ownQueue } from "./client/queue.js";
import { keptSession } from "./session.js";

const signedIn = keptSession();
const root = `${location.origin}/api/${encodeURIComponent(signedIn?.user ?? "")}`;
const queue = signedIn && ownQueue(root);
const url = `${root}/changes/stream`;
const ending = new AbortController();

/** @type {Promise<Response> | null} */
let asked = signedIn && fetch(url, { headers: { Authorization: `Bearer ${signedIn.token}` }, cache: "no-store", signal: ending.signal });
asked?.catch(() => {}); // reported to who awaits it

/**
 * Do what `fetch` does. The first call for the stream gets the answer that was asked for already.
 * @type {typeof fetch}
 */
export function fetchFirst(address, options) {
  if (asked === null || address !== url) return fetch(address, options);
  const answer = asked;
  asked = null;
  options?.signal?.addEventListener("abort", () => ending.abort());
  return answer;
}

/**
 * Return the queue of a user's commands.
 * @param {string} of where the user's resources are
 */
export function queueOf(of) {
  return of === root && queue ? queue : ownQueue(of);
}
