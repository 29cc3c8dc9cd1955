// A Better Auth server with its data in memory, as a front end of this API runs one: email and password, the JWT plugin, and
// the session cookie's cache as a JWT. It prints its origin as one line of JSON, and ends when its standard input does.
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { createJwk, jwt } from "better-auth/plugins";

const database = { user: [], session: [], account: [], verification: [], jwks: [] };
const server = createServer();
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const origin = `http://127.0.0.1:${server.address().port}`;

const auth = betterAuth({
  baseURL: origin,
  secret: process.env.BETTER_AUTH_SECRET,
  database: memoryAdapter(database),
  emailAndPassword: { enabled: true },
  session: { cookieCache: { enabled: true, strategy: "jwt" } },
  plugins: [jwt()],
  telemetry: { enabled: false },
});
const answer = toNodeHandler(auth);

server.on("request", async (request, response) => {
  if (request.method === "POST" && request.url === "/rotate") {
    // What the plugin does itself once a key has expired: a newer key signs, the older ones stay in the set.
    await createJwk({ context: await auth.$context }, {});
    response.writeHead(204).end();
    return;
  }
  await answer(request, response);
});
process.stdin.on("end", () => process.exit(0)).resume();
console.log(JSON.stringify({ origin }));
