/** The history of one task: what each event changed, and a button that restores each earlier state. */

import { changesTable } from "./changes.js";
import { button, complain, element, toast } from "./dom.js";
import { titleOf } from "./ledger.js";
import { readable, said } from "./words.js";

/** @typedef {import("./client/replica.js").Replica} Replica */
/** @typedef {import("./ledger.js").PastTask} PastTask */

/**
 * Return the history of a task.
 * @param {import("./ledger.js").Ledger} ledger
 * @param {Replica} replica
 * @param {number} id
 * @param {(position: number) => void} go
 * @returns {HTMLElement[]}
 */
export function storyOf(ledger, replica, id, go) {
  const events = [...ledger.story(id)].reverse();
  const lines = events.map((event, n) => {
    const { after, changes } = event;
    const when = element("time", { datetime: new Date(event.at).toISOString() }, readable(event.at));
    const where = button(`Position ${event.position}`, () => go(event.position), { class: "link" });
    const restore = button("Restore it like this", () => restoreAs(replica, /** @type {PastTask} */ (after), event.position));
    return element(
      "li",
      {},
      element("div", { class: "event-head" }, element("strong", {}, said(event, titleOf(event))), element("span", { class: "hint" }, where, " · ", when)),
      changes.length > 0 ? changesTable(changes) : "",
      after !== null && n > 0 ? restore : "",
    );
  });
  const title = events[0] && titleOf(events[0]);
  return [element("h2", { tabindex: -1 }, title ?? `Task ${id}`), element("ol", { class: "story" }, ...lines)];
}

/**
 * Restore a task to its state at a position. Up to two commands are sent in order, now or once there is a connection.
 * @param {Replica} replica
 * @param {PastTask} task
 * @param {number} position
 */
function restoreAs(replica, { id, title, completed, description, due_date, priority, tags, category }, position) {
  const isThere = replica.tasks().some((task) => task.id === id);
  const fields = { title, completed, description: description ?? null, due_date: due_date ?? null, priority: priority ?? null, tags: tags ?? [], category: category ?? null };
  const restoring = isThere ? Promise.resolve(null) : replica.restore(id);
  const editing = replica.edit(id, /** @type {Record<string, unknown>} */ (fields));
  Promise.all([restoring, editing]).then(() => toast(`“${title}” is as it was at position ${position}.`), complain);
}
