/** Reads a history page by page, and requests the next pages in advance. */

/** @typedef {import("./client/client.js").Tasklog} Tasklog */
/** @typedef {import("./client/openapi.js").components["schemas"]["History"]} History */

const EVENTS = 1000; // on a page
const AHEAD = 3; // pages that are requested in advance

/**
 * Yield the pages of a user's history after a position, in order.
 * @param {Tasklog} client
 * @param {number} after
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<History, void, void>}
 */
export async function* pages(client, after, signal) {
  /** @type {Map<number, Promise<History>>} the pages that were asked for, by the position before them */
  const asked = new Map();
  const ask = (/** @type {number} */ from) => {
    const page = client.json("GET", "/history", { query: { after: from, limit: EVENTS }, signal });
    page.catch(() => {}); // `await` reports the error when it is the page's turn
    asked.set(from, page);
    return page;
  };
  let last = 0;
  for (let from = /** @type {number | null} */ (after); from !== null; ) {
    const page = await (asked.get(from) ?? ask(from));
    asked.delete(from);
    last = Math.max(last, page.head.position);
    from = page.next;
    // A page with long texts has fewer events. Then the pages requested in advance begin at wrong positions: drop them.
    if (from !== null && !asked.has(from)) asked.clear();
    for (let next = from ?? last, n = 0; next < last && n < AHEAD; next += EVENTS, n += 1) {
      if (!asked.has(next)) ask(next);
    }
    yield page;
  }
}
