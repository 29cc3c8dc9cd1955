/** One task in the list: to complete, to edit in its place, to delete. */

import { dueText, isOverdue } from "./choice.js";
import { element, icon, iconButton } from "./dom.js";
import { editForm } from "./task_form.js";

/** @typedef {import("./client/client.js").Task} Task */

/**
 * @typedef {object} Does what a line asks for
 * @property {(task: Task, completed: boolean) => void} complete
 * @property {(task: Task, changed: Record<string, unknown>) => void} edit
 * @property {(task: Task) => void} remove
 */

export class TaskLine {
  #task;
  #does;
  #box = element("input", { type: "checkbox", onchange: () => this.#does.complete(this.#task, this.#box.checked) });
  #title = element("button", { type: "button", class: "title", onclick: () => this.#edit() });
  #more = element("div", { class: "more" });
  #history = element("a", { class: "icon", title: "History" }, icon("history"));
  #delete = iconButton("Delete", "trash", () => this.#remove());
  #parts = [
    this.#box,
    element("div", { class: "what" }, this.#title, this.#more),
    element("div", { class: "buttons" }, this.#history, this.#delete),
  ];

  /** @param {Task} task @param {Does} does */
  constructor(task, does) {
    this.#does = does;
    this.#task = task;
    this.node = element("li", {}, ...this.#parts);
    this.update(task);
  }

  /** @param {Task} task */
  update(task) {
    this.#task = task;
    const { title, completed, description } = task;
    this.node.className = completed ? "task done" : "task";
    this.#box.checked = completed;
    this.#box.setAttribute("aria-label", title);
    this.#title.textContent = title;
    this.#title.setAttribute("aria-label", `Edit ${title}`);
    this.#history.href = `#time?task=${task.id}`;
    this.#history.hidden = task.id < 0; // the service does not have it yet
    this.#history.setAttribute("aria-label", `History of ${title}`);
    this.#delete.setAttribute("aria-label", `Delete ${title}`);
    const about = description ? [element("p", {}, description)] : [];
    const facts = factsOf(task);
    this.#more.replaceChildren(...about, ...(facts.length > 0 ? [element("div", { class: "facts" }, ...facts)] : []));
  }

  /** Put the form in the line's place. */
  #edit() {
    const close = () => {
      this.node.replaceChildren(...this.#parts);
      this.#title.focus();
    };
    const save = (/** @type {Record<string, unknown>} */ changed) => {
      if (Object.keys(changed).length > 0) this.#does.edit(this.#task, changed);
      close();
    };
    const form = editForm(this.#task, save, close);
    this.node.replaceChildren(form);
    form.querySelector("input")?.focus();
  }

  /** Delete the task, and give the focus to the line that takes its place. */
  #remove() {
    const neighbour = this.node.nextElementSibling ?? this.node.previousElementSibling;
    this.#does.remove(this.#task);
    neighbour?.querySelector("input")?.focus();
  }
}

/** @param {Task} task */
function factsOf(task) {
  const { due_date: due, priority, category, tags } = task;
  const late = isOverdue(task, Date.now());
  const facts = [];
  if (due) facts.push(element("span", { class: late ? "overdue" : "due" }, `${late ? "overdue since" : "due"} ${dueText(due)}`));
  if (priority !== "medium") facts.push(element("span", { class: `priority ${priority.toLowerCase()}` }, priority));
  if (category) facts.push(element("span", { class: "category" }, category));
  return [...facts, ...tags.map((tag) => element("span", { class: "tag" }, tag))];
}
