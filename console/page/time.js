/** The whole history as a line, and the list as it was at any position of it. */

import { changesTable } from "./changes.js";
import { Chart } from "./chart.js";
import { element, icon, iconButton } from "./dom.js";
import { Ledger, titleOf } from "./ledger.js";
import { contentsOf, pages } from "./pages.js";
import { PastLine } from "./past_line.js";
import { Rows } from "./rows.js";
import { storyOf } from "./story.js";
import { counted, readable, said } from "./words.js";

/** @typedef {import("./ledger.js").Past} Past */
/** @typedef {import("./past_line.js").Shown} Shown */

const MOST_SHOWN = 200; // lines
const FIRST_SHOWN = 30; // lines that follow each movement; the others follow at its end
const MOVEMENT_ENDS = 150; // milliseconds after its last step
const PLAY_STEP = 80; // milliseconds
const LONGEST_PLAY = 300; // steps
const REDRAWN = 300; // milliseconds between drawings while the history is loaded

/**
 * Show the history, and return a function that ends it.
 * @param {HTMLElement} view
 * @param {import("./app.js").Given} given
 */
export function showTime(view, given) {
  const time = new Time(given);
  view.className = "wide";
  view.replaceChildren(
    element("h1", {}, "Time"),
    element("section", { class: "card timeline", "aria-label": "Timeline" }, time.chart.node, time.slider, time.controls),
    element("div", { class: "past" }, time.moment, element("div", { class: "list" }, time.list, time.more), time.story),
  );
  return time.start();
}

class Time {
  #given;
  #ledger = new Ledger();
  #ending = new AbortController();
  #position = 0;
  #left = 0; // events to load
  #loading = false;
  #again = false;
  #drawing = 0;
  #resting = 0;
  #playing = 0;
  #told = 0;
  /** @type {Map<number, Shown>} the lines by task */
  #shown = new Map();
  chart = new Chart(this.#ledger, (position) => this.#go(position));
  slider = element("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Position", oninput: () => this.#go(this.slider.valueAsNumber) });
  #where = element("span", { class: "where" });
  #play = iconButton("Play", "play", () => this.#toggle());
  controls = element(
    "div",
    { class: "bar controls" },
    iconButton("First", "first", () => this.#go(0)),
    iconButton("Back", "back", () => this.#go(this.#position - 1)),
    this.#play,
    iconButton("Forth", "forth", () => this.#go(this.#position + 1)),
    iconButton("Now", "last", () => this.#go(this.#ledger.last)),
    this.#where,
  );
  moment = element("section", { class: "card moment", "aria-label": "What happened there" });
  list = element("ul", { class: "tasks", "aria-label": "Tasks at this position" });
  more = element("p", { class: "hint" });
  story = element("section", { class: "card history", "aria-label": "History of a task" }, element("p", { class: "hint" }, "Choose a task to see its history."));
  #rows = new Rows(this.list, (/** @type {Shown} */ { task }) => task.id, (shown) => new PastLine(shown, (id) => this.#tell(id)));

  /** @param {import("./app.js").Given} given */
  constructor(given) {
    this.#given = given;
  }

  /** Read the history and follow it; return a function that ends it. */
  start() {
    const { replica, query } = this.#given;
    const end = replica.subscribe(() => void this.#load());
    void this.#load().then(() => {
      if (query.has("position")) this.#go(Number(query.get("position")));
      if (query.has("task")) this.#tell(Number(query.get("task")));
    });
    return () => {
      end();
      this.#ending.abort();
      clearInterval(this.#playing);
      cancelAnimationFrame(this.#drawing);
      clearTimeout(this.#resting);
    };
  }

  /** Read the events that are not here yet; read on if more came meanwhile. */
  async #load() {
    this.#again = this.#loading;
    if (this.#loading) return;
    this.#loading = true;
    const ledger = this.#ledger;
    const { signal } = this.#ending;
    try {
      let [end, drawn] = [ledger.last, 0];
      for await (const { bytes, next, last } of pages(this.#given.client, ledger.last, signal)) {
        ledger.add(contentsOf(bytes).events);
        if (next !== null && performance.now() - drawn < REDRAWN) continue;
        this.#left = next === null ? 0 : last - ledger.last;
        this.slider.max = String(ledger.last);
        this.chart.draw();
        this.#go(this.#position === end ? ledger.last : this.#position);
        [end, drawn] = [ledger.last, performance.now()];
      }
      if (this.#told !== 0) this.#showStory();
    } catch (problem) {
      if (!signal.aborted) this.#where.textContent = problem instanceof Error ? problem.message : String(problem);
    }
    this.#loading = false;
    if (this.#again) await this.#load();
  }

  /** @param {number} position */
  #go(position) {
    this.#position = Math.max(0, Math.min(position, this.#ledger.last));
    this.slider.value = String(this.#position);
    this.#drawing ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#drawing = 0;
    const position = this.#position;
    const [event, tasks, last] = [this.#ledger.event(position), this.#ledger.count(position), this.#ledger.last];
    this.chart.mark(position);
    const left = this.#left > 0 ? `, ${this.#left.toLocaleString("en")} to load` : "";
    this.#where.textContent = `${position.toLocaleString("en")} of ${last.toLocaleString("en")}${left}${event ? ` · ${readable(event.at)}` : ""}`;
    this.slider.setAttribute("aria-valuetext", this.#where.textContent);
    this.#drawMoment(event);
    this.#rows.show(this.#lines(event, FIRST_SHOWN));
    clearTimeout(this.#resting);
    this.#resting = setTimeout(() => this.#rows.show(this.#lines(event, MOST_SHOWN)), MOVEMENT_ENDS);
    this.more.textContent = tasks > MOST_SHOWN ? `The newest ${MOST_SHOWN} of ${counted(tasks, "task")}.` : tasks === 0 ? "There was no task." : "";
  }

  /**
   * Say what happened at the position.
   * @param {Past | null} event
   */
  #drawMoment(event) {
    if (event === null) return this.moment.replaceChildren(element("h2", {}, this.#ledger.last === 0 ? "Nothing has happened yet" : "Before the first event"));
    const { changes } = event;
    const step = element("a", { href: `#step?position=${event.position}` }, "Step through");
    this.moment.replaceChildren(element("h2", {}, said(event, titleOf(event))), changes.length > 0 ? changesTable(changes) : "", step);
  }

  /**
   * Return the lines of the tasks at the position, with a mark on the task that the event there changed or removed: it is
   * among the first ones.
   * @param {Past | null} event
   * @param {number} most
   */
  #lines(event, most) {
    let found = this.#ledger.newest(this.#position, most);
    const changed = event?.after ?? event?.before;
    if (changed && !found.slice(0, FIRST_SHOWN).includes(changed)) found = [changed, ...found.filter((task) => task !== changed)];
    const before = this.#shown;
    this.#shown = new Map();
    for (const task of found) {
      const marks = task === changed ? event : null;
      const same = before.get(task.id);
      this.#shown.set(task.id, same?.task === task && same.marks === marks ? same : { task, marks });
    }
    return [...this.#shown.values()];
  }

  #toggle() {
    clearInterval(this.#playing);
    const { last } = this.#ledger;
    if (this.#playing === 0) {
      if (this.#position === last) this.#go(0);
      const by = Math.max(1, Math.ceil(last / LONGEST_PLAY));
      this.#playing = setInterval(() => (this.#position < this.#ledger.last ? this.#go(this.#position + by) : this.#toggle()), PLAY_STEP);
    } else this.#playing = 0;
    const [label, name] = this.#playing ? /** @type {const} */ (["Pause", "pause"]) : /** @type {const} */ (["Play", "play"]);
    this.#play.replaceChildren(icon(name));
    this.#play.title = label;
    this.#play.setAttribute("aria-label", label);
  }

  /** @param {number} id */
  #tell(id) {
    this.#told = id;
    this.#showStory();
    this.story.querySelector("h2")?.focus({ preventScroll: true });
    this.story.scrollIntoView({ block: "nearest" });
  }

  #showStory() {
    this.story.replaceChildren(...storyOf(this.#ledger, this.#given.replica, this.#told, (position) => this.#go(position)));
  }
}
