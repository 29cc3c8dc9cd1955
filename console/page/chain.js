/**
 * Checks a user's hash chain in the browser. Nothing that the service says about the result is believed: every hash is
 * computed again, from the events.
 */

/** @typedef {import("./client/openapi.js").components["schemas"]["HistoryEvent"]} HistoryEvent */
/** @typedef {import("./client/openapi.js").components["schemas"]["Head"]} Head */

/**
 * @typedef {object} Fault
 * @property {number} position the first position that does not fit
 * @property {string} reason
 */

const GENESIS = "0".repeat(64);
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const encoder = new TextEncoder();

/** Checks the events of one user, which come in order. */
export class Chain {
  position = 0;
  hash = GENESIS;
  #user;
  #kept;
  /** @type {number[]} positions without text that no erasure explains yet */
  #textless = [];

  /** @param {string} user @param {Map<number, string>} kept hashes by position, as somebody kept them elsewhere */
  constructor(user, kept) {
    this.#user = user;
    this.#kept = kept;
  }

  /**
   * Check the next events.
   *
   * All are hashed at once, each over the hash that the one before it states. The chain holds if each hash is the one
   * that is stated: then what is stated is what was computed, from the first event on.
   * @param {HistoryEvent[]} events
   * @returns {Promise<Fault | null>} the first fault
   */
  async feed(events) {
    const contents = await Promise.all(events.map(contentOf));
    const hashes = await Promise.all(
      events.map((event, n) => sha256(this.#lines(n === 0 ? this.hash : /** @type {HistoryEvent} */ (events[n - 1]).hash, event, contents[n] ?? ""))),
    );
    for (const [n, event] of events.entries()) {
      const reason = this.#fault(event, hashes[n] ?? "");
      if (reason !== null) return { position: this.position + 1, reason };
      this.position = event.position;
      this.hash = event.hash;
    }
    return null;
  }

  /**
   * Check the end: the chain leads to the head, and goes as far as what was kept.
   * @param {Head} head
   * @returns {Fault | null}
   */
  finish(head) {
    const [textless] = this.#textless;
    if (textless !== undefined) return { position: textless, reason: "its text was removed, and no erasure says so" };
    if (head.position !== this.position) {
      const position = Math.min(head.position, this.position) + 1;
      return { position, reason: `the events end at ${this.position}, and the head is ${head.position}` };
    }
    if (head.hash !== this.hash) return { position: this.position, reason: "the head has another hash" };
    const cut = Math.max(0, ...this.#kept.keys());
    if (cut > this.position) return { position: this.position + 1, reason: `the end was cut, as you kept the hash of position ${cut}` };
    return null;
  }

  /** @param {HistoryEvent} event @param {string} hash as it was computed */
  #fault({ position, hash: stated, data, type }, hash) {
    if (position !== this.position + 1) return "the event is missing";
    if (hash !== stated) return "the event does not match its hash";
    if ((this.#kept.get(position) ?? hash) !== hash) return "its hash is not the one that you kept, so the history was rewritten";
    if (data === null) this.#textless.push(position);
    else if (type === "stream.erased") {
      const { through } = JSON.parse(data);
      this.#textless = this.#textless.filter((textless) => textless > through);
    }
    return null;
  }

  /** @param {string} before @param {HistoryEvent} event @param {string} content */
  #lines(before, { position, task_id, version, event_id, type, schema_version, recorded_at }, content) {
    return [before, this.#user, position, task_id ?? "", version, event_id, type, schema_version, recorded_at, content].join("\n");
  }
}

/** @param {string} text @returns {Promise<string>} its SHA-256 in hex */
async function sha256(text) {
  let hex = "";
  for (const byte of new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(text)))) hex += HEX[byte];
  return hex;
}

/**
 * Return the digest of an event's content: of its text where that is left, else the one that an erasure left.
 * @param {HistoryEvent} event
 * @returns {Promise<string> | string}
 */
function contentOf({ data, metadata, content_digest }) {
  return data === null ? content_digest : sha256(`${metadata}\n${data}`);
}
