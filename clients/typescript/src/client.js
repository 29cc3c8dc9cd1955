/**
 * The calls of Tasklog's REST API. Each method is one call: it resolves to the answer's JSON, and rejects with a
 * `Problem` for every answer that is an error.
 */

import { events } from "./stream.js";

/** @typedef {import("./openapi.js").components["schemas"]} Schemas */
/** @typedef {Schemas["Task"]} Task */
/** @typedef {Schemas["ChangedTasks"]} Changes */
/** @typedef {Schemas["CommandDone"] | Schemas["CommandRefused"]} CommandResult */
/** @typedef {import("./openapi.js").operations["read_tasks"]["parameters"]["query"]} ListQuery */

/**
 * @typedef {object} Receipt what the answer to a write proves
 * @property {number} position the user's position after the write
 * @property {string} hash the hash of the chain there, hex
 */

/**
 * @typedef {object} Options
 * @property {string} url where the service is, like `https://tasks.example.org`
 * @property {string} user the user's id
 * @property {string | ((refused: boolean) => string | Promise<string>)} token the bearer token, or a function that
 *   returns it. It is called with true after the service refused the last one: then fetch a new one
 * @property {typeof fetch} [fetch]
 */

/**
 * @typedef {object} Call
 * @property {Record<string, string | number | boolean | string[] | null | undefined>} [query]
 * @property {unknown} [body]
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 */

/** Milliseconds without a byte after which a stream is taken for dead: three heartbeats. */
const SILENCE = 45_000;

/** An answer that is an error (RFC 9457). `message` is its `detail`, one sentence for people. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {Partial<Schemas["Problem"]>} body
   * @param {number | null} [retryAfter] seconds, if the service named them
   */
  constructor(status, body, retryAfter = null) {
    super(body.detail ?? `The service answered ${status}`);
    this.name = "Problem";
    this.status = status;
    this.type = body.type ?? "about:blank";
    this.errors = body.errors ?? [];
    this.body = body;
    this.retryAfter = retryAfter;
  }
}

export class Tasklog {
  #fetch;
  #token;
  #root;

  /** @param {Options} options */
  constructor({ url, user, token, fetch: fetcher = (...call) => fetch(...call) }) {
    this.user = user;
    this.#root = `${url.replace(/\/+$/, "")}/api/${encodeURIComponent(user)}`;
    this.#token = typeof token === "string" ? () => token : token;
    this.#fetch = fetcher;
  }

  /** Where the user's resources are. */
  get root() {
    return this.#root;
  }

  /** @param {ListQuery} [query] @returns {Promise<Task[]>} */
  tasks = (query) => this.json("GET", "/tasks", { query });

  /** @param {number} id @returns {Promise<Task>} */
  get = (id) => this.json("GET", `/tasks/${id}`);

  /** @param {Schemas["CreateTaskBody"]} body @param {{key?: string}} [options] @returns {Promise<Task>} */
  create = (body, { key } = {}) => this.json("POST", "/tasks", { body, headers: { "Idempotency-Key": key ?? uuid() } });

  /** @param {number} id @param {Schemas["EditTaskBody"]} body @returns {Promise<Task>} */
  edit = (id, body) => this.json("PATCH", `/tasks/${id}`, { body });

  /** @param {number} id @param {boolean} completed @returns {Promise<Task>} */
  complete = (id, completed = true) => this.json("PATCH", `/tasks/${id}/complete`, { body: { completed } });

  /** @param {number} id @returns {Promise<Schemas["TaskDeleted"]>} */
  delete = (id) => this.json("DELETE", `/tasks/${id}`);

  /** @param {number} id @returns {Promise<Task>} */
  restore = (id) => this.json("POST", `/tasks/${id}/restore`);

  /** @param {{limit?: number, cursor?: string}} [query] @returns {Promise<Schemas["DeletedTask"][]>} */
  trash = (query) => this.json("GET", "/trash", { query });

  /** @returns {Promise<Schemas["Stats"]>} */
  stats = () => this.json("GET", "/stats");

  /**
   * @param {number} [position] the newest change that is not undone yet, if left out
   * @returns {Promise<Schemas["Undone"]>}
   */
  undo = (position) => this.json("POST", "/undo", position === undefined ? {} : { body: { position } });

  /** @param {Record<string, string | number>} [query] @returns {Promise<Schemas["History"]>} */
  history = (query) => this.json("GET", "/history", { query });

  /** @param {number} id @param {Record<string, string | number>} [query] @returns {Promise<Schemas["History"]>} */
  taskHistory = (id, query) => this.json("GET", `/tasks/${id}/history`, { query });

  /** @param {{after?: number, limit?: number}} [query] @returns {Promise<Schemas["StoredEvents"]>} */
  events = (query) => this.json("GET", "/events", { query });

  /** @param {number} position @returns {Promise<Schemas["Explained"]>} */
  explain = (position) => this.json("GET", `/events/${position}/explain`);

  /** @param {{since?: string, limit?: number, wait?: number}} [query] @returns {Promise<Changes>} */
  changes = (query) => this.json("GET", "/changes", { query });

  /**
   * Carry out up to 100 commands in order.
   * @param {import("./queue.js").Command[]} commands
   * @returns {Promise<{token: string | null, results: CommandResult[], receipt: Receipt}>}
   */
  async commands(commands) {
    const answer = await this.call("POST", "/commands", { body: { commands } });
    return { ...(await answer.json()), receipt: receipt(answer) };
  }

  /**
   * Yield what changes, first of all what changed since a token; ends when the connection does.
   * @param {{since?: string | null, signal?: AbortSignal, retry?: (milliseconds: number) => void}} [options]
   * @returns {AsyncGenerator<Changes, void, void>}
   */
  async *stream({ since, signal, retry } = {}) {
    const silence = new AbortController();
    const cut = () => silence.abort(new DOMException("The stream fell silent", "TimeoutError"));
    let timer = setTimeout(cut, SILENCE);
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(cut, SILENCE);
    };
    const stop = () => silence.abort(signal?.reason);
    signal?.addEventListener("abort", stop);
    try {
      signal?.throwIfAborted();
      const answer = await this.call("GET", "/changes/stream", { query: { since }, signal: silence.signal });
      if (answer.body === null) return;
      for await (const { data } of events(answer.body, { heard, retry })) yield JSON.parse(data);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      silence.abort();
    }
  }

  /**
   * Make a call and return its JSON.
   * @param {string} method
   * @param {string} path below the user's resources
   * @param {Call} [options]
   */
  async json(method, path, options) {
    return (await this.call(method, path, options)).json();
  }

  /**
   * Make a call, with a new token if the first one is refused, and return its answer.
   * @param {string} method
   * @param {string} path below the user's resources
   * @param {Call} [options]
   * @returns {Promise<Response>}
   */
  async call(method, path, options = {}) {
    let answer = await this.#send(method, path, options, await this.#token(false));
    if (answer.status === 401) {
      await answer.body?.cancel();
      answer = await this.#send(method, path, options, await this.#token(true));
    }
    if (answer.ok) return answer;
    throw await problem(answer);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {Call} options
   * @param {string} token
   */
  #send(method, path, { query = {}, body, headers = {}, signal }, token) {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== undefined && one !== null) search.append(name, String(one));
      }
    }
    const sent = new Headers({ ...headers, Authorization: `Bearer ${token}` });
    if (body !== undefined) sent.set("Content-Type", "application/json");
    return this.#fetch(this.#root + path + (search.size > 0 ? `?${search}` : ""), {
      method,
      headers: sent,
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ?? null,
      cache: "no-store",
    });
  }
}

/** Return a random id for a command. Unlike crypto.randomUUID, it is there on pages without TLS, too. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {Response} answer @returns {Receipt} */
function receipt(answer) {
  return {
    position: Number(answer.headers.get("Tasklog-Position")),
    hash: answer.headers.get("Tasklog-Hash") ?? "",
  };
}

/** @param {Response} answer @returns {Promise<Problem>} */
async function problem(answer) {
  const after = Number(answer.headers.get("Retry-After") ?? Number.NaN);
  const body = await answer.json().catch(() => ({}));
  return new Problem(answer.status, body, Number.isNaN(after) ? null : after);
}
