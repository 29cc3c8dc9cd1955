/** Reads a user's events page by page, and requests the next pages in advance. */

/** @typedef {import("./client/client.js").Tasklog} Tasklog */

/**
 * @typedef {object} Page
 * @property {ArrayBuffer} bytes the page as JSON
 * @property {number | null} next the position before the next page
 * @property {number} last the last position of the history
 */

const EVENTS = 2000; // on a page: about 1 MB
const AHEAD = 3; // pages that are requested in advance

/**
 * Yield the pages of a user's events after a position, in order.
 * @param {Tasklog} client
 * @param {number} after
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Page, void, void>}
 */
export async function* pages(client, after, signal) {
  /** @type {Map<number, Promise<Page>>} the pages that were asked for, by the position before them */
  const asked = new Map();
  const ask = (/** @type {number} */ from) => {
    const page = read(client, from, signal);
    page.catch(() => {}); // `await` reports the error when it is the page's turn
    asked.set(from, page);
    return page;
  };
  let last = 0;
  for (let from = /** @type {number | null} */ (after); from !== null; ) {
    const page = await (asked.get(from) ?? ask(from));
    asked.delete(from);
    last = Math.max(last, page.last);
    from = page.next;
    // A page with long texts has fewer events. Then the pages requested in advance begin at wrong positions: drop them.
    if (from !== null && !asked.has(from)) asked.clear();
    for (let next = from ?? last, n = 0; next < last && n < AHEAD; next += EVENTS, n += 1) {
      if (!asked.has(next)) ask(next);
    }
    yield page;
  }
}

/**
 * @param {Tasklog} client
 * @param {number} after
 * @param {AbortSignal} signal
 * @returns {Promise<Page>}
 */
async function read(client, after, signal) {
  const answer = await client.call("GET", "/events", { query: { after, limit: EVENTS }, signal });
  const [, next] = /[?&]after=(\d+)/.exec(answer.headers.get("Link") ?? "") ?? [];
  return {
    bytes: await answer.arrayBuffer(),
    next: next === undefined ? null : Number(next),
    last: Number(answer.headers.get("Tasklog-Position")),
  };
}

const decoder = new TextDecoder();

/**
 * Return the page's JSON.
 * @param {ArrayBuffer} bytes
 * @returns {import("./client/openapi.js").components["schemas"]["StoredEvents"]}
 */
export function contentsOf(bytes) {
  return JSON.parse(decoder.decode(bytes));
}
