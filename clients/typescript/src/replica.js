/**
 * A replica of a user's tasks. It follows the stream of changes, shows commands before the service has answered them,
 * and sends each of them once, in order, also after a reload or without a network for a while.
 *
 * What it shows is the tasks as the service last sent them, with the commands on top that these do not contain yet.
 */

import { Problem, uuid } from "./client.js";
import { shown } from "./optimistic.js";
import { memoryQueue, ownQueue } from "./queue.js";

/** @typedef {import("./client.js").Task} Task */
/** @typedef {import("./client.js").Changes} Changes */
/** @typedef {import("./client.js").CommandResult} CommandResult */
/** @typedef {import("./client.js").Schemas} Schemas */
/** @typedef {import("./queue.js").Waiting} Waiting */
/** @typedef {import("./optimistic.js").Given} Given */

/**
 * @typedef {object} State
 * @property {boolean} ready whether the tasks have arrived once
 * @property {boolean} live whether the stream is open
 * @property {number} waiting how many commands the service has not answered
 * @property {unknown} problem why the service was last not reached, null if it is
 */

const MOST_COMMANDS = 100; // in a call
const MOST_BYTES = 900_000; // in a call, of the 1 MiB that the service takes
const FIRST_PAUSE = 500; // milliseconds before the second try
const LONGEST_PAUSE = 30_000;
const LONGEST_HOLD = 5_000; // milliseconds that changes wait for the answer to a creation

export class Replica {
  #client;
  #queue = memoryQueue();
  /** @type {Map<number, Task>} the tasks as the service last sent them */
  #sent = new Map();
  /** @type {Map<number, Task> | null} the tasks that arrive while the replica starts anew */
  #arriving = new Map();
  /** @type {string | null} */
  #token = null;
  #position = 0;
  /** @type {Given[]} */
  #given = [];
  /** @type {Map<number, number>} the ids of created tasks by the ids under which they were shown first */
  #ids = new Map();
  #lastLocal = 0;
  /** @type {readonly Task[] | null} */
  #shown = null;
  /** @type {State} */
  #state = { ready: false, live: false, waiting: 0, problem: null };
  /** @type {Set<() => void>} */
  #listeners = new Set();
  #closing = new AbortController();
  #sending = false;
  #creating = false; // whether a call that creates tasks is on its way
  /** @type {Set<() => void>} */
  #sleepers = new Set();
  #wake = () => {
    for (const wake of this.#sleepers) wake();
  };

  /** @param {import("./client.js").Tasklog} client */
  constructor(client) {
    this.#client = client;
  }

  /**
   * Open a replica: take up the commands of an earlier page, and follow the changes.
   * @param {import("./client.js").Tasklog} client
   * @param {{queue?: import("./queue.js").Queue}} [options] in IndexedDB where there is one, if left out
   */
  static async open(client, { queue } = {}) {
    const replica = new Replica(client);
    replica.#queue = queue ?? (await ownQueue(client.root));
    for (const kept of await replica.#queue.load()) {
      const waiting = { ...kept, local: kept.local && (replica.#lastLocal -= 1) };
      replica.#given.push({ waiting, resolve: () => {}, reject: () => {}, answer: null });
    }
    globalThis.addEventListener?.("online", replica.#wake);
    replica.#changed();
    void replica.#follow();
    void replica.#send();
    return replica;
  }

  /** Return all tasks, the newest first: the same array until something changes. */
  tasks() {
    this.#shown ??= Object.freeze(shown(this.#sent, this.#given, this.#ids, this.#client.user));
    return this.#shown;
  }

  /** Return how the replica stands: the same object until something changes. */
  state() {
    return this.#state;
  }

  /**
   * Call a listener after every change.
   * @param {() => void} listener
   * @returns {() => void} end it
   */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Each command is shown at once. Its promise resolves to the task as the service has it, and rejects with a `Problem`
   * if the service refused it; then it is no longer shown.
   * @param {Schemas["CreateTaskBody"]} data
   */
  create = (data) => this.#give("task.create", 0, data);

  /** @param {number} id @param {Schemas["EditTaskBody"]} data */
  edit = (id, data) => this.#give("task.edit", id, data);

  /** @param {number} id */
  complete = (id) => this.#give("task.complete", id);

  /** @param {number} id */
  reopen = (id) => this.#give("task.reopen", id);

  /** @param {number} id */
  delete = (id) => this.#give("task.delete", id);

  /** @param {number} id */
  restore = (id) => this.#give("task.restore", id);

  /** End the replica. Commands that wait stay in the queue for the next one. */
  close() {
    globalThis.removeEventListener?.("online", this.#wake);
    this.#closing.abort();
    this.#wake();
  }

  /**
   * @param {string} type
   * @param {number} id
   * @param {Record<string, unknown>} [data]
   * @returns {Promise<Task | null>}
   */
  #give(type, id, data) {
    const local = type === "task.create" ? (this.#lastLocal -= 1) : 0;
    const own = uuid();
    const command = { id: own, type, ...(local ? { ref: own } : { task: this.#named(id) }), ...(data && { data }) };
    const waiting = { n: 0, local, at: new Date().toISOString(), command };
    return new Promise((resolve, reject) => {
      const given = { waiting, resolve, reject, answer: null };
      this.#given.push(given);
      this.#changed();
      this.#keep(waiting).then(this.#send, (problem) => this.#refuse(given, problem));
    });
  }

  /** @param {Waiting} waiting */
  async #keep(waiting) {
    const { command } = waiting;
    waiting.n = await this.#queue.add(waiting);
    if (waiting.command !== command) await this.#queue.change([], [waiting]); // renamed in between
  }

  /**
   * Return how a command names a task: by its id, or by the command that creates it.
   * @param {number} id
   */
  #named(id) {
    if (id >= 0) return id;
    return this.#ids.get(id) ?? this.#given.find(({ waiting }) => waiting.local === id)?.waiting.command.ref ?? id;
  }

  async #follow() {
    let failures = 0;
    let pause = 0;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        const retry = (/** @type {number} */ wait) => (pause = wait);
        for await (const changes of this.#client.stream({ since: this.#token, signal, retry })) {
          failures = 0;
          // Changes may arrive before the answer to a creation. Wait for it: it tells which task is shown already.
          if (this.#creating) await this.#sleep(LONGEST_HOLD);
          this.#take(changes);
        }
      } catch (problem) {
        if (problem instanceof Problem && problem.status === 410 && this.#token !== null) {
          this.#startAnew();
          continue;
        }
        failures += 1;
        this.#set({ live: false, problem });
        pause = Math.max(pause, pauseAfter(failures, problem));
      }
      this.#set({ live: false });
      await this.#sleep(pause);
      pause = 0;
    }
  }

  /** Forget the token: the service no longer knows it. The old tasks are shown until all new ones are there. */
  #startAnew() {
    this.#token = null;
    this.#position = 0;
    this.#arriving = new Map();
  }

  /** @param {Changes} changes */
  #take({ token, position, more, tasks, deleted }) {
    const into = this.#arriving ?? this.#sent;
    for (const task of tasks) into.set(task.id, task);
    for (const id of deleted) into.delete(id);
    this.#token = token;
    this.#position = position;
    if (!more) {
      this.#sent = into;
      this.#arriving = null;
      this.#given = this.#given.filter(({ answer }) => answer === null || answer.position > position);
      this.#set({ ready: true, live: true, problem: null });
    }
    this.#changed();
  }

  /** Send what waits, a call at a time, until nothing waits. */
  #send = async () => {
    if (this.#sending) return;
    this.#sending = true;
    let most = MOST_COMMANDS;
    let failures = 0;
    const { signal } = this.#closing;
    for (let batch; !signal.aborted && (batch = this.#batch(most)).length > 0; ) {
      try {
        const { results, receipt } = await this.#call(batch);
        const again = await this.#settle(batch, results, receipt.position);
        most = MOST_COMMANDS;
        failures = again ? failures + 1 : 0;
        if (again) await this.#sleep(pauseAfter(failures, null));
      } catch (problem) {
        if (isFinal(problem)) {
          // The call as a whole is refused: find the command that is at fault.
          if (batch.length === 1) await this.#refuse(/** @type {[Given]} */ (batch)[0], problem);
          most = Math.max(1, Math.floor(batch.length / 2));
          continue;
        }
        failures += 1;
        this.#set({ problem });
        await this.#sleep(pauseAfter(failures, problem));
      }
    }
    this.#sending = false;
  };

  /** @param {Given[]} batch */
  async #call(batch) {
    this.#creating = batch.some(({ waiting }) => waiting.local !== 0);
    try {
      return await this.#client.commands(batch.map(({ waiting }) => waiting.command));
    } finally {
      if (this.#creating) this.#wake(); // after its answer is settled
      this.#creating = false;
    }
  }

  /**
   * Return the next commands for a call: those that are kept and not answered, the oldest first.
   * @param {number} most
   */
  #batch(most) {
    /** @type {Given[]} */
    const batch = [];
    let bytes = 0;
    for (const given of this.#given) {
      if (given.answer !== null) continue;
      bytes += new TextEncoder().encode(JSON.stringify(given.waiting.command)).length;
      if (given.waiting.n === 0 || batch.length === most || (batch.length > 0 && bytes > MOST_BYTES)) break;
      batch.push(given);
    }
    return batch;
  }

  /**
   * Take the service's answers, and return whether some commands have to be sent again.
   * @param {Given[]} batch
   * @param {CommandResult[]} results
   * @param {number} position
   */
  async #settle(batch, results, position) {
    const settled = [];
    for (const [index, result] of results.entries()) {
      const given = batch[index];
      if (given === undefined || isTemporary(result.status)) break; // it, and what may refer to it, are sent again
      settled.push(given);
      const { waiting, resolve, reject } = given;
      if ("problem" in result) {
        this.#drop(given);
        reject(new Problem(result.status, result.problem));
        continue;
      }
      const { task } = result;
      given.answer = { position, id: task?.id ?? result.deleted ?? 0, task };
      if (waiting.local && task) this.#ids.set(waiting.local, task.id);
      if (position <= this.#position) this.#drop(given);
      resolve(task);
    }
    await this.#forget(settled);
    this.#set({ problem: null });
    this.#changed();
    return settled.length < batch.length;
  }

  /** @param {Given} given @param {unknown} problem */
  async #refuse(given, problem) {
    this.#drop(given);
    await this.#forget([given]);
    this.#changed();
    given.reject(problem);
  }

  /** @param {Given} given */
  #drop(given) {
    this.#given = this.#given.filter((other) => other !== given);
  }

  /**
   * Take commands out of the queue, and name the tasks that they created by their ids in the commands that wait.
   * @param {Given[]} settled
   */
  async #forget(settled) {
    const renamed = [];
    for (const { waiting, answer } of this.#given) {
      const { task } = waiting.command;
      const creator = settled.find(({ waiting: { local, command } }) => local !== 0 && command.ref === task);
      if (answer !== null || !creator?.answer) continue;
      waiting.command = { ...waiting.command, task: creator.answer.id };
      if (waiting.n !== 0) renamed.push(waiting);
    }
    await this.#queue.change(
      settled.map(({ waiting }) => waiting.n),
      renamed,
    );
  }

  #changed() {
    this.#shown = null;
    const waiting = this.#given.filter(({ answer }) => answer === null).length;
    this.#state = { ...this.#state, waiting };
    for (const listener of this.#listeners) listener();
  }

  /** @param {Partial<State>} change */
  #set(change) {
    const next = { ...this.#state, ...change };
    const same = next.ready === this.#state.ready && next.live === this.#state.live;
    if (same && next.problem === this.#state.problem) return;
    this.#state = next;
    for (const listener of this.#listeners) listener();
  }

  /**
   * Wait, until the network is back or the replica is closed at the latest.
   * @param {number} milliseconds
   */
  async #sleep(milliseconds) {
    if (this.#closing.signal.aborted) return;
    await new Promise((resolve) => {
      const timer = setTimeout(wake, milliseconds);
      const sleepers = this.#sleepers;
      function wake() {
        clearTimeout(timer);
        sleepers.delete(wake);
        resolve(undefined);
      }
      sleepers.add(wake);
    });
  }
}

/**
 * Return how long to wait before the next try, in milliseconds: twice as long each time, and spread at random.
 * @param {number} failures
 * @param {unknown} problem
 */
function pauseAfter(failures, problem) {
  const asked = problem instanceof Problem && problem.retryAfter !== null ? problem.retryAfter * 1000 : 0;
  const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1));
  return Math.max(asked, pause * (0.5 + Math.random() / 2));
}

/**
 * Whether a call was refused for what it says, so that to repeat it is no use.
 * @param {unknown} problem
 */
function isFinal(problem) {
  const waits = [401, 403, 408, 425]; // a token, or the network, may be right again later
  return problem instanceof Problem && !isTemporary(problem.status) && !waits.includes(problem.status);
}

/** @param {number} status */
function isTemporary(status) {
  return status === 429 || status >= 500;
}
