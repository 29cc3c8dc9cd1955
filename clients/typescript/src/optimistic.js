/**
 * What the tasks look like with commands that they do not contain yet.
 */

/** @typedef {import("./client.js").Task} Task */

/**
 * @typedef {object} Given a command that the tasks may not contain yet
 * @property {import("./queue.js").Waiting} waiting
 * @property {(task: Task | null) => void} resolve
 * @property {(reason: unknown) => void} reject
 * @property {{position: number, id: number, task: Task | null} | null} answer once the service has carried it out
 */

/**
 * Return the tasks with the commands on top, the newest first.
 * @param {Map<number, Task>} sent
 * @param {Given[]} given
 * @param {Map<number, number>} ids the ids of created tasks by the ids under which they were shown first
 * @param {string} user
 * @returns {Task[]}
 */
export function shown(sent, given, ids, user) {
  const tasks = new Map(sent);
  /** @type {Map<unknown, number>} the ids under which tasks are shown, by the refs of their commands */
  const refs = new Map();
  for (const { waiting, answer } of given) {
    if (waiting.local !== 0) refs.set(waiting.command.ref, ids.get(waiting.local) ?? waiting.local);
    if (answer === null) carryOut(tasks, waiting, refs, user);
    else if (answer.task === null) tasks.delete(answer.id);
    else tasks.set(answer.id, answer.task);
  }
  return [...tasks.values()].sort(newestFirst);
}

/**
 * Do to the tasks what a command will do.
 * @param {Map<number, Task>} tasks
 * @param {import("./queue.js").Waiting} waiting
 * @param {Map<unknown, number>} refs
 * @param {string} user
 */
function carryOut(tasks, { local, at, command }, refs, user) {
  const { type, data = {} } = command;
  if (type === "task.create") {
    tasks.set(local, edited(emptyTask(local, user, at), data, at));
    return;
  }
  const id = refs.get(command.task) ?? Number(command.task);
  const task = tasks.get(id);
  if (task === undefined) return;
  if (type === "task.delete") tasks.delete(id);
  else if (type === "task.edit") tasks.set(id, edited(task, data, at));
  else if (type === "task.complete") tasks.set(id, edited(task, { completed: true }, at));
  else if (type === "task.reopen") tasks.set(id, edited(task, { completed: false }, at));
}

/**
 * Return a task without any fields of its own.
 * @param {number} id
 * @param {string} user
 * @param {string} at
 * @returns {Task}
 */
function emptyTask(id, user, at) {
  return {
    id,
    user_id: user,
    title: "",
    description: null,
    completed: false,
    created_at: at,
    updated_at: at,
    priority: "medium",
    due_date: null,
    tags: [],
    category: null,
    completed_at: null,
    is_completed: false,
    status: "pending",
  };
}

/**
 * Return a task with other fields; null and "" clear one.
 * @param {Task} task
 * @param {Record<string, unknown>} data
 * @param {string} at
 * @returns {Task}
 */
function edited(task, data, at) {
  const next = { ...task, ...data, updated_at: at };
  next.priority ||= "medium";
  next.due_date ||= null;
  next.tags ||= [];
  next.category ||= null;
  if (next.completed !== task.completed) next.completed_at = next.completed ? at : null;
  next.is_completed = next.completed;
  next.status = next.completed ? "completed" : "pending";
  return next;
}

/** @param {Task} one @param {Task} other */
function newestFirst(one, other) {
  // A task that the service does not have yet comes first, whatever this machine's clock says.
  if (one.id < 0 || other.id < 0) return one.id < 0 && other.id < 0 ? one.id - other.id : other.id < 0 ? 1 : -1;
  if (one.created_at !== other.created_at) return one.created_at < other.created_at ? 1 : -1;
  return other.id - one.id;
}
