/** The console: signs in, opens the replica, and shows the view that the address names. */

import { Replica, Tasklog } from "./client/index.js";
import { showProof } from "./proof.js";
import { forget, renewed, session, signIn, takeFromAddress } from "./session.js";
import { showStep } from "./step.js";
import { showTasks } from "./tasks.js";
import { showTime } from "./time.js";
import { undoing } from "./undo.js";

/**
 * @typedef {object} Given what a view works with
 * @property {Tasklog} client
 * @property {Replica} replica
 * @property {() => void} undo
 * @property {URLSearchParams} query of the address
 */

/** @type {Record<string, (view: HTMLElement, given: Given) => () => void>} each returns a function that ends it */
const VIEWS = { tasks: showTasks, time: showTime, proof: showProof, step: showStep };

const view = /** @type {HTMLElement} */ (document.getElementById("view"));

/** @param {import("./session.js").Session} signedIn */
async function open({ token, user }) {
  let current = token;
  const renew = async (/** @type {boolean} */ refused) => (current = (refused && (await renewed())) || current);
  const client = new Tasklog({ url: location.origin, user, token: renew });
  const replica = await Replica.open(client);
  showWho(user);
  followAddress({ client, replica, undo: undoing(client, replica) });
  replica.subscribe(() => showConnection(replica));
  for (const type of ["online", "offline"]) addEventListener(type, () => showConnection(replica));
  showConnection(replica);
}

/** @param {string} user */
function showWho(user) {
  for (const part of document.querySelectorAll("header [hidden]")) part.removeAttribute("hidden");
  /** @type {HTMLElement} */ (document.getElementById("user")).textContent = user;
  document.getElementById("leave")?.addEventListener("click", () => {
    forget();
    location.replace("/console");
  });
}

/**
 * Show the view of the address now and after each change of it.
 * @param {Omit<Given, "query">} given
 */
function followAddress(given) {
  let end = () => {};
  const show = () => {
    if (takeFromAddress()) return location.reload();
    const [asked = "", query = ""] = location.hash.slice(1).split("?");
    const name = asked in VIEWS ? asked : "tasks";
    for (const link of document.querySelectorAll("nav a")) {
      const current = link.getAttribute("href") === `#${name}`;
      if (current) document.title = `${link.textContent} · Tasklog`;
      if (current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    end();
    end = /** @type {NonNullable<typeof VIEWS[string]>} */ (VIEWS[name])(view, { ...given, query: new URLSearchParams(query) });
  };
  addEventListener("hashchange", () => {
    show();
    view.focus();
    scrollTo(0, 0);
  });
  show();
}

/**
 * Show whether the tasks are current, and ask for a token if the service refuses the current one.
 * @param {Replica} replica
 */
function showConnection(replica) {
  const place = /** @type {HTMLElement} */ (document.getElementById("connection"));
  const { live, waiting, problem } = replica.state();
  const offline = !navigator.onLine || (problem !== null && (!live || waiting > 0));
  const state = offline ? "offline" : live ? "live" : "connecting";
  const left = waiting > 0 ? `, ${waiting} to send` : "";
  const words = { live: "Live", connecting: `Connecting …${left}`, offline: `Offline${left}` }[state];
  place.dataset.state = state;
  if (place.textContent !== words) place.textContent = words;
  if (problem instanceof Error && "status" in problem && problem.status === 401 && document.forms.namedItem("sign-in") === null) {
    signIn(view, "Your token has expired. What you did is kept, and is sent when you are signed in again.");
  }
}

const signedIn = await session();
if (signedIn === null) signIn(view, "The console shows one person’s tasks, and their history.");
else await open(signedIn);
