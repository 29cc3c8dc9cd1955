/** The page's own scripts that it starts beside itself. The Content-Security-Policy allows no other way to name one. */

/** @typedef {{createPolicy: (name: string, rules: {createScriptURL: (url: string) => string}) => {createScriptURL: (url: string) => string}}} TrustedTypes */

const { trustedTypes } = /** @type {{trustedTypes?: TrustedTypes}} */ (/** @type {unknown} */ (globalThis));

/** Browsers without Trusted Types take the URL as it is. */
const rules = trustedTypes?.createPolicy("tasklog", { createScriptURL: ownUrl }) ?? { createScriptURL: ownUrl };

/**
 * Return the URL of a script for a worker.
 * @param {string} path relative to the page's modules, or absolute
 */
export function script(path) {
  return rules.createScriptURL(new URL(path, import.meta.url).href);
}

/** @param {string} url */
function ownUrl(url) {
  if (!url.startsWith(`${location.origin}/console/`)) throw new TypeError(`${url} is no script of the console`);
  return url;
}
