/**
 * Who is called when something changes.
 */

export class Listeners {
  /** @type {Set<() => void>} */
  #all = new Set();
  #told = false; // whether they were called in this turn of the event loop
  #again = false; // whether something changed since

  /**
   * Call a listener from now on.
   * @param {() => void} listener
   * @returns {() => void} end it
   */
  add(listener) {
    this.#all.add(listener);
    return () => void this.#all.delete(listener);
  }

  /** Call all: at once for the first change, and once for all that follow in the same turn of the event loop. */
  tell() {
    this.#again = this.#told;
    if (this.#told) return;
    this.#told = true;
    queueMicrotask(() => {
      this.#told = false;
      if (this.#again) this.tell();
    });
    for (const listener of this.#all) listener();
  }
}
