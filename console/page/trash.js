/** The trash: deleted tasks, newest deletion first. */

import { button, complain, element } from "./dom.js";
import { readable } from "./words.js";

/** @typedef {import("./client/openapi.js").components["schemas"]["DeletedTask"]} DeletedTask */

const MOST_SHOWN = 200;

export class Trash {
  #client;
  #replica;
  #loading = false;
  #again = false;
  #list = element("ul", { class: "tasks", "aria-label": "Trash" });
  #hint = element("p", { class: "empty" });
  node = element("div", { hidden: true }, this.#list, this.#hint);

  /** @param {import("./client/client.js").Tasklog} client @param {import("./client/replica.js").Replica} replica */
  constructor(client, replica) {
    this.#client = client;
    this.#replica = replica;
  }

  /**
   * Show the trash, or hide it.
   * @param {boolean} visible
   */
  show(visible) {
    this.node.hidden = !visible;
    if (visible) void this.#load();
  }

  /** Load the trash; load it again if somebody asked for it meanwhile. */
  async #load() {
    this.#again = this.#loading;
    if (this.#loading) return;
    this.#loading = true;
    try {
      const tasks = await this.#client.trash({ limit: MOST_SHOWN });
      this.#list.replaceChildren(...tasks.map((task) => this.#line(task)));
      this.#hint.textContent = tasks.length === 0 ? "The trash is empty." : tasks.length < MOST_SHOWN ? "" : "These were deleted last. Older ones are in Time.";
    } catch {
      this.#hint.textContent = "The trash cannot be read without a connection.";
    }
    this.#loading = false;
    if (this.#again) await this.#load();
  }

  /** @param {DeletedTask} task */
  #line(task) {
    const restore = () => this.#replica.restore(task.id).then(() => this.#load(), complain);
    const when = element("time", { datetime: task.deleted_at }, `deleted ${readable(task.deleted_at)}`);
    const what = element("div", { class: "what" }, element("span", { class: "title" }, task.title), element("div", { class: "facts" }, when));
    return element("li", { class: "task" }, what, button("Restore", restore, { "aria-label": `Restore ${task.title}` }));
  }
}
