/** Elements, icons and messages. */

const SVG = "http://www.w3.org/2000/svg";
const SHOWN_FOR = 8000; // milliseconds

/** Paths of 24 by 24 units, drawn as lines. */
const ICONS = {
  plus: "M12 5v14M5 12h14",
  history: "M4 12a8 8 0 1 0 2.6-5.9M4 4v4h4M12 8v4.5l3 1.5",
  trash: "M5 7h14M10 7V4.5h4V7M7 7l1 12.5h8L17 7M10.5 11v5M13.5 11v5",
  first: "M7 6v12M18 6l-7 6 7 6",
  back: "M15 6l-6 6 6 6",
  forth: "M9 6l6 6-6 6",
  last: "M17 6v12M6 6l7 6-7 6",
  play: "M8 5.5v13l11-6.5z",
  pause: "M9 6v12M15 6v12",
  good: "M5 12.5l4.5 4.5L19 7.5",
  bad: "M12 6v7.5M12 17.5v.5",
};

/**
 * Return a new element.
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, unknown>} [given] `on…` are listeners, all others attributes; false, null and undefined are
 *   left out
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function element(name, given = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (typeof value === "function") made.addEventListener(key.slice(2), /** @type {EventListener} */ (value));
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) made.setAttribute(key, String(value));
  }
  made.append(...children);
  return made;
}

/**
 * Return a new element of a drawing.
 * @template {keyof SVGElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, string | number>} [attributes]
 * @param {...Node} children
 * @returns {SVGElementTagNameMap[Name]}
 */
export function drawing(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}

/** @param {keyof typeof ICONS} name */
export function icon(name) {
  const path = drawing("path", { d: ICONS[name] });
  return drawing("svg", { class: "drawn", viewBox: "0 0 24 24", "aria-hidden": "true" }, path);
}

/**
 * Return a button that shows an icon; its label is read aloud, and shown as its title.
 * @param {string} label
 * @param {keyof typeof ICONS} name
 * @param {() => void} onclick
 */
export function iconButton(label, name, onclick) {
  return element("button", { type: "button", class: "icon", title: label, "aria-label": label, onclick }, icon(name));
}

/**
 * Return a quiet button.
 * @param {string} label
 * @param {() => void} onclick
 * @param {Record<string, unknown>} [given]
 */
export function button(label, onclick, given = {}) {
  return element("button", { type: "button", class: "quiet", onclick, ...given }, label);
}

/**
 * Show a message for some seconds, with a button if there is something to do.
 * @param {string} text
 * @param {{label: string, act: () => void} | null} [action]
 */
export function toast(text, action = null) {
  const box = element("div", { class: "toast" }, element("span", {}, text));
  const end = () => box.remove();
  if (action) {
    const act = () => {
      end();
      action.act();
    };
    box.append(button(action.label, act));
  }
  document.getElementById("toasts")?.append(box);
  setTimeout(end, SHOWN_FOR);
}

/**
 * Show why something did not succeed.
 * @param {unknown} problem
 */
export function complain(problem) {
  toast(problem instanceof Error ? problem.message : String(problem));
}
