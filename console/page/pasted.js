/** Reads what somebody kept elsewhere and pastes in: receipts, anchors, whole histories. */

/**
 * Return the hashes by position in a text: from JSON, from lines of JSON, or from any text in which each position is
 * named, as in a receipt's headers.
 * @param {string} text
 * @param {string} user hashes that name another user are left out
 * @returns {Map<number, string>}
 */
export function pasted(text, user) {
  /** @type {Map<number, string>} */
  const found = new Map();
  const values = [text, ...text.split("\n")].map(parsed).filter((value) => value !== undefined);
  for (const value of values) collect(value, user, user, found);
  if (values.length === 0) {
    const positions = [...text.matchAll(/position\W{1,4}(\d+)/gi)].map(([, position]) => Number(position));
    const hashes = text.match(/\b[0-9a-f]{64}\b/gi) ?? [];
    if (positions.length === 0) positions.push(...[...text.matchAll(/^\s*(\d+)\s/gm)].map(([, position]) => Number(position)));
    for (const [n, position] of positions.entries()) {
      const hash = hashes[n];
      if (hash !== undefined && positions.length === hashes.length) found.set(position, hash.toLowerCase());
    }
  }
  return found;
}

/** @param {string} text @returns {unknown} undefined if it is no object or array in JSON */
function parsed(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {unknown} value
 * @param {string} of whose the value is
 * @param {string} user
 * @param {Map<number, string>} found
 */
function collect(value, of, user, found) {
  if (typeof value !== "object" || value === null) return;
  const { user_id = of, position, hash } = /** @type {Record<string, unknown>} */ (value);
  if (user_id === user && Number.isInteger(position) && typeof hash === "string" && /^[0-9a-f]{64}$/i.test(hash)) {
    found.set(Number(position), hash.toLowerCase());
  }
  for (const part of Object.values(value)) collect(part, String(user_id), user, found);
}
