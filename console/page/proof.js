/** "Check it here": every hash of the history computed again, by this page. */

import { button, element, icon, toast } from "./dom.js";
import { pages } from "./pages.js";
import { pasted } from "./pasted.js";
import { script } from "./trusted.js";
import { counted } from "./words.js";

/** @typedef {import("./checker.js").Checked} Checked */

const EXAMPLE = "Tasklog-Position: 12\nTasklog-Hash: 3f5a…";

/**
 * Show the check, and return a function that ends it.
 * @param {HTMLElement} view
 * @param {import("./app.js").Given} given
 */
export function showProof(view, { client }) {
  const proof = new Proof(client);
  view.className = "narrow";
  view.replaceChildren(
    element("h1", {}, "Proof"),
    element(
      "section",
      { class: "card" },
      element("p", {}, "Every event has a hash over itself and the hash before it, so nobody can change the history unseen. This page fetches all events and computes each hash again, itself."),
      element("label", { for: "kept" }, "A receipt or an anchor that you kept, if you have one"),
      proof.kept,
      element("p", { class: "hint" }, "With it, the check also shows that the end was not cut off, and that nobody rewrote the whole history."),
      element("div", { class: "bar" }, proof.button, proof.progress),
    ),
    proof.result,
  );
  return () => proof.ending.abort();
}

class Proof {
  #client;
  ending = new AbortController();
  kept = element("textarea", { id: "kept", rows: 3, spellcheck: "false", placeholder: EXAMPLE });
  progress = element("progress", { max: 1, value: 0, "aria-label": "Checked", hidden: true });
  button = element("button", { type: "button", class: "primary", onclick: () => void this.#check() }, "Check it here");
  result = element("output", { class: "result" });

  /** @param {import("./client/client.js").Tasklog} client */
  constructor(client) {
    this.#client = client;
  }

  async #check() {
    this.button.disabled = true;
    this.progress.hidden = false;
    this.progress.value = 0;
    this.result.replaceChildren();
    try {
      await this.#compute();
    } catch (problem) {
      if (!this.ending.signal.aborted) this.#say("bad", "The history could not be checked.", problem instanceof Error ? problem.message : String(problem));
    }
    this.progress.hidden = true;
    this.button.disabled = false;
  }

  async #compute() {
    const text = this.kept.value.trim();
    const kept = pasted(text, this.#client.user);
    if (text !== "" && kept.size === 0) throw new Error("There is no position with its hash for this user in the text that you pasted.");
    const started = performance.now();
    const worker = new Worker(script("./checker.js"), { type: "module" });
    try {
      worker.postMessage({ user: this.#client.user, kept });
      const checked = await this.#feed(worker);
      if (checked.fault !== null) this.#fault(checked.fault);
      else this.#good(checked, kept, (performance.now() - started) / 1000);
    } finally {
      worker.terminate();
    }
  }

  /**
   * Send all pages to the worker, and return what it found: the first fault, or the end.
   * @param {Worker} worker
   */
  async #feed(worker) {
    let checked = /** @type {Checked} */ ({ fault: null, position: 0, hash: "" });
    for await (const { bytes, last } of pages(this.#client, 0, this.ending.signal)) {
      worker.postMessage(bytes, [bytes]);
      checked = await answerOf(worker);
      if (checked.fault !== null) break;
      this.progress.value = checked.position / Math.max(1, last);
    }
    return checked;
  }

  /** @param {import("./chain.js").Fault} fault */
  #fault({ position, reason }) {
    const step = element("a", { href: `#step?position=${position}` }, `Look at position ${position}`);
    this.#say("bad", `Position ${position} does not fit.`, `The first one that does not: ${reason}.`, step);
  }

  /** @param {Checked} checked @param {Map<number, string>} kept @param {number} seconds */
  #good({ position, hash }, kept, seconds) {
    const head = JSON.stringify({ user_id: this.#client.user, position, hash });
    const copy = () => void navigator.clipboard.writeText(head).then(() => toast("Copied. Keep it where nobody else can write."));
    const compared = kept.size === 0 ? "" : ` What you kept is in it, at ${kept.size === 1 ? "position" : "positions"} ${[...kept.keys()].slice(0, 5).join(", ")}${kept.size > 5 ? " …" : ""}.`;
    this.#say(
      "good",
      position === 0 ? "There is no event yet." : `${position === 1 ? "The only event fits." : `All ${counted(position, "event")} fit.`}`,
      `Each hash was computed here, in ${seconds.toFixed(1)}\u00a0s.${compared}`,
      element("dl", {}, element("dt", {}, "Position"), element("dd", {}, String(position)), element("dt", {}, "Hash"), element("dd", {}, element("code", {}, hash))),
      button("Copy this anchor", copy),
    );
  }

  /** @param {"good" | "bad"} kind @param {string} title @param {string} text @param {...Node} more */
  #say(kind, title, text, ...more) {
    const head = element("h2", {}, icon(kind), title);
    this.result.replaceChildren(element("section", { class: `card ${kind}`, "aria-label": "Result" }, head, element("p", {}, text), ...more));
  }
}

/**
 * Return the worker's next answer.
 * @param {Worker} worker
 * @returns {Promise<Checked>}
 */
function answerOf(worker) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message || "The part of the page that computes hashes could not be started."));
  });
}
