/** The form for the fields of a task: for a new one, and for one that is edited in its place. */

import { PRIORITIES } from "./choice.js";
import { button, element } from "./dom.js";

/** @typedef {import("./client/client.js").Task} Task */
/** @typedef {import("./client/client.js").Schemas["CreateTaskBody"]} Data */

/**
 * Return the form that adds a task; it is empty again afterwards.
 * @param {(data: Data) => void} add
 */
export function newTaskForm(add) {
  const fields = new Fields("new", null);
  const submit = element("button", { type: "submit", class: "primary" }, "Add");
  const more = element("details", {}, element("summary", {}, "Due, priority, tags and more"), fields.grid);
  const onsubmit = (/** @type {Event} */ event) => {
    event.preventDefault();
    add(fields.data());
    fields.fill();
    fields.title.focus();
  };
  return element("form", { class: "card adding", "aria-label": "New task", onsubmit }, element("div", { class: "first" }, fields.title, submit), more);
}

/**
 * Return the form that edits a task.
 * @param {Task} task
 * @param {(changed: Partial<Data>) => void} save called with the fields that differ
 * @param {() => void} cancel
 */
export function editForm(task, save, cancel) {
  const fields = new Fields(`of${task.id}`, task);
  const before = fields.data();
  const onsubmit = (/** @type {Event} */ event) => {
    event.preventDefault();
    const differs = (/** @type {[string, unknown]} */ [name, value]) => JSON.stringify(value) !== JSON.stringify(before[name]);
    save(Object.fromEntries(Object.entries(fields.data()).filter(differs)));
  };
  const onkeydown = (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && cancel();
  const submit = element("button", { type: "submit", class: "primary" }, "Save");
  const buttons = element("div", { class: "bar" }, submit, button("Cancel", cancel));
  return element("form", { class: "editing", "aria-label": `Edit ${task.title}`, onsubmit, onkeydown }, fields.title, fields.grid, buttons);
}

/** The controls for a task's fields. */
class Fields {
  #task;

  /** @param {string} prefix of the controls' ids @param {Task | null} task null for a new one */
  constructor(prefix, task) {
    this.#task = task;
    const id = (/** @type {string} */ name) => `${prefix}-${name}`;
    const given = { required: true, maxlength: 200, autocomplete: "off", placeholder: "What is to be done?" };
    this.title = element("input", { "aria-label": "Title", class: "title", ...given });
    this.description = element("textarea", { id: id("description"), rows: 2 });
    this.due = element("input", { id: id("due"), type: "date" });
    const priorities = new Set([...PRIORITIES, task?.priority ?? "medium"]);
    this.priority = element("select", { id: id("priority") }, ...[...priorities].map((word) => element("option", { value: word }, word)));
    this.tags = element("input", { id: id("tags"), placeholder: "home, garden", autocomplete: "off" });
    this.category = element("input", { id: id("category"), maxlength: 50, autocomplete: "off" });
    const pairs = { Due: this.due, Priority: this.priority, Tags: this.tags, Category: this.category, Description: this.description };
    const labelled = Object.entries(pairs).flatMap(([label, control]) => [element("label", { for: control.id }, label), control]);
    this.grid = element("div", { class: "grid" }, ...labelled);
    this.fill();
  }

  /** Show the task's fields. */
  fill() {
    const { title = "", description = null, due_date: due = null, priority = "medium", tags = [], category = null } = this.#task ?? {};
    this.title.value = title;
    this.description.value = description ?? "";
    this.due.value = due?.slice(0, 10) ?? "";
    this.priority.value = priority;
    this.tags.value = tags.join(", ");
    this.category.value = category ?? "";
  }

  /**
   * Return the values of the controls. A due date keeps its time of day while its day is not changed.
   * @returns {Data & Record<string, unknown>}
   */
  data() {
    const due = this.#task?.due_date ?? null;
    const words = this.tags.value.split(",").map((word) => word.trim());
    return {
      title: this.title.value,
      description: this.description.value || null,
      due_date: this.due.value === (due?.slice(0, 10) ?? "") ? due : this.due.value || null,
      priority: this.priority.value,
      tags: words.filter((word) => word !== ""),
      category: this.category.value || null,
    };
  }
}
