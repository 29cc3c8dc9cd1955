/** The whole history as a line, and the list as it was at any position of it. */

import { changesTable } from "./changes.js";
import { Chart } from "./chart.js";
import { element, icon, iconButton } from "./dom.js";
import { Ledger, removed } from "./ledger.js";
import { pages } from "./pages.js";
import { PastLine } from "./past_line.js";
import { Rows } from "./rows.js";
import { storyOf } from "./story.js";
import { counted, readable, said } from "./words.js";

/** @typedef {import("./ledger.js").PastTask} PastTask */
/** @typedef {import("./past_line.js").Shown} Shown */

const MOST_SHOWN = 200;
const PLAY_STEP = 80; // milliseconds
const LONGEST_PLAY = 300; // steps

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
  #loading = false;
  #drawing = 0;
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
    iconButton("Back", "back", () => this.#go(this.#ledger.position - 1)),
    this.#play,
    iconButton("Forth", "forth", () => this.#go(this.#ledger.position + 1)),
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
    };
  }

  /** Read the events that are not here yet. */
  async #load() {
    if (this.#loading) return;
    this.#loading = true;
    const ledger = this.#ledger;
    const { signal } = this.#ending;
    try {
      for await (const { events, head } of pages(this.#given.client, ledger.last, signal)) {
        const follows = ledger.position === ledger.last;
        ledger.add(events);
        this.slider.max = String(ledger.last);
        this.#where.textContent = `Loading: ${ledger.last.toLocaleString("en")} of ${counted(head.position, "event")}`;
        if (follows) ledger.goTo(ledger.last);
      }
      this.chart.draw();
      this.#go(ledger.position);
      if (this.#told !== 0) this.#showStory();
    } catch (problem) {
      if (!signal.aborted) this.#where.textContent = problem instanceof Error ? problem.message : String(problem);
    }
    this.#loading = false;
  }

  /** @param {number} position */
  #go(position) {
    this.#ledger.goTo(position);
    this.slider.value = String(this.#ledger.position);
    this.#drawing ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#drawing = 0;
    const { event, tasks, position, last } = this.#ledger;
    this.chart.mark();
    this.#where.textContent = `${position.toLocaleString("en")} of ${last.toLocaleString("en")}${event ? ` · ${readable(event.at)}` : ""}`;
    this.slider.setAttribute("aria-valuetext", this.#where.textContent);
    this.#drawMoment();
    this.#rows.show(this.#lines());
    this.more.textContent = tasks.size > MOST_SHOWN ? `The newest ${MOST_SHOWN} of ${counted(tasks.size, "task")}.` : tasks.size === 0 ? "There was no task." : "";
  }

  /** Say what happened at the position. */
  #drawMoment() {
    const { event, tasks } = this.#ledger;
    if (event === null) return this.moment.replaceChildren(element("h2", {}, this.#ledger.last === 0 ? "Nothing has happened yet" : "Before the first event"));
    const title = event.changes.find(({ field }) => field === "title");
    const name = event.task === null ? null : String(tasks.get(event.task)?.title ?? title?.from ?? title?.to ?? `task ${event.task}`);
    const step = element("a", { href: `#step?position=${event.position}` }, "Step through");
    this.moment.replaceChildren(element("h2", {}, said(event, name)), event.changes.length > 0 ? changesTable(event.changes) : "", step);
  }

  /** Return the lines of the tasks at the position, with a mark on the task that the event there changed or removed. */
  #lines() {
    const { event, tasks } = this.#ledger;
    const found = this.#ledger.newest(MOST_SHOWN);
    const changed = event?.task ? (tasks.get(event.task) ?? removed(event)) : undefined;
    if (changed !== undefined && !found.includes(changed)) found.unshift(changed);
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
    const { position, last } = this.#ledger;
    if (this.#playing === 0) {
      if (position === last) this.#go(0);
      const by = Math.max(1, Math.ceil(last / LONGEST_PLAY));
      this.#playing = setInterval(() => (this.#ledger.position < last ? this.#go(this.#ledger.position + by) : this.#toggle()), PLAY_STEP);
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
