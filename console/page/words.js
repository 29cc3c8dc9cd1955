/** What events and values are called for people. */

/** @typedef {import("./client/openapi.js").components["schemas"]["FieldChange"]} FieldChange */

export const NOTHING = "–";

const MOMENT = dates({ dateStyle: "medium", timeStyle: "medium" });
const DAY = dates({ dateStyle: "medium" });

/** @type {Map<string, string>} */
const VERBS = new Map([
  ["task.created", "Added"],
  ["task.adopted", "Moved in"],
  ["task.edited", "Changed"],
  ["task.completed", "Completed"],
  ["task.reopened", "Reopened"],
  ["task.deleted", "Deleted"],
  ["task.restored", "Restored"],
  ["stream.erased", "Erased all text"],
]);

/** @type {Map<string, string>} */
const FIELDS = new Map([
  ["due_date", "due"],
  ["completed", "done"],
]);

/**
 * Return what an event did, in a few words.
 * @param {{type: string, changes: FieldChange[], undoes: number | null}} event
 * @param {string | null} title of its task
 */
export function said({ type, changes, undoes }, title) {
  const what = [VERBS.get(type) ?? type];
  if (title !== null) what.push(`“${title}”`);
  if (type === "task.edited") what.push(`(${changes.map(({ field }) => fieldName(field)).join(", ")})`);
  if (undoes !== null) what.push(`– takes back ${undoes}`);
  return what.join(" ");
}

/** @param {string} name of a field */
export function fieldName(name) {
  return FIELDS.get(name) ?? name.replaceAll("_", " ");
}

/**
 * Return a value of a field.
 * @param {unknown} value
 */
export function shown(value) {
  if (value === null || value === undefined || value === "") return NOTHING;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.join(", ") || NOTHING;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/**
 * Return a moment as people read it.
 * @param {string | number} at RFC 3339, or milliseconds
 */
export function readable(at) {
  return MOMENT(new Date(at));
}

/** @param {number} at milliseconds */
export function day(at) {
  return DAY(new Date(at));
}

/**
 * Return a number with its noun.
 * @param {number} number
 * @param {string} noun
 */
export function counted(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/**
 * Return a function that writes dates. The format is made at its first use, and kept: to make one takes longer than to
 * use it many times.
 * @param {Intl.DateTimeFormatOptions} options
 * @returns {(at: Date) => string}
 */
export function dates(options) {
  /** @type {Intl.DateTimeFormat | undefined} */
  let format;
  return (at) => (format ??= new Intl.DateTimeFormat(undefined, options)).format(at);
}
