/** Chooses and sorts tasks as the lists of the API do, among those that the page has. */

import { dates } from "./words.js";

/** @typedef {import("./client/client.js").Task} Task */

/**
 * @typedef {object} Choice
 * @property {string} search every word of it occurs in title, description, tags or category
 * @property {string} status all, pending or completed
 * @property {string} priority "" for any
 * @property {string} tag "" for any
 * @property {string} sort
 */

export const PRIORITIES = ["low", "medium", "high", "urgent"];

const RANKS = new Map([["low", 1], ["p3", 1], ["medium", 2], ["p2", 2], ["high", 3], ["p1", 3], ["urgent", 4], ["critical", 4]]);
const DAY = 86_400_000; // milliseconds
const DATE = dates({ dateStyle: "medium", timeZone: "UTC" });
const TIME = dates({ dateStyle: "medium", timeStyle: "short" });

/** @type {Map<string, (one: Task, other: Task) => number>} */
const ORDERS = new Map([
  ["title", (one, other) => one.title.localeCompare(other.title)],
  ["priority", (one, other) => rank(other) - rank(one)],
  ["updated", (one, other) => other.updated_at.localeCompare(one.updated_at)],
  ["due", (one, other) => dueAt(one) - dueAt(other)],
]);

/**
 * Return the chosen tasks, in the chosen order.
 * @param {readonly Task[]} tasks the newest first
 * @param {Choice} choice
 */
export function chosen(tasks, { search, status, priority, tag, sort }) {
  const words = folded(search).split(/\s+/).filter((word) => word !== "");
  const found = tasks.filter(
    (task) =>
      (status === "all" || task.completed === (status === "completed")) &&
      (priority === "" || rank(task) === RANKS.get(priority)) &&
      (tag === "" || task.tags.some((one) => folded(one) === folded(tag))) &&
      (words.length === 0 || containsAll(task, words)),
  );
  const order = ORDERS.get(sort);
  return order ? found.sort((one, other) => order(one, other) || one.id - other.id) : found;
}

/** @param {Task} task */
const rank = (task) => RANKS.get(task.priority.toLowerCase()) ?? 0;

/** @param {string} of */
const folded = (of) => of.normalize("NFKC").toLowerCase();

/** @param {Task} task @param {string[]} words */
function containsAll(task, words) {
  const text = folded([task.title, task.description ?? "", task.category ?? "", ...task.tags].join("\n"));
  return words.every((word) => text.includes(word));
}

/** @param {Task} task the moment in milliseconds, a large one for none */
const dueAt = (task) => (task.due_date === null ? Number.MAX_SAFE_INTEGER : moment(task.due_date));

/** @param {string} due a time without a zone is UTC, as in the API */
const moment = (due) => Date.parse(due.length === 10 || /T.*(Z|[-+]\d\d:?\d\d)$/.test(due) ? due : `${due}Z`);

/**
 * Whether a task should have been done by now.
 * @param {Task} task
 * @param {number} now milliseconds
 */
export function isOverdue({ completed, due_date: due }, now) {
  return !completed && due !== null && moment(due) + (due.length === 10 ? DAY : 0) <= now;
}

/** @param {string} due as people read it */
export function dueText(due) {
  return (due.length === 10 ? DATE : TIME)(new Date(moment(due)));
}
