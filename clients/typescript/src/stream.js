/**
 * Server-sent events, read from the body of an answer. The browser's own EventSource cannot send a token.
 */

/**
 * @typedef {object} StreamEvent
 * @property {string} id the last id that was sent, "" before the first
 * @property {string} data the lines of `data`, joined by line feeds
 */

/**
 * Yield the events of a stream. An event that the stream's end cuts off is left out.
 * @param {ReadableStream<Uint8Array>} body
 * @param {{heard?: () => void, retry?: (milliseconds: number) => void}} [on] `heard` is called for every piece that
 *   arrives, comments included; `retry` when the server says how long to wait before the next connection
 * @returns {AsyncGenerator<StreamEvent, void, void>}
 */
export async function* events(body, on = {}) {
  let id = "";
  /** @type {string[]} */
  let data = [];
  for await (const line of lines(body, on.heard)) {
    if (line === "") {
      if (data.length > 0) yield { id, data: data.join("\n") };
      data = [];
      continue;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "data") data.push(value);
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d+$/.test(value)) on.retry?.(Number(value));
  }
}

/**
 * Yield the complete lines of a text in UTF-8, which end in CR, LF, or both.
 * @param {ReadableStream<Uint8Array>} body
 * @param {() => void} [heard]
 * @returns {AsyncGenerator<string, void, void>}
 */
async function* lines(body, heard) {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let line = "";
  let end = ""; // a CR that waits: an LF that belongs to it may follow
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard?.();
      // Only what is new is searched, as a line may be long and come in many pieces.
      const piece = end + decoder.decode(value, { stream: true });
      end = piece.endsWith("\r") ? "\r" : "";
      for (const [n, part] of piece.slice(0, piece.length - end.length).split(/\r\n|\n|\r/).entries()) {
        if (n > 0) yield line;
        line = n > 0 ? part : line + part;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
