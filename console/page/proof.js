/** "Check it here": every hash of the history computed again, by this page. */

import { Chain } from "./chain.js";
import { button, element, icon, toast } from "./dom.js";
import { pages } from "./pages.js";
import { pasted } from "./pasted.js";
import { counted } from "./words.js";

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
    if (!globalThis.isSecureContext) throw new Error("Browsers compute hashes only on pages with HTTPS, or of localhost: open this page in one of these ways.");
    const text = this.kept.value.trim();
    const kept = pasted(text, this.#client.user);
    if (text !== "" && kept.size === 0) throw new Error("There is no position with its hash for this user in the text that you pasted.");
    const started = performance.now();
    const chain = new Chain(this.#client.user, kept);
    let head = { position: 0, hash: chain.hash };
    for await (const page of pages(this.#client, 0, this.ending.signal)) {
      const fault = await chain.feed(page.events);
      if (fault !== null) return this.#fault(fault);
      head = page.head;
      this.progress.value = chain.position / Math.max(1, head.position);
    }
    const fault = chain.finish(head);
    if (fault !== null) return this.#fault(fault);
    this.#good(chain, kept, (performance.now() - started) / 1000);
  }

  /** @param {import("./chain.js").Fault} fault */
  #fault({ position, reason }) {
    const step = element("a", { href: `#step?position=${position}` }, `Look at position ${position}`);
    this.#say("bad", `Position ${position} does not fit.`, `The first one that does not: ${reason}.`, step);
  }

  /** @param {Chain} chain @param {Map<number, string>} kept @param {number} seconds */
  #good({ position, hash }, kept, seconds) {
    const head = JSON.stringify({ user_id: this.#client.user, position, hash });
    const copy = () => void navigator.clipboard.writeText(head).then(() => toast("Copied. Keep it where nobody else can write."));
    const compared = kept.size === 0 ? "" : ` What you kept is in it, at ${kept.size === 1 ? "position" : "positions"} ${[...kept.keys()].slice(0, 5).join(", ")}${kept.size > 5 ? " …" : ""}.`;
    this.#say(
      "good",
      position === 0 ? "There is no event yet." : `${position === 1 ? "The only event fits." : `All ${counted(position, "event")} fit.`}`,
      `Each hash was computed here, in ${seconds.toFixed(1)} s.${compared}`,
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
