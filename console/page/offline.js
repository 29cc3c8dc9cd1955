/**
 * The console's service worker: without a connection the page still opens. It keeps the page's own files, and no answer
 * of the API. With a connection the page comes from the service each time, so that a new release is there at once.
 */

/** @typedef {Event & {waitUntil: (done: Promise<unknown>) => void}} Lasting */
/** @typedef {Lasting & {request: Request, respondWith: (answer: Promise<Response>) => void}} Fetching */
/** @typedef {Lasting & {addRoutes?: (rule: object) => Promise<void>}} Installing */

const CACHE = "tasklog-console";
const PAGE = "/console";
const PATIENCE = 3000; // milliseconds
const worker = /** @type {{skipWaiting: () => Promise<void>}} */ (/** @type {unknown} */ (globalThis));

addEventListener("install", (event) => {
  const installing = /** @type {Installing} */ (event);
  installing.waitUntil(fetch(PAGE).then(keep).then(() => worker.skipWaiting()));
  // Where the browser can do so, calls of the API do not even pass through here.
  installing.addRoutes?.({ condition: { urlPattern: "/api/*" }, source: "network" }).catch(() => {});
});

addEventListener("fetch", (event) => {
  const fetching = /** @type {Fetching} */ (event);
  const { origin, pathname } = new URL(fetching.request.url);
  if (origin !== location.origin || fetching.request.method !== "GET") return;
  if (pathname === PAGE || pathname === `${PAGE}/`) fetching.respondWith(page(fetching));
  else if (pathname.startsWith(`${PAGE}/`)) fetching.respondWith(file(fetching.request));
});

/**
 * Return the service's page, or the one that was kept if the service does not answer in time.
 * @param {Fetching} fetching
 */
async function page(fetching) {
  const kept = await caches.match(PAGE);
  const signal = kept ? AbortSignal.timeout(PATIENCE) : null;
  const answer = await fetch(fetching.request, { signal }).catch(() => Response.error());
  if (answer.ok) fetching.waitUntil(keep(answer.clone()));
  return kept && (answer.type === "error" || answer.status >= 500) ? kept : answer;
}

/** @param {Request} request for a file, whose path has its version */
async function file(request) {
  return (await caches.match(request, { ignoreVary: true })) ?? fetch(request);
}

/**
 * Keep a page with the files that it names, in place of those of an earlier release.
 * @param {Response} answer
 */
async function keep(answer) {
  if (!answer.ok) return;
  const cache = await caches.open(CACHE);
  const text = await answer.clone().text();
  const named = new Set([...text.matchAll(/"(\/console\/[^"]+)"/g)].map(([, path]) => String(path)));
  const kept = (await cache.keys()).map(({ url }) => new URL(url).pathname);
  await cache.addAll([...named].filter((path) => !kept.includes(path)));
  await cache.put(PAGE, answer);
  await Promise.all(kept.filter((path) => path !== PAGE && !named.has(path)).map((path) => cache.delete(path)));
}
