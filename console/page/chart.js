/** The chart of the whole history: how many events there were over time, with a colour for each kind. */

import { drawing, element } from "./dom.js";
import { counted, day } from "./words.js";

/** @typedef {import("./ledger.js").Ledger} Ledger */

const BARS = 160;
const HEIGHT = 100;
const KINDS = ["created", "edited", "completed", "reopened", "restored", "deleted", "erased"];
const LABELS = ["added", "changed", "completed", "reopened", "restored", "deleted", "erased"];

export class Chart {
  #ledger;
  #bars = drawing("g");
  #mark = drawing("line", { class: "here", y1: 0, y2: HEIGHT });
  #svg = drawing("svg", { viewBox: `0 0 ${BARS} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, this.#bars, this.#mark);
  #from = element("span");
  #to = element("span");
  #legend = element("ul", { class: "legend", "aria-label": "Kinds of events" });
  node = element("div", { class: "chart" }, this.#svg, element("div", { class: "axis" }, this.#from, this.#to), this.#legend);

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
      const kind = KINDS.indexOf(type.slice(type.indexOf(".") + 1));
      const bar = bars[Math.min(BARS - 1, Math.max(0, Math.floor(((at - first) / span) * BARS)))];
      if (bar === undefined || kind < 0) continue;
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

  /** Mark the moment of the ledger's position. */
  mark() {
    const { first, span } = this.#time();
    const x = (((this.#ledger.event?.at ?? first) - first) / span) * BARS;
    this.#mark.setAttribute("x1", String(x));
    this.#mark.setAttribute("x2", String(x));
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
