/** The list of tasks, from the replica: it works without a network, and follows changes without a reload. */

import { chosen } from "./choice.js";
import { button, complain, element, toast } from "./dom.js";
import { Filters } from "./filters.js";
import { Rows } from "./rows.js";
import { newTaskForm } from "./task_form.js";
import { TaskLine } from "./task_line.js";
import { Trash } from "./trash.js";
import { counted } from "./words.js";

/** @typedef {import("./client/client.js").Task} Task */

const AT_FIRST = 24; // lines; more follow as one scrolls, or if these do not fill the window
const MORE = 200;

/**
 * Show the tasks, and return a function that ends it.
 * @param {HTMLElement} view
 * @param {import("./app.js").Given} given
 */
export function showTasks(view, { client, replica, undo }) {
  const list = new TaskList(client, replica);
  const adding = newTaskForm((data) => list.create(data));
  const bar = element("div", { class: "bar" }, list.count, list.filters.sort, button("Undo", undo, { title: "Ctrl+Z" }));
  view.replaceChildren(element("h1", { class: "unseen" }, "Tasks"), adding, list.filters.node, bar, list.lines, list.hint, list.more, list.trash.node);
  view.className = "narrow";
  return list.follow();
}

class TaskList {
  #replica;
  #limit = AT_FIRST;
  /** @type {Map<number, number>} the provisional ids of created tasks, by the ids that the service gave them */
  #firstIds = new Map();
  #rows;
  filters = new Filters(() => this.#choose());
  lines = element("ul", { class: "tasks", "aria-label": "Tasks" });
  hint = element("p", { class: "empty" });
  count = element("span", { class: "count" });
  more = button("Show more", () => this.#grow(), { hidden: true });

  /** @param {import("./client/client.js").Tasklog} client @param {import("./client/replica.js").Replica} replica */
  constructor(client, replica) {
    this.#replica = replica;
    this.trash = new Trash(client, replica);
    /** @type {import("./task_line.js").Does} */
    const does = {
      complete: ({ id }, completed) => this.#tell(completed ? replica.complete(id) : replica.reopen(id)),
      edit: ({ id }, changed) => this.#tell(replica.edit(id, changed)),
      remove: ({ id, title }) => {
        this.#tell(replica.delete(id));
        toast(`Deleted “${title}”.`, { label: "Undo", act: () => this.#tell(replica.restore(id)) });
      },
    };
    this.#rows = new Rows(this.lines, ({ id }) => this.#firstIds.get(id) ?? id, (/** @type {Task} */ task) => new TaskLine(task, does));
  }

  /** Draw now and after each change, and return a function that ends it. */
  follow() {
    const draw = () => this.#draw();
    const near = new IntersectionObserver(([entry]) => entry?.isIntersecting && this.#grow(), { rootMargin: "300px" });
    near.observe(this.more);
    const end = this.#replica.subscribe(draw);
    draw();
    return () => {
      end();
      near.disconnect();
    };
  }

  /** @param {import("./task_form.js").Data} data */
  create(data) {
    const creating = this.#replica.create(data);
    // The line keeps this key, and any edit in progress, when the service gives the task its own id.
    const first = Math.min(...this.#replica.tasks().map(({ id }) => id));
    this.#tell(creating.then((task) => task && this.#firstIds.set(task.id, first)));
  }

  /** @param {Promise<unknown>} done */
  #tell(done) {
    done.catch(complain);
  }

  #choose() {
    this.#limit = AT_FIRST;
    this.#draw();
  }

  #grow() {
    this.#limit += MORE;
    this.#draw();
  }

  #draw() {
    const { trash } = this.filters;
    this.trash.show(trash);
    const all = this.#replica.tasks();
    const found = trash ? [] : chosen(all, this.filters.choice());
    this.#rows.show(found.slice(0, this.#limit));
    this.more.hidden = found.length <= this.#limit;
    this.filters.offer(all);
    const open = all.reduce((sum, task) => sum + (task.completed ? 0 : 1), 0);
    const { ready, kept } = this.#replica.state();
    this.count.textContent = ready || kept ? `${open.toLocaleString("en")} open of ${counted(all.length, "task")}${kept ? ", as last seen" : ""}` : "";
    this.hint.textContent = trash || found.length > 0 ? "" : !(ready || kept) ? "Loading …" : all.length > 0 ? "No task matches." : "Nothing to do. Add your first task above.";
  }
}
