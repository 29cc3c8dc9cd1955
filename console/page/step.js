/** One position, step by step: the command, the event, the state before and after, and the row that it became. */

import { element, iconButton } from "./dom.js";
import { readable, shown } from "./words.js";

/** @typedef {import("./client/client.js").Schemas} Schemas */
/** @typedef {Record<string, unknown> | null} Values */

/**
 * Show a position, and return a function that ends it.
 * @param {HTMLElement} view
 * @param {import("./app.js").Given} given
 */
export function showStep(view, { client, query }) {
  const steps = new Steps(client);
  view.className = "wide";
  view.replaceChildren(element("h1", {}, "Step through"), steps.form, steps.wrong, steps.parts);
  void steps.start(Number(query.get("position")));
  return () => {};
}

class Steps {
  #client;
  #last = 0;
  #field = element("input", { id: "position", type: "number", min: 1, required: true, class: "position" });
  #of = element("span", { class: "hint" });
  wrong = element("p", { class: "error", role: "alert" });
  parts = element("div", { class: "steps" });
  form = element(
    "form",
    { class: "bar", onsubmit: (/** @type {Event} */ event) => this.#submit(event) },
    element("label", { for: "position" }, "Position"),
    this.#field,
    this.#of,
    element("button", { type: "submit", class: "quiet" }, "Show"),
    iconButton("Previous", "back", () => void this.#show(this.#field.valueAsNumber - 1)),
    iconButton("Next", "forth", () => void this.#show(this.#field.valueAsNumber + 1)),
  );

  /** @param {import("./client/client.js").Tasklog} client */
  constructor(client) {
    this.#client = client;
  }

  /** @param {number} position 0 for the last one */
  async start(position) {
    try {
      const { head } = await this.#client.history({ limit: 1 });
      this.#last = head.position;
      this.#field.max = String(head.position);
      this.#of.textContent = `of ${head.position.toLocaleString("en")}`;
      await this.#show(position || head.position);
    } catch (problem) {
      this.#fail(problem);
    }
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    void this.#show(this.#field.valueAsNumber);
  }

  /** @param {number} position */
  async #show(position) {
    if (this.#last === 0) return this.#fail("Nothing has happened yet.");
    const wanted = Math.min(Math.max(1, position || 1), this.#last);
    try {
      const found = await this.#client.explain(wanted);
      this.wrong.textContent = "";
      this.#field.value = String(wanted);
      history.replaceState(null, "", `#step?position=${wanted}`);
      this.parts.replaceChildren(...explained(found));
    } catch (problem) {
      this.#fail(problem);
    }
  }

  /** @param {unknown} problem */
  #fail(problem) {
    this.parts.replaceChildren();
    this.wrong.textContent = problem instanceof Error ? problem.message : String(problem);
  }
}

/** @param {Schemas["Explained"]} explained */
function explained({ event, command, state_before, state_after, row_before, row_after }) {
  const { position, version, type, recorded_at, actor, request_id, event_id, schema_version, hash, metadata, data } = event;
  const stored = { position, type, version, schema_version, event_id, recorded_at, hash, data: data ?? "erased", metadata: metadata ?? "erased" };
  const asked = `What ${actor ?? "somebody"} asked for, ${readable(recorded_at)}${request_id ? `, in request ${request_id}` : ""}.`;
  return [
    part("Command", asked, values(command && { ...command, ...command.data, data: undefined })),
    part("Event", "What was decided on the state before, and appended to the ledger. The hash is over all of it, and the hash before.", values(stored)),
    part("State", "All events of the task, folded: up to the position before, and up to this one.", beforeAndAfter(flat(state_before), flat(state_after))),
    part("Row", "What the projection wrote into the table of tasks, which lists are read from.", beforeAndAfter(row_before, row_after)),
  ];
}

/** @param {Schemas["ExplainedState"] | null} state */
function flat(state) {
  return state && { kind: state.kind, version: state.version, deleted_at: state.deleted_at, ...state.task };
}

/** @param {string} title @param {string} what @param {HTMLElement} content */
function part(title, what, content) {
  return element("section", { class: "card", "aria-label": title }, element("h2", {}, title), element("p", { class: "hint" }, what), content);
}

/** @param {Values} given */
function values(given) {
  if (given === null) return element("p", {}, "None");
  const said = Object.entries(given).filter(([, value]) => value !== null && value !== undefined);
  return element("dl", {}, ...said.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, element("code", {}, shown(value)))]));
}

/** @param {Values} before @param {Values} after */
function beforeAndAfter(before, after) {
  if (before === null && after === null) return element("p", {}, "There is no task.");
  const names = Object.keys({ ...before, ...after });
  const rows = names.map((name) => {
    const [then, now] = [before, after].map((side) => shown(side?.[name]));
    const cells = [then, now].map((text) => element("td", {}, element("code", {}, text ?? "")));
    return element("tr", { class: then === now ? "" : "changed" }, element("th", { scope: "row" }, name), ...cells);
  });
  const head = element("thead", {}, element("tr", {}, ...["", "Before", "After"].map((title) => element(title ? "th" : "td", title ? { scope: "col" } : {}, title))));
  return element("div", { class: "scrolls", tabindex: 0, role: "group", "aria-label": "Before and after" }, element("table", { class: "states" }, head, element("tbody", {}, ...rows)));
}
