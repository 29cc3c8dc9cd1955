// The README's walk through types that openapi-typescript generated, and openapi-fetch; prints what it saw as JSON.
// `node walk.js URL TOKEN OTHERS_TOKEN USER`, once tsc has compiled it: a wrong member is an error of the compiler.
import createClient from "openapi-fetch";
import type { components, paths } from "./types.js";

declare const process: { argv: string[] }; // of Node, whose types are no package here

type Task = components["schemas"]["Task"];
type Problem = components["schemas"]["Problem"];

const [url, token, othersToken, user] = process.argv.slice(2) as [string, string, string, string];
const authorized = (bearer: string) => ({ Authorization: `Bearer ${bearer}` });
const http = createClient<paths>({ baseUrl: url, headers: authorized(token) });
const stranger = createClient<paths>({ baseUrl: url, headers: authorized(othersToken) });
const nobody = createClient<paths>({ baseUrl: url });

const TASKS = "/api/{user_id}/tasks";
const TASK = "/api/{user_id}/tasks/{task_id}";

function there<T>(answer: { data?: T; error?: Problem }): T {
  if (answer.data === undefined) throw new Error(answer.error?.detail);
  return answer.data;
}

function fieldsOf(problem: Problem | undefined): string[] {
  const fields: string[] = [];
  for (const error of problem?.errors ?? []) fields.push(error.field); // there may be none
  return fields;
}

const own = { path: { user_id: user } };
const created: Task = there(
  await http.POST(TASKS, { params: own, body: { title: "Buy milk", description: "two litres" } }),
);
const one = { path: { user_id: user, task_id: created.id } };
const completed = there(await http.PATCH(`${TASK}/complete`, { params: one }));
const edited = there(await http.PUT(TASK, { params: one, body: { description: "one litre" } }));
const cleared = there(await http.PUT(TASK, { params: one, body: { description: null } }));
const listed = there(await http.GET(TASKS, { params: { ...own, query: { status: "completed", sort: "title" } } }));
const then = there(await http.GET(TASKS, { params: { ...own, query: { as_of: 1 } } }));
const history = there(await http.GET(`${TASK}/history`, { params: one }));
const events = there(await http.GET("/api/{user_id}/history", { params: own }));
const types: components["schemas"]["EventType"][] = history.events.map((event) => event.type);
const read = there(await http.GET(TASK, { params: one }));
const deleted = there(await http.DELETE(TASK, { params: one }));

const refused = await http.POST(TASKS, { params: own, body: { title: "" } });
const problems: (Problem | undefined)[] = [
  (await http.GET(TASK, { params: one })).error,
  (await nobody.GET(TASKS, { params: own })).error,
  (await stranger.GET(TASKS, { params: own })).error,
  refused.error,
];

console.log(
  JSON.stringify({
    health: there(await nobody.GET("/health")).status,
    created: [created.title, created.description, created.completed],
    completed: completed.completed,
    edited: [edited.title, edited.description, edited.completed],
    cleared: [cleared.title, cleared.description],
    listed: listed.map((task) => task.id === created.id),
    then: then.map((task) => [task.title, task.completed]),
    history: types,
    "same events": String(events.events.map((event) => event.hash)) === String(history.events.map((event) => event.hash)),
    one: read.title,
    deleted: deleted.message,
    statuses: problems.map((problem) => problem?.status),
    fields: fieldsOf(refused.error),
  }),
);
