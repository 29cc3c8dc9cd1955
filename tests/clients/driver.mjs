// A replica in Node that does what it is told: `node driver.mjs URL USER TOKEN`. Each line of its input is a call,
// {"n": 1, "call": "create", "args": [{"title": "Milk"}]}; each line of its output is an answer, {"n": 1, "result": …}
// or {"n": 1, "problem": {"status": 422, …}}. Commands are answered when the service has carried them out.
import { createInterface } from "node:readline";
import { memoryQueue, Replica, Tasklog } from "../../clients/typescript/src/index.js";

const [url, user, token] = process.argv.slice(2);
const queue = memoryQueue();
const client = new Tasklog({ url, user, token });
let replica = await Replica.open(client, { queue });
let changes = 0;
replica.subscribe(() => (changes += 1));

const calls = {
  changes: () => changes,
  /** As a page that is closed and opened again, with the queue that it left behind. */
  reopen: async () => {
    replica.close();
    replica = await Replica.open(client, { queue });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { n, call, args = [] } = JSON.parse(line);
  answer(n, async () => (call in calls ? calls[call](...args) : replica[call](...args)));
}
replica.close();

async function answer(n, act) {
  try {
    console.log(JSON.stringify({ n, result: (await act()) ?? null }));
  } catch (problem) {
    console.log(JSON.stringify({ n, problem: { status: problem.status ?? 0, message: problem.message } }));
  }
}
