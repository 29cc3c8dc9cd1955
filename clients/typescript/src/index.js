/** Tasklog's client: `Tasklog` makes the calls, `Replica` holds a user's tasks and keeps them current. */

export { Problem, Tasklog } from "./client.js";
export { Replica } from "./replica.js";
export { indexedQueue, memoryQueue } from "./queue.js";
