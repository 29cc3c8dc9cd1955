/**
 * Where a replica keeps the tasks as the service last sent them: in IndexedDB, so that they can be shown again before the
 * service answers, or without it. It is a copy for the eye only: each stream begins with all tasks, and replaces it.
 */

import { done, over } from "./queue.js";

/** @typedef {import("./client.js").Task} Task */

/**
 * @typedef {object} Copy
 * @property {() => Promise<Task[]>} load
 * @property {(tasks: Iterable<Task>) => Promise<void>} replace keep these tasks and no others
 * @property {(tasks: Task[], deleted: number[]) => Promise<void>} change
 */

const STORE = "tasks";
const AT_A_TIME = 100; // tasks that are written before anything else may run

/**
 * Return a copy in IndexedDB. Pages with the same name share it; each of them writes the same.
 * @param {string} name
 * @returns {Promise<Copy>}
 */
export async function indexedCopy(name) {
  const opening = indexedDB.open(name, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "id" });
  const database = await done(opening);
  const store = () => database.transaction(STORE, "readwrite").objectStore(STORE);
  return {
    load: () => done(store().getAll()),
    replace: async (tasks) => {
      const into = store();
      into.clear();
      let n = 0;
      for (const task of tasks) {
        const put = into.put(task);
        if ((n += 1) % AT_A_TIME === 0) await done(put);
      }
      await over(into.transaction);
    },
    change: (tasks, deleted) => {
      const into = store();
      for (const task of tasks) into.put(task);
      for (const id of deleted) into.delete(id);
      return over(into.transaction);
    },
  };
}

/**
 * Return the copy that a user's replicas share in this browser, or null if there is no IndexedDB.
 * @param {string} root
 */
export async function ownCopy(root) {
  try {
    return await indexedCopy(`tasklog tasks ${root}`);
  } catch {
    return null;
  }
}
