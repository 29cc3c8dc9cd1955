// A tuned backend on Node: fastify with a schema for each body and answer, pg with named (prepared) statements.
import Fastify from "fastify";
import pg from "pg";
import { createVerifier } from "fast-jwt";

const MOST_TOKENS = 10_000;
const TASK = "id, user_id, title, description, completed, created_at, updated_at";
const BIGINT = 20;

const statements = {
  create: `INSERT INTO tasks (user_id, title, description) VALUES ($1, $2, $3) RETURNING ${TASK}`,
  list: `SELECT ${TASK} FROM tasks WHERE user_id = $1 ORDER BY created_at DESC, id DESC`,
  get: `SELECT ${TASK} FROM tasks WHERE id = $2 AND user_id = $1`,
  update: `UPDATE tasks SET title = coalesce($3, title), description = CASE WHEN $4 THEN $5 ELSE description END,
    completed = coalesce($6, completed), updated_at = now() WHERE id = $2 AND user_id = $1 RETURNING ${TASK}`,
  toggle: `UPDATE tasks SET completed = NOT completed, updated_at = now() WHERE id = $2 AND user_id = $1
    RETURNING ${TASK}`,
};

pg.types.setTypeParser(BIGINT, Number);
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
const rows = async (name, values) => (await pool.query({ name, text: statements[name], values })).rows;

// Whom a verified token names, and until when it is good, by the whole header.
const subjects = new Map();
const decode = createVerifier({ key: process.env.BETTER_AUTH_SECRET, algorithms: ["HS256"] });

function subject(header = "") {
  const known = subjects.get(header);
  if (known !== undefined && known.exp * 1000 > Date.now()) return known.sub;
  const claims = decode(header.replace(/^Bearer /, ""));
  if (subjects.size >= MOST_TOKENS) subjects.clear();
  subjects.set(header, claims);
  return claims.sub;
}

function authorize(request, reply, done) {
  let name;
  try {
    name = subject(request.headers.authorization);
  } catch {
    reply.code(401).send({ detail: "Invalid token" });
    return;
  }
  if (name === request.params.user) done();
  else reply.code(403).send({ detail: "Access denied" });
}

async function one(reply, name, values) {
  const [task] = await rows(name, values);
  if (task !== undefined) return task;
  reply.code(404);
  return { detail: "Task not found" };
}

const text = { type: "string" };
const optional = { type: ["string", "null"] };
const title = { type: "string", minLength: 1, maxLength: 200 };
const time = { type: "string", format: "date-time" };
const task = {
  type: "object",
  properties: {
    id: { type: "integer" }, user_id: text, title: text, description: optional, completed: { type: "boolean" },
    created_at: time, updated_at: time,
  },
};
const created = { type: "object", required: ["title"], properties: { title, description: optional } };
const changed = { type: "object", properties: { title, description: optional, completed: { type: "boolean" } } };

const app = Fastify({ logger: false });
const answers = (schema, status = 200, body = undefined) => ({
  preHandler: authorize,
  schema: { response: { [status]: schema }, ...(body && { body }) },
});

app.get("/health", async () => ({ status: "healthy" }));

app.get("/api/:user/tasks", answers({ type: "array", items: task }), (request) => rows("list", [request.params.user]));

app.post("/api/:user/tasks", answers(task, 201, created), (request, reply) => {
  const { title, description = null } = request.body;
  reply.code(201);
  return one(reply, "create", [request.params.user, title, description]);
});

app.get("/api/:user/tasks/:id", answers(task), (request, reply) =>
  one(reply, "get", [request.params.user, request.params.id]));

app.put("/api/:user/tasks/:id", answers(task, 200, changed), (request, reply) => {
  const { title = null, description, completed = null } = request.body;
  const { user, id } = request.params;
  return one(reply, "update", [user, id, title, description !== undefined, description ?? null, completed]);
});

app.patch("/api/:user/tasks/:id/complete", answers(task), (request, reply) =>
  one(reply, "toggle", [request.params.user, request.params.id]));

await app.listen({ host: "127.0.0.1", port: Number(process.env.API_PORT) });
