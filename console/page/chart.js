/** The chart of the whole history: how many events there were over time, with a colour for each kind. */

import { drawing, element } from "./dom.js";
import { counted, day } from "./words.js";

/** @typedef {import("./ledger.js").Ledger} Ledger */

const BARS = 160;
const HEIGHT = 100;
const KINDS = ["created", "edited", "completed", "reopened", "restored", "deleted", "erased"];
const LABELS = ["added", "changed", "completed", "reopened", "restored", "deleted", "erased"];
/** The kind of each type of event; a task that was adopted was added too. */
const KIND_OF = new Map([["task.adopted", 0], ["stream.erased", 6], ...KINDS.map((kind, n) => /** @type {const} */ ([`task.${kind}`, n]))]);

export class Chart {
  #ledger;
  #bars = drawing("g");
  #mark = element("div", { class: "here" });
  #svg = drawing("svg", { viewBox: `0 0 ${BARS} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, this.#bars);
  #from = element("span");
  #to = element("span");
  #legend = element("ul", { class: "legend", "aria-label": "Kinds of events" });
  node = element("div", { class: "chart" }, element("div", { class: "plot" }, this.#svg, this.#mark), element("div", { class: "axis" }, this.#from, this.#to), this.#legend);

  /**
   * @param {Ledger} ledger
   * @param {(position: number) => void} go called with the position where the chart is pressed
   */
  constructor(ledger, go) {
    this.#ledger = ledger;
    const press = (/** @type {PointerEvent} */ event) => {
      if (event.buttons !== 1) return;
      const { left, width } = this.#svg.getBoundingClientRect();
      const { first, span } = this.#time();
      go(ledger.positionAt(first + ((event.clientX - left) / width) * span));
    };
    for (const type of /** @type {const} */ (["pointerdown", "pointermove"])) this.#svg.addEventListener(type, press);
  }

  /** Draw all events. */
  draw() {
    const { first, span } = this.#time();
    const { events } = this.#ledger;
    const bars = Array.from({ length: BARS }, () => KINDS.map(() => 0));
    const totals = KINDS.map(() => 0);
    for (const { at, type } of events) {
      const kind = KIND_OF.get(type);
      const bar = bars[Math.min(BARS - 1, Math.max(0, Math.floor(((at - first) / span) * BARS)))];
      if (bar === undefined || kind === undefined) continue;
      bar[kind] = (bar[kind] ?? 0) + 1;
      totals[kind] = (totals[kind] ?? 0) + 1;
    }
    this.#bars.replaceChildren(...paths(bars));
    this.#from.textContent = events.length > 0 ? day(first) : "";
    this.#to.textContent = events.length > 0 ? day(first + span) : "";
    this.#svg.setAttribute("aria-label", `${counted(events.length, "event")}${events.length > 0 ? ` from ${day(first)} to ${day(first + span)}` : ""}`);
    const used = totals.flatMap((total, kind) => (total > 0 ? [element("li", { class: KINDS[kind] }, `${total.toLocaleString("en")} ${LABELS[kind]}`)] : []));
    this.#legend.replaceChildren(...used);
  }

  /**
   * Mark the moment of a position.
   * @param {number} position
   */
  mark(position) {
    const { first, span } = this.#time();
    const share = ((this.#ledger.event(position)?.at ?? first) - first) / span;
    this.#mark.style.transform = `translateX(calc(${share} * (100% - 2px)))`; // moved without drawing the chart again
  }

  #time() {
    const { events } = this.#ledger;
    const first = events[0]?.at ?? 0;
    return { first, span: Math.max(1, (events.at(-1)?.at ?? 0) - first) };
  }
}

/**
 * Return a path for each kind: its parts of all bars, which stand on each other.
 * @param {number[][]} bars
 */
function paths(bars) {
  const highest = Math.max(1, ...bars.map((bar) => bar.reduce((sum, part) => sum + part, 0)));
  const tops = bars.map(() => HEIGHT);
  return KINDS.map((kind, n) => {
    const steps = bars.map((bar, x) => {
      const height = ((bar[n] ?? 0) / highest) * HEIGHT;
      tops[x] = (tops[x] ?? 0) - height;
      return height > 0 ? `M${x} ${tops[x]?.toFixed(2)}h.86v${height.toFixed(2)}h-.86z` : "";
    });
    return drawing("path", { class: kind, d: steps.join("") });
  });
}
