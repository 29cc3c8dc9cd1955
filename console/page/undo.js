/** Undo: takes back what was done last, and says what it was. */

import { complain, toast } from "./dom.js";
import { said } from "./words.js";

/** @typedef {import("./client/client.js").Tasklog} Tasklog */
/** @typedef {import("./client/replica.js").Replica} Replica */

/**
 * Let Ctrl+Z undo on the whole page, and return a function that does the same.
 * @param {Tasklog} client
 * @param {Replica} replica
 */
export function undoing(client, replica) {
  let before = Promise.resolve();
  const undo = () => void (before = before.then(() => undoLast(client, replica)).catch(complain));
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey || isTyping(event)) return;
    event.preventDefault();
    undo();
  });
  return undo;
}

/**
 * Whether the key belongs to a text that is being written.
 * @param {KeyboardEvent} event
 */
function isTyping({ target }) {
  const writes = target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement;
  return writes && target.matches("textarea, input:not([type=checkbox], [type=radio], [type=range])") && target.value !== "";
}

/**
 * @param {Tasklog} client
 * @param {Replica} replica
 */
async function undoLast(client, replica) {
  if (!(await isSent(replica))) throw new Error("Undo needs a connection: what you did last is not sent yet.");
  const { undone, position, tasks } = await client.undo();
  const { events } = await client.history({ after: undone - 1, limit: 1 });
  const [event] = events;
  const title = event?.changes.find(({ field }) => field === "title");
  const what = event ? said(event, String(title?.to ?? title?.from ?? tasks[0]?.title ?? "a task")) : "the last change";
  const redo = () => void client.undo(position).catch(complain);
  toast(`Undid: ${what}`, { label: "Redo", act: redo });
}

/**
 * Wait until the service has answered all commands; return false if it cannot be reached.
 * @param {Replica} replica
 * @returns {Promise<boolean>}
 */
function isSent(replica) {
  return new Promise((resolve) => {
    const look = () => {
      const { waiting, problem } = replica.state();
      if (waiting > 0 && problem === null && navigator.onLine) return;
      end();
      resolve(waiting === 0);
    };
    const end = replica.subscribe(look);
    look();
  });
}
