/**
 * The worker of "Check it here": it computes the hashes of the pages that it is sent, so that the page stays responsive.
 *
 * The first message has the user and the hashes that were kept; each further one is a page, and is answered.
 */

import { Chain } from "./chain.js";
import { contentsOf } from "./pages.js";

/**
 * @typedef {object} Checked
 * @property {import("./chain.js").Fault | null} fault the first one, up to the end of the page
 * @property {number} position the last one that fits
 * @property {string} hash the one that was computed there
 */

/** @type {Chain} */
let chain;

// The page is told of whatever goes wrong.
addEventListener("unhandledrejection", ({ reason }) => {
  throw reason;
});

let checking = Promise.resolve();
addEventListener("message", ({ data }) => {
  checking = checking.then(() => take(data));
});

/** @param {ArrayBuffer | {user: string, kept: Map<number, string>}} message */
async function take(message) {
  if (!(message instanceof ArrayBuffer)) {
    chain = new Chain(message.user, message.kept);
    return;
  }
  const { events, head, next } = contentsOf(message);
  const fault = chain.feed(events) ?? (next === null ? chain.finish(head) : null);
  if (fault === null) await chain.confirm();
  postMessage({ fault, position: chain.position, hash: chain.hash });
}
