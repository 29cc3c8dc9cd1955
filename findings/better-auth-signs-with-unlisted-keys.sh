#!/bin/sh
# better-auth 1.7.25, plugin jwt with jwks.rotationInterval: from the 101st rotation on, every new token is signed with a
# key that the service's own /jwks does not list.
#
# Guess before the run: a token that was issued just now can be checked with what /jwks lists just now, however often
#   keys were rotated; keys that are past their grace period are removed at some time.
# Seen: keys are never removed, and the list is read with the adapter's default limit (defaultFindManyLimit, 100), oldest
#   first. The 101st key and all later ones sign, but are not listed: whoever checks tokens by /jwks refuses everybody.
# What to do: leave rotationInterval unset, or raise advanced.database.defaultFindManyLimit, and delete expired rows.
#
# Needs node 20 and npm. Prints versions and what it saw; fails if that is no longer so.
set -eu
lab=$(mktemp -d)
trap 'rm -rf "$lab"' EXIT
cd "$lab"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund better-auth@1.7.25
cat >probe.mjs <<'JS'
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { jwt } from "better-auth/plugins";
import { setTimeout as wait } from "node:timers/promises";

const store = { user: [], session: [], account: [], verification: [], jwks: [] };
const auth = betterAuth({
  baseURL: "http://127.0.0.1:3000",
  secret: "0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFG",
  database: memoryAdapter(store),
  emailAndPassword: { enabled: true },
  telemetry: { enabled: false },
  // A rotation every 10 ms stands for one every month; keys stay good for an hour.
  plugins: [jwt({ jwks: { rotationInterval: 0.01, gracePeriod: 3600 } })],
});
const person = { email: "person@example.com", password: "a long password", name: "Person" };
const { headers } = await auth.api.signUpEmail({ body: person, returnHeaders: true });
const cookie = headers.get("set-cookie").split(";")[0];

let firstUnlisted = 0;
let listed = 0;
for (let rotation = 1; rotation <= 103; rotation++) {
  await wait(12);
  const { token } = await auth.api.getToken({ headers: new Headers({ cookie }) });
  const { kid } = JSON.parse(Buffer.from(token.split(".")[0], "base64url"));
  const keys = (await auth.api.getJwks()).keys.map((key) => key.kid);
  listed = keys.length;
  if (!keys.includes(kid) && !firstUnlisted) firstUnlisted = rotation;
}
console.log(`keys stored: ${store.jwks.length}, listed: ${listed}, first token signed with an unlisted key: ${firstUnlisted}`);
process.exit(store.jwks.length === 103 && listed === 100 && firstUnlisted === 101 ? 0 : 1);
JS
echo "version: node $(node --version), better-auth $(node -p 'require("./node_modules/better-auth/package.json").version')"
node probe.mjs
