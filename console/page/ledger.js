/** A user's whole history in memory, and the tasks as they were at any position of it. */

/** @typedef {import("./client/openapi.js").components["schemas"]["StoredEvent"]} StoredEvent */
/** @typedef {import("./words.js").FieldChange} FieldChange */
/** @typedef {{id: number, title: string, completed: boolean} & Record<string, unknown>} PastTask */

/** A task before anything was set: an event leaves out a field that has this value from the start. */
const BLANK = { title: "", description: null, due_date: null, priority: "medium", tags: [], category: null, completed: false };
const ERASED = "[erased]";

/** An event, with its task before it and after it; null where there is none. */
export class Past {
  #metadata;

  /** @param {StoredEvent} stored @param {PastTask | null} before @param {PastTask | null} after */
  constructor({ position, task_id, type, recorded_at, metadata }, before, after) {
    this.position = position;
    this.task = task_id;
    this.type = type;
    this.at = Date.parse(recorded_at);
    this.before = before;
    this.after = after;
    this.#metadata = metadata;
  }

  /** What the event changed. */
  get changes() {
    const [before, after] = [this.before ?? BLANK, this.after ?? BLANK].map((task) => /** @type {Record<string, unknown>} */ (task));
    return Object.keys(BLANK)
      .map((field) => /** @type {FieldChange} */ ({ field, from: before?.[field], to: after?.[field] }))
      .filter(({ from, to }) => JSON.stringify(from) !== JSON.stringify(to));
  }

  /** The position of what an undo took back, else null. */
  get undoes() {
    return /** @type {number | null} */ (parsed(this.#metadata).undoes ?? null);
  }
}

export class Ledger {
  /** @type {Past[]} */
  events = [];
  /** @type {Map<number, Past[]>} the events of each task */
  #stories = new Map();
  /** @type {Past[]} the first event of each task */
  #first = [];
  /** @type {number[]} how many tasks there were at each position */
  #counts = [0];

  /** @param {StoredEvent[]} events the next ones */
  add(events) {
    for (const stored of events) {
      const story = this.#storyOf(stored.task_id);
      const before = story.at(-1)?.after ?? null;
      const past = new Past(stored, before, afterwards(stored, before, story));
      if (story.push(past) === 1 && past.task !== null) this.#first.push(past);
      this.#counts.push((this.#counts.at(-1) ?? 0) + Number(past.after !== null) - Number(before !== null));
      this.events.push(past);
    }
  }

  /** The last position. */
  get last() {
    return this.events.length;
  }

  /**
   * Return the event at a position, null before the first one.
   * @param {number} position
   */
  event(position) {
    return this.events[position - 1] ?? null;
  }

  /**
   * Return how many tasks there were at a position.
   * @param {number} position
   */
  count(position) {
    return this.#counts[position] ?? 0;
  }

  /**
   * Return the tasks at a position, the newest first.
   * @param {number} position
   * @param {number} most
   */
  newest(position, most) {
    const found = [];
    for (let n = firstAfter(this.#first, placeOf, position) - 1; n >= 0 && found.length < most; n -= 1) {
      const story = this.story(/** @type {Past} */ (this.#first[n]).task);
      const task = story[firstAfter(story, placeOf, position) - 1]?.after;
      if (task) found.push(task);
    }
    return found;
  }

  /**
   * Return the events of a task.
   * @param {number | null} id
   * @returns {readonly Past[]}
   */
  story(id) {
    return (id !== null && this.#stories.get(id)) || [];
  }

  /**
   * Return the position of the last event at or before a moment.
   * @param {number} at milliseconds
   */
  positionAt(at) {
    return firstAfter(this.events, (event) => event.at, at);
  }

  /** @param {number | null} id @returns {Past[]} */
  #storyOf(id) {
    if (id === null) return [];
    const story = this.#stories.get(id) ?? [];
    if (story.length === 0) this.#stories.set(id, story);
    return story;
  }
}

/**
 * Return an event's task after it, null where there is none.
 * @param {StoredEvent} event
 * @param {PastTask | null} before
 * @param {Past[]} story the task's events so far
 * @returns {PastTask | null}
 */
function afterwards({ type, task_id: id, data }, before, story) {
  switch (type) {
    case "task.created":
    case "task.adopted": {
      const { completed_at, created_at, updated_at, ...fields } = data === null ? { title: ERASED } : parsed(data);
      return { ...BLANK, ...fields, id: Number(id), completed: Boolean(completed_at) };
    }
    case "task.edited":
      return before && { ...before, ...parsed(data) };
    case "task.completed":
    case "task.reopened":
      return before && { ...before, completed: type === "task.completed" };
    case "task.deleted":
      return null;
    case "task.restored":
      return story.at(-1)?.before ?? null; // before its deletion
    default:
      return before;
  }
}

/** @param {string | null} text an object in JSON @returns {Record<string, unknown>} empty if it is none */
function parsed(text) {
  try {
    return Object(JSON.parse(text ?? "{}"));
  } catch {
    return {};
  }
}

/**
 * Return the title of an event's task there; null for an event of the whole history.
 * @param {Past} event
 */
export function titleOf({ task, before, after }) {
  return task === null ? null : ((after ?? before)?.title ?? `task ${task}`);
}

/** @param {Past} event */
const placeOf = ({ position }) => position;

/**
 * Return the index of the first item above a limit, of items in order.
 * @template Item
 * @param {readonly Item[]} items
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
