/**
 * A replica of a user's tasks. It follows the stream of changes, shows commands before the service has answered them,
 * and sends each of them once, in order, also after a reload or without a network for a while.
 *
 * What it shows is the tasks as the service last sent them, with the commands on top that these do not contain yet.
 */

import { MOST_COMMANDS, nextBatch } from "./batch.js";
import { Problem, uuid } from "./client.js";
import { ownCopy } from "./copy.js";
import { Listeners } from "./listeners.js";
import { shown } from "./optimistic.js";
import { memoryQueue, ownQueue } from "./queue.js";
import { isFinal, isTemporary, pauseAfter, Waits } from "./retry.js";

/** @typedef {import("./client.js").Task} Task */
/** @typedef {import("./client.js").Changes} Changes */
/** @typedef {import("./client.js").CommandResult} CommandResult */
/** @typedef {import("./client.js").Schemas} Schemas */
/** @typedef {import("./queue.js").Waiting} Waiting */
/** @typedef {import("./optimistic.js").Given} Given */

/**
 * @typedef {object} State
 * @property {boolean} ready whether the tasks have arrived once
 * @property {boolean} kept whether the tasks are those that were kept in this browser, because none have arrived yet
 * @property {boolean} live whether the stream is open
 * @property {number} waiting how many commands the service has not answered
 * @property {unknown} problem why the service was last not reached, null if it is
 */

const KEPT = 20 * 3_600_000; // milliseconds for which the service surely knows a command by its id
const PATIENCE = 300; // milliseconds before kept tasks are shown in place of the service's
const KEPT_AFTER = 1_000; // milliseconds after all tasks have arrived
const LONGEST_HOLD = 5_000; // milliseconds that changes wait for the answer to a creation

export class Replica {
  #client;
  #queue = memoryQueue();
  /** @type {Promise<import("./copy.js").Copy | null>} */
  #copy = Promise.resolve(null);
  /** @type {Map<number, Task>} the tasks as the service last sent them */
  #sent = new Map();
  /** @type {Map<number, Task> | null} the tasks that arrive while the replica starts anew */
  #arriving = new Map();
  /** @type {string | null} */
  #token = null;
  #position = 0; // of the tasks that were sent, -1 while the replica starts anew
  #starts = 0; // how often it started anew
  /** @type {Given[]} */
  #given = [];
  /** @type {Map<number, number>} the ids of created tasks by the ids under which they were shown first */
  #ids = new Map();
  #lastLocal = 0;
  /** @type {Map<number, string>} the refs of the commands that create the tasks shown under these ids */
  #refs = new Map();
  /** @type {readonly Task[] | null} */
  #shown = null;
  /** @type {Omit<State, "waiting">} */
  #standing = { ready: false, kept: false, live: false, problem: null };
  /** @type {State | null} */
  #state = null;
  #listeners = new Listeners();
  #closing = new AbortController();
  #sending = false;
  #creating = false; // whether a call that creates tasks is on its way
  #waits = new Waits(this.#closing.signal); // until the network is back, or the replica is closed, at the latest

  /** @param {import("./client.js").Tasklog} client */
  constructor(client) {
    this.#client = client;
  }

  /**
   * Open a replica: take up the commands of an earlier page, and follow the changes.
   * @param {import("./client.js").Tasklog} client
   * @param {{queue?: import("./queue.js").Queue, copy?: import("./copy.js").Copy | null}} [options] else in IndexedDB
   */
  static async open(client, { queue, copy } = {}) {
    const replica = new Replica(client);
    void replica.#follow();
    void replica.#showKept(copy);
    replica.#queue = queue ?? (await ownQueue(client.root));
    for (const kept of await replica.#queue.load()) {
      const waiting = { ...kept, local: kept.local && (replica.#lastLocal -= 1) };
      replica.#add({ waiting, resolve: () => {}, reject: () => {}, answer: null });
    }
    globalThis.addEventListener?.("online", replica.#waits.end);
    replica.#changed();
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
    if (this.#state === null) {
      const waiting = this.#given.reduce((number, { answer }) => number + (answer === null ? 1 : 0), 0);
      this.#state = { ...this.#standing, waiting };
    }
    return this.#state;
  }

  /**
   * Call a listener after every change: at once, and once more if others follow in the same turn of the event loop.
   * @param {() => void} listener
   * @returns {() => void} end it
   */
  subscribe(listener) {
    return this.#listeners.add(listener);
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

  /** Remove the tasks that are kept in this browser, as for a sign-out. Commands that wait stay. */
  removeCopy = async () => (await this.#copy)?.replace([]);

  /** End the replica. Commands that wait stay in the queue for the next one. */
  close() {
    globalThis.removeEventListener?.("online", this.#waits.end);
    this.#closing.abort();
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
      this.#add(given);
      this.#changed();
      this.#keep(waiting).then(this.#send, (problem) => this.#refuse(given, problem));
    });
  }

  /** @param {Given} given */
  #add(given) {
    const { local, command } = given.waiting;
    this.#given.push(given);
    if (local !== 0 && command.ref !== undefined) this.#refs.set(local, command.ref);
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
    return this.#ids.get(id) ?? this.#refs.get(id) ?? id;
  }

  /** Show the tasks that this browser has kept, until all have arrived. @param {import("./copy.js").Copy | null} [copy] */
  async #showKept(copy) {
    const opened = () => (copy === undefined ? ownCopy(this.#client.root) : copy);
    this.#copy = this.#waits.wait(PATIENCE).then(opened); // mostly all tasks arrive first
    const kept = await this.#copy;
    const tasks = this.#standing.ready ? [] : ((await kept?.load().catch(() => [])) ?? []);
    if (tasks.length === 0 || this.#standing.ready) return;
    this.#sent = new Map(tasks.map((task) => [task.id, task]));
    this.#changed({ kept: true });
  }

  async #follow() {
    let failures = 0;
    let pause = 0;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      // What was answered before a stream is asked for is in its first changes, or lost: an older ledger was restored.
      for (const { answer } of this.#given) if (answer !== null) answer.position = 0;
      try {
        const retry = (/** @type {number} */ wait) => (pause = wait);
        for await (const changes of this.#client.stream({ since: this.#token, signal, retry })) {
          failures = 0;
          // Changes may arrive before the answer to a creation. Wait for it: it tells which task is shown already.
          if (this.#creating) await this.#waits.wait(LONGEST_HOLD);
          this.#take(changes);
        }
      } catch (problem) {
        failures += 1;
        if (problem instanceof Problem && problem.status === 410 && this.#token !== null) this.#startAnew();
        else this.#set({ live: false, problem });
        pause = Math.max(pause, pauseAfter(failures, problem));
      }
      this.#set({ live: false });
      await this.#waits.wait(pause || pauseAfter(0));
      pause = 0;
    }
  }

  /** Keep all tasks for a visit without the service, as soon as they had time to be drawn. */
  async #keepAll() {
    await this.#waits.wait(KEPT_AFTER);
    if (!this.#closing.signal.aborted) await (await this.#copy)?.replace(this.#sent.values()).catch(() => {});
  }

  /** Forget the token: the service no longer knows it. The old tasks are shown until all new ones are there. */
  #startAnew() {
    this.#token = null;
    this.#position = -1;
    this.#starts += 1;
    this.#arriving = new Map();
  }

  /** @param {Changes} changes */
  #take({ token, position, more, tasks, deleted }) {
    const all = this.#arriving;
    const into = all ?? this.#sent;
    for (const task of tasks) into.set(task.id, task);
    for (const id of deleted) into.delete(id);
    this.#token = token;
    if (all === null) void this.#copy.then((copy) => copy?.change(tasks, deleted)).catch(() => {});
    if (!more) {
      if (all !== null) void this.#keepAll();
      this.#sent = into;
      this.#position = position;
      this.#arriving = null;
      this.#given = this.#given.filter(({ answer }) => answer === null || answer.position > position);
      this.#changed({ ready: true, kept: false, live: true, problem: null });
    } else this.#changed();
  }

  /** Send what waits, a call at a time, until nothing waits. */
  #send = async () => {
    if (this.#sending) return;
    this.#sending = true;
    let most = MOST_COMMANDS;
    let failures = 0;
    for (let batch; !this.#closing.signal.aborted && (batch = nextBatch(this.#given, most)).length > 0; ) {
      try {
        if (await this.#dropSettled(batch)) continue;
        const again = await this.#call(batch);
        most = MOST_COMMANDS;
        failures = again ? failures + 1 : 0;
        if (again) await this.#waits.wait(pauseAfter(failures));
      } catch (problem) {
        if (isFinal(problem)) {
          // The call as a whole is refused: find the command that is at fault.
          if (batch.length === 1) await this.#refuse(/** @type {[Given]} */ (batch)[0], problem);
          most = Math.max(1, Math.floor(batch.length / 2));
          continue;
        }
        failures += 1;
        this.#set({ problem });
        await this.#waits.wait(pauseAfter(failures, problem));
      }
    }
    this.#sending = false;
  };

  /**
   * Send commands and take their answers, and return whether some commands have to be sent again.
   * @param {Given[]} batch
   */
  async #call(batch) {
    const starts = this.#starts;
    this.#creating = batch.some(({ waiting }) => waiting.local !== 0);
    try {
      const { results, receipt } = await this.#client.commands(batch.map(({ waiting }) => waiting.command));
      // If the replica started anew meanwhile, the answer may be of a history that is gone: only the stream tells.
      return await this.#settle(batch, results, starts === this.#starts ? receipt.position : 0);
    } finally {
      if (this.#creating) this.#waits.end();
      this.#creating = false;
    }
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
      if (given === undefined || isTemporary(result)) break; // it, and what may refer to it, are sent again
      settled.push(given);
      const { waiting, resolve, reject } = given;
      if ("problem" in result) {
        reject(new Problem(result.status, result.problem));
        continue;
      }
      const { task } = result;
      given.answer = { position, id: task?.id ?? result.deleted ?? 0, task };
      if (waiting.local && task) this.#ids.set(waiting.local, task.id);
      resolve(task);
    }
    this.#drop(settled.filter(({ answer }) => answer === null || answer.position <= this.#position));
    await this.#forget(settled);
    this.#changed({ problem: null });
    return settled.length < batch.length;
  }

  /** @param {Given} given @param {unknown} problem */
  async #refuse(given, problem) {
    this.#drop([given]);
    await this.#forget([given]);
    this.#changed();
    given.reject(problem);
  }

  /** @param {Given[]} settled */
  #drop(settled) {
    const gone = new Set(settled);
    this.#given = this.#given.filter((given) => !gone.has(given));
    for (const { waiting } of settled) this.#refs.delete(waiting.local);
  }

  /**
   * Drop the old commands that another page has settled since, and return whether there were some: the service may have
   * forgotten them, and would carry them out again.
   * @param {Given[]} batch
   */
  async #dropSettled(batch) {
    const old = batch.filter(({ waiting }) => Date.now() - Date.parse(waiting.at) > KEPT);
    if (old.length === 0) return false;
    const kept = new Set((await this.#queue.load()).map(({ n }) => n));
    const settled = old.filter(({ waiting }) => !kept.has(waiting.n));
    this.#drop(settled);
    for (const { resolve } of settled) resolve(null);
    this.#changed();
    return settled.length > 0;
  }

  /**
   * Take commands out of the queue, and name the tasks that they created by their ids in the commands that wait.
   * @param {Given[]} settled
   */
  async #forget(settled) {
    const renamed = [];
    /** @type {Map<unknown, number>} the ids of created tasks by their refs */
    const created = new Map();
    for (const { waiting, answer } of settled) if (waiting.local && answer) created.set(waiting.command.ref, answer.id);
    for (const { waiting, answer } of this.#given) {
      const id = created.get(waiting.command.task);
      if (answer !== null || id === undefined) continue;
      waiting.command = { ...waiting.command, task: id };
      if (waiting.n !== 0) renamed.push(waiting);
    }
    const gone = settled.map(({ waiting }) => waiting.n);
    await this.#queue.change(gone, renamed);
  }

  /** @param {Partial<State>} [change] */
  #changed(change) {
    this.#shown = this.#state = null;
    this.#standing = { ...this.#standing, ...change };
    this.#listeners.tell();
  }

  /** @param {Partial<State>} change */
  #set(change) {
    const next = { ...this.#standing, ...change };
    const same = next.ready === this.#standing.ready && next.live === this.#standing.live;
    if (same && next.problem === this.#standing.problem) return;
    this.#standing = next;
    this.#state = null;
    this.#listeners.tell();
  }
}
