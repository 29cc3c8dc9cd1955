/**
 * Where a replica keeps commands until the service has answered them: in IndexedDB, so that they survive a reload, or
 * in memory.
 */

/**
 * @typedef {object} Command a command as `POST /commands` takes it
 * @property {string} id its own, made once: the service carries out a command with this id once
 * @property {string} type
 * @property {number | string} [task] the task's id, or the `ref` of the command that creates it
 * @property {string} [ref]
 * @property {number} [if_match]
 * @property {Record<string, unknown>} [data]
 */

/**
 * @typedef {object} Waiting a command in the queue
 * @property {number} n its place
 * @property {number} local the id under which the replica shows a task that it creates; 0 for other commands
 * @property {string} at when it was given, RFC 3339
 * @property {Command} command
 */

/**
 * @typedef {object} Queue
 * @property {() => Promise<Waiting[]>} load return all commands, the oldest first
 * @property {(waiting: Omit<Waiting, "n">) => Promise<number>} add keep a command, and return its place
 * @property {(remove: number[], put: Waiting[]) => Promise<void>} change remove and replace commands, all or none
 */

/**
 * Return a queue that lasts as long as the page.
 * @returns {Queue}
 */
export function memoryQueue() {
  /** @type {Map<number, Waiting>} */
  const kept = new Map();
  let last = 0;
  return {
    load: async () => [...kept.values()],
    add: async (waiting) => {
      last += 1;
      kept.set(last, { ...waiting, n: last });
      return last;
    },
    change: async (remove, put) => {
      for (const n of remove) kept.delete(n);
      for (const waiting of put) kept.set(waiting.n, waiting);
    },
  };
}

/**
 * Return a queue in IndexedDB. Pages with the same name share it.
 * @param {string} name
 * @returns {Promise<Queue>}
 */
export async function indexedQueue(name) {
  const opening = indexedDB.open(name, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("commands", { keyPath: "n", autoIncrement: true });
  const database = await done(opening);
  const store = () => database.transaction("commands", "readwrite").objectStore("commands");
  /** @type {IDBObjectStore | null} what is given in one turn of the event loop shares a transaction */
  let adding = null;
  const shared = () => {
    if (adding === null) queueMicrotask(() => (adding = null));
    return (adding ??= store());
  };
  return {
    load: () => done(store().getAll()),
    add: async ({ local, at, command }) => Number(await done(shared().add({ local, at, command }))),
    change: (remove, put) => {
      const commands = store();
      for (const n of remove) commands.delete(n);
      for (const waiting of put) commands.put(waiting);
      return over(commands.transaction);
    },
  };
}

/**
 * Return the queue that a user's replicas share in this browser, or one in memory if there is no IndexedDB.
 * @param {string} root
 */
export async function ownQueue(root) {
  try {
    return await indexedQueue(`tasklog ${root}`);
  } catch {
    return memoryQueue();
  }
}

/**
 * Return the result of a request of IndexedDB.
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
export function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * Wait until a transaction of IndexedDB has ended.
 * @param {IDBTransaction} transaction
 * @returns {Promise<void>}
 */
export function over(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}
