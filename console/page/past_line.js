/** A task as it was, in the list of a position. */

import { dueText } from "./choice.js";
import { element, icon } from "./dom.js";

/** @typedef {{task: import("./ledger.js").PastTask, marks: import("./ledger.js").Past | null}} Shown */

export class PastLine {
  #shown;
  #title = element("button", { type: "button", class: "title", onclick: () => this.#tell(this.#shown.task.id) });
  #sign = element("span", { class: "sign", role: "img" });
  #facts = element("div", { class: "facts" });
  #tell;
  node = element("li", {}, this.#sign, element("div", { class: "what" }, this.#title, this.#facts));

  /**
   * @param {Shown} shown
   * @param {(id: number) => void} tell called with the task whose history is asked for
   */
  constructor(shown, tell) {
    this.#shown = shown;
    this.#tell = tell;
    this.update(shown);
  }

  /** @param {Shown} shown */
  update(shown) {
    this.#shown = shown;
    const { task, marks } = shown;
    const gone = marks?.type === "task.deleted";
    this.node.className = `task${task.completed ? " done" : ""}${marks ? " changed" : ""}${gone ? " gone" : ""}`;
    this.#sign.replaceChildren(...(task.completed ? [icon("good")] : []));
    this.#sign.setAttribute("aria-label", gone ? "deleted here" : task.completed ? "done" : "open");
    this.#title.textContent = task.title;
    this.#facts.replaceChildren(...factsOf(shown));
    if (marks) this.node.setAttribute("aria-current", "step");
    else this.node.removeAttribute("aria-current");
  }
}

/** @param {Shown} shown */
function factsOf({ task, marks }) {
  /** @type {Set<string>} */
  const changed = new Set(marks?.changes.map(({ field }) => field));
  /** @type {[string, string][]} */
  const facts = [];
  if (task.due_date) facts.push(["due_date", `due ${dueText(String(task.due_date))}`]);
  if (task.priority && task.priority !== "medium") facts.push(["priority", String(task.priority)]);
  if (task.category) facts.push(["category", String(task.category)]);
  if (Array.isArray(task.tags) && task.tags.length > 0) facts.push(["tags", task.tags.join(", ")]);
  return facts.map(([field, text]) => element("span", { class: changed.has(field) ? "changed" : "" }, text));
}
