/**
 * Which of the commands that wait go into the next call.
 */

/** @typedef {import("./optimistic.js").Given} Given */

export const MOST_COMMANDS = 100; // in a call
const MOST_BYTES = 900_000; // in a call, of the 1 MiB that the service takes

/**
 * Return the next commands for a call: those that are kept and not answered, the oldest first.
 * @param {Given[]} given
 * @param {number} most
 */
export function nextBatch(given, most) {
  /** @type {Given[]} */
  const batch = [];
  let bytes = 0;
  for (const one of given) {
    if (one.answer !== null) continue;
    bytes += new TextEncoder().encode(JSON.stringify(one.waiting.command)).length;
    if (one.waiting.n === 0 || batch.length === most || (batch.length > 0 && bytes > MOST_BYTES)) break;
    batch.push(one);
  }
  return batch;
}
