/** The console: signs in, opens the replica, and shows the view that the address names. */

import { Tasklog } from "./client/client.js";
import { Replica } from "./client/replica.js";
import { element } from "./dom.js";
import { fetchFirst, queueOf } from "./first.js";
import { forget, renewed, session, takeFromAddress } from "./session.js";
import { showTasks } from "./tasks.js";
import { script } from "./trusted.js";
import { undoing } from "./undo.js";

/**
 * @typedef {object} Given what a view works with
 * @property {Tasklog} client
 * @property {Replica} replica
 * @property {() => void} undo
 * @property {URLSearchParams} query of the address
 */

/** @typedef {(view: HTMLElement, given: Given) => () => void} Show shows a view, and returns a function that ends it */

/** @type {Record<string, () => Promise<Show>>} */
const VIEWS = {
  tasks: async () => showTasks,
  time: async () => (await import("./time.js")).showTime,
  proof: async () => (await import("./proof.js")).showProof,
  step: async () => (await import("./step.js")).showStep,
};

const QUIET = 2000; // milliseconds after which the page has all that it shows first

const view = /** @type {HTMLElement} */ (document.getElementById("view"));

/** @param {import("./session.js").Session} signedIn */
async function open({ token, user }) {
  let current = token;
  const renew = async (/** @type {boolean} */ refused) => (current = (refused && (await renewed())) || current);
  const client = new Tasklog({ url: location.origin, user, token: renew, fetch: fetchFirst });
  const replica = await Replica.open(client, { queue: await queueOf(client.root) });
  showWho(user, replica);
  followAddress({ client, replica, undo: undoing(client, replica) });
  replica.subscribe(() => showConnection(replica));
  for (const type of ["online", "offline"]) addEventListener(type, () => showConnection(replica));
  showConnection(replica);
  setTimeout(() => openOffline(replica), QUIET);
}

/**
 * As soon as there is a connection, load the modules of the other views, and let the page open without one, too. A browser
 * that cannot do this has a page that needs one.
 * @param {Replica} replica
 */
function openOffline(replica) {
  if (!navigator.onLine || !replica.state().live) return void setTimeout(() => openOffline(replica), QUIET);
  for (const link of document.querySelectorAll("link[rel=later]")) link.setAttribute("rel", "modulepreload");
  navigator.serviceWorker?.register(script("/console/offline.js"), { scope: "/console" }).catch(() => {});
}

/**
 * Show who is signed in, and let them sign out: their tasks leave this browser, too.
 * @param {string} user
 * @param {Replica} replica
 */
function showWho(user, replica) {
  for (const part of document.querySelectorAll("header [hidden]")) part.removeAttribute("hidden");
  /** @type {HTMLElement} */ (document.getElementById("user")).textContent = user;
  document.getElementById("leave")?.addEventListener("click", async () => {
    forget();
    replica.close();
    await replica.removeCopy().catch(() => {});
    location.replace("/console");
  });
}

/**
 * Show the view of the address now and after each change of it.
 * @param {Omit<Given, "query">} given
 */
function followAddress(given) {
  let end = () => {};
  let asked = 0;
  const show = async () => {
    if (takeFromAddress()) return location.reload();
    const [named = "", query = ""] = location.hash.slice(1).split("?");
    const name = named in VIEWS ? named : "tasks";
    for (const link of document.querySelectorAll("nav a")) {
      const current = link.getAttribute("href") === `#${name}`;
      if (current) document.title = `${link.textContent} · Tasklog`;
      if (current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    end();
    end = () => {};
    const turn = (asked += 1);
    const open = await /** @type {NonNullable<typeof VIEWS[string]>} */ (VIEWS[name])().catch(() => showMissing);
    if (turn === asked) end = open(view, { ...given, query: new URLSearchParams(query) });
  };
  addEventListener("hashchange", async () => {
    await show();
    view.focus();
    scrollTo(0, 0);
  });
  void show();
}

/** @type {Show} */
function showMissing(place) {
  place.replaceChildren(element("p", { class: "error", role: "alert" }, "This view could not be loaded. Check the connection, then reload the page."));
  return () => {};
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
  if (problem instanceof Error && "status" in problem && problem.status === 401) {
    void askForToken("Your token has expired. What you did is kept, and is sent when you are signed in again.");
  }
}

/**
 * Show the form for a token, unless it is there.
 * @param {string} why
 */
async function askForToken(why) {
  const { signIn } = await import("./sign_in.js");
  if (document.forms.namedItem("sign-in") === null) signIn(view, why);
}

const signedIn = await session();
if (signedIn === null) await askForToken("The console shows one person’s tasks, and their history.");
else await open(signedIn);
