/** What an event changed, as a table: each field, before and after. */

import { element } from "./dom.js";
import { NOTHING, fieldName, shown } from "./words.js";

/**
 * @param {import("./words.js").FieldChange[]} changes
 * @returns {HTMLElement}
 */
export function changesTable(changes) {
  const rows = changes
    .filter(({ from, to }) => shown(from) !== shown(to))
    .map(({ field, from, to }) => element("tr", {}, element("th", { scope: "row" }, fieldName(field)), side("del", from), side("ins", to)));
  const head = element("thead", {}, element("tr", {}, ...["Field", "Before", "After"].map((title) => element("th", { scope: "col" }, title))));
  return element("table", { class: "changes" }, head, element("tbody", {}, ...rows));
}

/** @param {"del" | "ins"} name @param {unknown} value */
function side(name, value) {
  const text = shown(value);
  return element("td", {}, text === NOTHING ? element("span", { class: "none" }, NOTHING) : element(name, {}, text));
}
