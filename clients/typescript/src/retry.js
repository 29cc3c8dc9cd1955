/**
 * When a replica tries again, and when a command has no chance.
 */

import { Problem } from "./client.js";

const FIRST_PAUSE = 500; // milliseconds before the second try
const LONGEST_PAUSE = 30_000;
const LATER = ["/problems/request-in-progress", "/problems/contended-task"];

/**
 * Return how long to wait before the next try, in milliseconds: twice as long each time, and spread at random.
 * @param {number} failures 0 after a connection that ended without one
 * @param {unknown} [problem]
 */
export function pauseAfter(failures, problem) {
  const asked = problem instanceof Problem && problem.retryAfter !== null ? problem.retryAfter * 1000 : 0;
  const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.max(0, failures - 1));
  return Math.max(asked, pause * (0.5 + Math.random() / 2));
}

/**
 * Whether a call was refused for what it says, so that to repeat it is no use. Everything else may be right again later:
 * a token, the network, a proxy without the service behind it, or a release without this call.
 * @param {unknown} problem
 */
export function isFinal(problem) {
  return problem instanceof Problem && (problem.status === 413 || problem.status === 422);
}

/**
 * Whether the result of a command is for now only; another page may be sending it at this moment.
 * @param {import("./client.js").CommandResult} result
 */
export function isTemporary(result) {
  const type = "problem" in result ? result.problem.type : "";
  return result.status === 429 || result.status >= 500 || LATER.includes(type);
}

/** Waits that can be ended early, all together, and for ever by a signal. */
export class Waits {
  /** @type {Set<() => void>} */
  #waiting = new Set();
  #closing;

  /** @param {AbortSignal} closing */
  constructor(closing) {
    this.#closing = closing;
    closing.addEventListener("abort", () => this.end());
  }

  /**
   * Wait, until `end` at the latest.
   * @param {number} milliseconds
   * @returns {Promise<void>}
   */
  wait(milliseconds) {
    return new Promise((resolve) => {
      if (this.#closing.aborted) return resolve();
      const over = () => {
        clearTimeout(timer);
        this.#waiting.delete(over);
        resolve();
      };
      const timer = setTimeout(over, milliseconds);
      this.#waiting.add(over);
    });
  }

  end = () => {
    for (const over of this.#waiting) over();
  };
}
