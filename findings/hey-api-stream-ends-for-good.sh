#!/bin/sh
# @hey-api/openapi-ts 0.99.0, its generated client for text/event-stream: a stream that the server ends in good order is
# over for good, while one that is cut comes back; and its pause before coming back doubles over the client's lifetime.
#
# Guess before the run: the client takes Last-Event-ID, retry and a limit of attempts, so it reconnects as the browser's
#   EventSource does: after any end, with a pause that starts small again once a connection has worked.
# Seen: after a clean end the iteration returns without an error, and nobody hears of later events; after cuts it comes
#   back, and the pause doubles with each cut though every connection in between worked.
# What to do: a server that restarts cuts its streams; a client wraps the call in a loop of its own.
#
# Needs node 20 and npm. Prints versions and what it saw; fails if that is no longer so.
set -eu
lab=$(mktemp -d)
trap 'rm -rf "$lab"' EXIT
cd "$lab"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @hey-api/openapi-ts@0.99.0 typescript@5.9.3 tsx@4.23.15
cat >news.json <<'JSON'
{"openapi": "3.1.0", "info": {"title": "News", "version": "1"},
 "paths": {"/news": {"get": {"operationId": "news", "responses": {"200": {
   "description": "Events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}}}}}}
JSON
npx openapi-ts --input news.json --output client --client @hey-api/client-fetch >/dev/null
cat >probe.mts <<'TS'
import { createServer } from "node:http";
import { news } from "./client/sdk.gen.ts";

/** How often the client connects to a server that ends each stream so, and the pauses that it made, in ms. */
async function connections(end: "clean" | "cut"): Promise<[number, number[]]> {
  let count = 0;
  const pauses: number[] = [];
  const server = createServer((_request, response) => {
    count += 1;
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(`id: ${count}\ndata: "hello"\n\n`, () => (end === "clean" ? response.end() : response.destroy()));
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const baseUrl = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  const stop = new AbortController();
  const { stream } = await news({
    baseUrl,
    signal: stop.signal,
    sseDefaultRetryDelay: 10,
    sseSleepFn: async (pause: number) => {
      pauses.push(pause);
      if (pauses.length === 4) stop.abort();
    },
  });
  for await (const _event of stream);
  server.closeAllConnections();
  server.close();
  return [count, pauses];
}

const [clean] = await connections("clean");
const [cut, pauses] = await connections("cut");
console.log(`connections after a clean end: ${clean}; after cuts: ${cut}, with pauses of ${pauses.join(", ")} ms`);
process.exit(clean === 1 && cut === 4 && pauses.join() === "10,20,40,80" ? 0 : 1);
TS
version() { node -p "require('./node_modules/$1/package.json').version"; }
echo "version: node $(node --version), @hey-api/openapi-ts $(version @hey-api/openapi-ts)"
npx tsx probe.mts
