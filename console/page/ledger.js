/** A user's whole history in memory, and the tasks as they were at any position of it. */

/** @typedef {import("./client/openapi.js").components["schemas"]["HistoryEvent"]} HistoryEvent */
/** @typedef {import("./client/openapi.js").components["schemas"]["FieldChange"]} FieldChange */
/** @typedef {{position: number, task: number | null, type: string, at: number, changes: FieldChange[], undoes: number | null}} Past */
/** @typedef {{id: number, title: string, completed: boolean} & Record<string, unknown>} PastTask */

/** The events that a task can begin with: created here, or adopted from another backend. */
const BEGINNINGS = new Set(["task.created", "task.adopted"]);

export class Ledger {
  /** @type {Past[]} */
  events = [];
  /** @type {Map<number, PastTask>} the tasks at `position` */
  tasks = new Map();
  position = 0;
  /** @type {{id: number, position: number}[]} the creation of each task */
  #created = [];

  /** @param {HistoryEvent[]} events the next ones */
  add(events) {
    for (const { position, task_id: task, type, recorded_at, changes, undoes } of events) {
      this.events.push({ position, task, type, at: Date.parse(recorded_at), changes, undoes });
      if (BEGINNINGS.has(type) && task !== null) this.#created.push({ id: task, position });
    }
  }

  /** The last position. */
  get last() {
    return this.events.length;
  }

  /** The event at the position, null before the first one. */
  get event() {
    return this.events[this.position - 1] ?? null;
  }

  /**
   * Go to a position; this applies or takes back each event in between.
   * @param {number} position
   */
  goTo(position) {
    const wanted = Math.max(0, Math.min(position, this.last));
    while (this.position < wanted) forward(this.tasks, this.#at(++this.position));
    while (this.position > wanted) back(this.tasks, this.#at(this.position--));
  }

  /**
   * Return the tasks at the position, the newest first.
   * @param {number} most
   */
  newest(most) {
    const found = [];
    for (let n = firstAfter(this.#created, ({ position }) => position, this.position) - 1; n >= 0 && found.length < most; n -= 1) {
      const task = this.tasks.get(/** @type {{id: number}} */ (this.#created[n]).id);
      if (task !== undefined) found.push(task);
    }
    return found;
  }

  /**
   * Return the events of a task, each with the task after it, null once it is deleted.
   * @param {number} id
   */
  story(id) {
    /** @type {Map<number, PastTask>} */
    const tasks = new Map();
    return this.events.filter(({ task }) => task === id).map((event) => {
      const before = tasks.get(id);
      forward(tasks, event);
      return { event, title: (tasks.get(id) ?? before)?.title ?? null, task: tasks.get(id) ?? null };
    });
  }

  /**
   * Return the position of the last event at or before a moment.
   * @param {number} at milliseconds
   */
  positionAt(at) {
    return firstAfter(this.events, (event) => event.at, at);
  }

  /** @param {number} position */
  #at(position) {
    return /** @type {Past} */ (this.events[position - 1]);
  }
}

/** @param {Map<number, PastTask>} tasks @param {Past} event */
function forward(tasks, { type, task, changes }) {
  if (task === null) return;
  if (type === "task.deleted") tasks.delete(task);
  else set(tasks, task, changes, "to");
}

/** @param {Map<number, PastTask>} tasks @param {Past} event */
function back(tasks, { type, task, changes }) {
  if (task === null) return;
  if (BEGINNINGS.has(type) || type === "task.restored") tasks.delete(task);
  else set(tasks, task, changes, "from");
}

/** @param {Map<number, PastTask>} tasks @param {number} id @param {FieldChange[]} changes @param {"from" | "to"} side */
function set(tasks, id, changes, side) {
  const values = Object.fromEntries(changes.map((change) => [change.field, change[side]]));
  tasks.set(id, { id, title: "", completed: false, ...tasks.get(id), ...values });
}

/**
 * Return the task that a deletion removed, as it was before.
 * @param {Past} event
 */
export function removed(event) {
  /** @type {Map<number, PastTask>} */
  const tasks = new Map();
  back(tasks, event);
  return event.task === null ? undefined : tasks.get(event.task);
}

/**
 * Return the index of the first item above a limit, of items in order.
 * @template Item
 * @param {Item[]} items
 * @param {(item: Item) => number} measure
 * @param {number} limit
 */
function firstAfter(items, measure, limit) {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (measure(/** @type {Item} */ (items[middle])) <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
