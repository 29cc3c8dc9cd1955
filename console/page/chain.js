/**
 * Checks a user's hash chain in the browser. Nothing that the service says about the result is believed: every hash is
 * computed again, from the events.
 */

import { sha256 } from "./sha256.js";

/** @typedef {import("./client/openapi.js").components["schemas"]["StoredEvent"]} StoredEvent */
/** @typedef {import("./client/openapi.js").components["schemas"]["Head"]} Head */

/**
 * @typedef {object} Fault
 * @property {number} position the first position that does not fit
 * @property {string} reason
 */

const GENESIS = "0".repeat(64);

/** Checks the events of one user, which come in order. */
export class Chain {
  position = 0;
  hash = GENESIS;
  #user;
  #kept;
  #text = ""; // what was hashed last
  /** @type {number[]} positions without text that no erasure explains yet */
  #textless = [];

  /** @param {string} user @param {Map<number, string>} kept hashes by position, as somebody kept them elsewhere */
  constructor(user, kept) {
    this.#user = user;
    this.#kept = kept;
  }

  /**
   * Check the next events.
   * @param {StoredEvent[]} events
   * @returns {Fault | null} the first fault
   */
  feed(events) {
    for (const event of events) {
      const hash = this.#hashOf(event);
      const reason = this.#fault(event, hash);
      if (reason !== null) return { position: this.position + 1, reason };
      this.position = event.position;
      this.hash = hash;
    }
    return null;
  }

  /**
   * Let WebCrypto compute the last hash, too, where the page may use it.
   * @throws {Error} it is another one
   */
  async confirm() {
    if (crypto.subtle === undefined || this.position === 0) return;
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(this.#text));
    const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (hex !== this.hash) throw new Error(`This browser's WebCrypto computes another hash at position ${this.position}.`);
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

  /** @param {StoredEvent} event @param {string} hash as it was computed */
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

  /** @param {StoredEvent} event */
  #hashOf(event) {
    const { position, task_id, version, event_id, type, schema_version, recorded_at } = event;
    this.#text = `${this.hash}\n${this.#user}\n${position}\n${task_id ?? ""}\n${version}\n${event_id}\n${type}\n${schema_version}\n${recorded_at}\n${contentOf(event)}`;
    return sha256(this.#text);
  }
}

/**
 * Return the digest of an event's content: of its text where that is left, else the one that an erasure left.
 * @param {StoredEvent} event
 */
function contentOf({ data, metadata, erased_digest }) {
  return data === null ? (erased_digest ?? "") : sha256(`${metadata}\n${data}`);
}
