// The operators' page: asks for the state every few seconds, and shows it. All text goes into the page as text.

const EVERY_MS = 5000;
const SVG = "http://www.w3.org/2000/svg";
const LINES = [
  { title: "Lag", unit: "s", of: (sample) => sample.lag_seconds },
  { title: "Events behind", unit: "", of: (sample) => sample.lag_events },
  { title: "Requests", unit: "/s", of: (sample) => sample.requests },
  { title: "Failed requests (5xx)", unit: "/s", of: (sample) => sample.failed },
  { title: "Projected events", unit: "/s", of: (sample) => sample.events },
  { title: "Parked users", unit: "", of: (sample) => sample.parked_users },
];

const place = (id) => document.getElementById(id);

function element(name, content = [], attributes = {}) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...[content].flat());
  return made;
}

const number = (value) => (value == null ? "–" : value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : 0 }));

function time(text) {
  const at = new Date(text);
  return element("time", at.toLocaleString(), { datetime: at.toISOString() });
}

function table(columns, rows) {
  const head = element("thead", element("tr", columns.map((column) => element("th", column, { scope: "col" }))));
  const body = element("tbody", rows.map((cells) => element("tr", cells.map((cell) => element("td", cell)))));
  return element("table", [head, body]);
}

function rows(id, columns, found, none) {
  place(id).replaceChildren(found.length ? table(columns, found) : element("p", none, { class: "quiet" }));
}

/** Draw the ten minutes before the last sample as a line, with a gap where a value is not known. */
function drawing(samples, of, most, label) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 600 100", preserveAspectRatio: "none", role: "img", "aria-label": label }))
    svg.setAttribute(key, value);
  const end = samples.at(-1)?.at ?? 0;
  const pieces = [[]];
  for (const sample of samples) {
    const value = of(sample);
    if (value == null) pieces.push([]);
    else pieces.at(-1).push(`${(600 - (end - sample.at)).toFixed(1)},${(98 - (96 * value) / (most || 1)).toFixed(1)}`);
  }
  for (const points of pieces.filter((piece) => piece.length)) {
    const line = document.createElementNS(SVG, "polyline");
    line.setAttribute("points", points.length > 1 ? points.join(" ") : `${points[0]} ${points[0]}`);
    svg.append(line);
  }
  return svg;
}

function showLines(samples) {
  const figures = LINES.map(({ title, unit, of }) => {
    const values = samples.map(of).filter((value) => value != null);
    const most = Math.max(0, ...values);
    const now = `${number(samples.length ? of(samples.at(-1)) : null)} ${unit}`.trim();
    const label = `${title}: now ${now}, at most ${number(most)} ${unit}`.trim();
    const caption = element("figcaption", [element("span", title), element("strong", now)]);
    return element("figure", [caption, drawing(samples, of, most, label), element("small", `at most ${number(most)} ${unit}`)]);
  });
  place("lines").replaceChildren(...figures);
}

function showParked(parked) {
  const found = parked.map((user) => {
    const again = element("button", "Try again", { type: "button" });
    again.addEventListener("click", () => tryAgain(user.user_id, again));
    return [user.user_id, number(user.position), user.error, number(user.attempts), time(user.next_attempt), again];
  });
  const columns = ["User", "Position", "Why", "Attempts", "Next attempt", ""];
  // A new table would take the focus from a button that somebody is about to press.
  if (!place("parked").contains(document.activeElement)) rows("parked", columns, found, "None.");
}

async function tryAgain(user, button) {
  button.disabled = true;
  const body = JSON.stringify({ user_id: user });
  try {
    const answer = await fetch("try-again", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const said = await answer.json();
    place("message").textContent = answer.ok ? `${user} is tried again within a second.` : said.detail;
  } catch {
    place("message").textContent = "The projector does not answer: try again in a moment.";
  }
  button.blur();
  await show();
}

function showJobs(jobs) {
  const found = (jobs ?? []).map((job) => {
    const share = `${number(job.done)} of ${number(job.total)} events`;
    const bar = element("progress", share, { max: job.total || 1, value: job.state === "done" ? job.total || 1 : job.done, "aria-label": share });
    return [job.name, job.error ? `${job.state}: ${job.error}` : job.state, [bar, " ", share], job.rate ? `${number(job.rate)} /s` : "–", time(job.queued_at)];
  });
  rows("jobs", ["Job", "State", "Progress", "Rate", "Queued"], found, jobs ? "None is on record." : "Unknown, as Redis does not answer.");
}

function showVerified({ jobs, verification, faults, rebuild_faults: rebuilds }) {
  if (!jobs) place("verified").textContent = "Unknown, as Redis does not answer.";
  else if (!verification) place("verified").textContent = "No verification of the whole ledger is on record: run ./run verify.";
  else
    place("verified").replaceChildren(
      time(verification.at),
      `: ${number(verification.fault_count)} faults in ${number(verification.events)} events of ${number(verification.streams)} streams.`,
    );
  const found = [...(faults ?? []), ...rebuilds].map((fault) => [fault.user_id ?? "–", number(fault.position), fault.reason]);
  rows("faults", ["User", "Position", "Fault"], found, "No faults are known.");
}

function showProcesses({ processes, version, schema }) {
  const found = processes.map((one) => [one.worker ? `${one.service} ${one.worker}` : one.service, one.version, `${number(one.requests)} /s`, `${number(one.failed)} /s`, `${number(one.events)} /s`]);
  rows("processes", ["Service", "Version", "Requests", "Failed", "Projected"], found, "None has reported yet: each needs ADMIN_PORT and Redis.");
  place("versions").textContent = `This page is of version ${version}; its schema is ${schema}.`;
}

function showState(text, isBad) {
  place("state").textContent = text;
  place("state").className = isBad ? "bad" : "quiet";
}

async function show() {
  try {
    const answer = await fetch("state", { signal: AbortSignal.timeout(20000) });
    const state = await answer.json();
    if (!answer.ok) throw new Error(state.detail);
    showLines(state.history);
    showParked(state.parked);
    showJobs(state.jobs);
    showVerified(state);
    showProcesses(state);
    showState(state.not_ready ?? `Ready, as of ${new Date().toLocaleTimeString()}`, Boolean(state.not_ready));
  } catch (error) {
    showState(`The projector does not answer (${error.message}); what is below may be old.`, true);
  }
}

async function showForEver() {
  await show();
  setTimeout(showForEver, EVERY_MS);
}

showForEver();
