// A replica in Node that does what it is told: `node driver.mjs URL USER TOKEN...`; the next token follows when one is
// refused. Each line of its input is a call,
// {"n": 1, "call": "create", "args": [{"title": "Milk"}]}; each line of its output is an answer, {"n": 1, "result": …}
// or {"n": 1, "problem": {"status": 422, …}}. Commands are answered when the service has carried them out.
import { createInterface } from "node:readline";
import { memoryQueue, Replica, Tasklog } from "../../clients/typescript/src/index.js";

const [url, user, ...tokens] = process.argv.slice(2);
const queue = memoryQueue();
let cut = new AbortController();
let gate = Promise.resolve();
let open = () => {};
let commandsGate = { beforeSent: true, opened: Promise.resolve() };
let openCommands = () => {};
let streams = 0;
const token = (refused) => (refused ? (tokens.shift(), tokens[0]) : tokens[0]);
const client = new Tasklog({ url, user, token, fetch: fetchThroughGate });
let replica = await Replica.open(client, { queue });
let changes = 0;
replica.subscribe(() => (changes += 1));

const calls = {
  changes: () => changes,
  /** Return how many streams were asked for. */
  streams: () => streams,
  tokens: () => tokens.length,
  /** Create many tasks in one turn of the event loop; return how many are shown, and how often listeners were called. */
  createMany: (number) => {
    const before = changes;
    for (let n = 0; n < number; n += 1) replica.create({ title: `many ${n}` }).catch(() => {});
    return [replica.tasks().length, changes - before];
  },
  /** As a page that is closed and opened again, with the queue that it left behind. */
  reopen: async () => {
    replica.close();
    replica = await Replica.open(client, { queue });
  },
  /** Cut the stream, and hold the next ones back until `release`. */
  hold: () => {
    gate = new Promise((resolve) => (open = resolve));
    cut.abort();
    cut = new AbortController();
  },
  release: () => open(),
  /** Hold calls of commands back until `releaseCommands`: before they are sent, or else their answers. */
  holdCommands: (beforeSent) => {
    commandsGate = { beforeSent, opened: new Promise((resolve) => (openCommands = resolve)) };
  },
  releaseCommands: () => openCommands(),
  /** As a page that wakes up with commands in its memory which another one has taken out of the queue meanwhile. */
  wake: async (commands) => {
    replica.close();
    const loads = [commands];
    replica = await Replica.open(client, { queue: { ...memoryQueue(), load: async () => loads.shift() ?? [] } });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { n, call, args = [] } = JSON.parse(line);
  answer(n, async () => (call in calls ? calls[call](...args) : replica[call](...args)));
}
replica.close();

async function fetchThroughGate(address, options) {
  if (String(address).endsWith("/commands")) return fetchCommands(address, options);
  if (!String(address).includes("/changes/stream")) return fetch(address, options);
  await gate;
  streams += 1;
  return fetch(address, { ...options, signal: AbortSignal.any([options.signal, cut.signal]) });
}

async function fetchCommands(address, options) {
  const { beforeSent, opened } = commandsGate;
  if (beforeSent) await opened;
  const answered = await fetch(address, options);
  if (!beforeSent) await opened;
  return answered;
}

async function answer(n, act) {
  try {
    console.log(JSON.stringify({ n, result: (await act()) ?? null }));
  } catch (problem) {
    console.log(JSON.stringify({ n, problem: { status: problem.status ?? 0, message: problem.message } }));
  }
}
