/** The bar of search, filters and sort. */

import { PRIORITIES } from "./choice.js";
import { element } from "./dom.js";

/** @typedef {import("./client/client.js").Task} Task */
/** @typedef {import("./choice.js").Choice} Choice */

const SHOW = /** @type {const} */ ([["all", "All"], ["pending", "Open"], ["completed", "Done"], ["trash", "Trash"]]);
const SORTS = /** @type {const} */ ([["created", "Newest first"], ["due", "Due first"], ["priority", "Most urgent first"], ["title", "A to Z"], ["updated", "Last changed first"]]);

export class Filters {
  #changed;
  #search = element("input", { type: "search", "aria-label": "Search", placeholder: "Search", oninput: () => this.#changed() });
  #show = element("fieldset", { class: "segments" }, element("legend", { class: "unseen" }, "Show"));
  #priority;
  #tag;
  /** The sort; the view shows it beside the count. */
  sort;
  #offered = "";

  /** @param {() => void} changed */
  constructor(changed) {
    this.#changed = changed;
    for (const [value, label] of SHOW) {
      const radio = element("input", { type: "radio", name: "show", value, checked: value === "all", onchange: changed });
      this.#show.append(element("label", {}, radio, element("span", {}, label)));
    }
    this.#priority = this.#select("Priority", [["", "Any priority"], ...PRIORITIES.map((word) => /** @type {const} */ ([word, word]))]);
    this.#tag = this.#select("Tag", [["", "Any tag"]]);
    this.sort = this.#select("Sort", SORTS);
    this.node = element("search", { class: "filters" }, this.#show, this.#search, this.#priority, this.#tag);
  }

  /** Whether the deleted tasks are asked for. */
  get trash() {
    return this.#status() === "trash";
  }

  /** @returns {Choice} */
  choice() {
    const [search, priority, tag, sort] = [this.#search, this.#priority, this.#tag, this.sort].map(({ value }) => value);
    return /** @type {Choice} */ ({ search, status: this.#status(), priority, tag, sort });
  }

  /**
   * Offer the tags of the tasks.
   * @param {readonly Task[]} tasks
   */
  offer(tasks) {
    const tags = [...new Set(tasks.flatMap((task) => task.tags))].sort((one, other) => one.localeCompare(other));
    if (tags.join("\n") === this.#offered) return;
    this.#offered = tags.join("\n");
    const { value } = this.#tag;
    this.#tag.replaceChildren(...options([["", "Any tag"], ...tags.map((tag) => /** @type {const} */ ([tag, tag]))]));
    this.#tag.value = tags.includes(value) ? value : "";
  }

  #status() {
    return this.#show.querySelector("input:checked")?.getAttribute("value") ?? "all";
  }

  /** @param {string} label @param {readonly (readonly [string, string])[]} offers */
  #select(label, offers) {
    return element("select", { "aria-label": label, onchange: () => this.#changed() }, ...options(offers));
  }
}

/** @param {readonly (readonly [string, string])[]} offers */
const options = (offers) => offers.map(([value, text]) => element("option", { value }, text));
