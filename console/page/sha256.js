/**
 * SHA-256 (FIPS 180-4) of texts. For many short texts WebCrypto's takes five times as long, as each of its calls goes to
 * another thread and back.
 */

const ROUNDS = 64;
const BLOCK = 64; // bytes
const ENDING = 9; // bytes after the text: a bit that ends it, and its length

const [K, START] = constants();
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const encoder = new TextEncoder();

/** The words that a round takes in, and the state between blocks. */
const w = new Int32Array(ROUNDS);
const state = new Int32Array(START.length);
let bytes = new DataView(new ArrayBuffer(4096));

/**
 * Return the hash of a text in UTF-8, in hex.
 * @param {string} text
 */
export function sha256(text) {
  const end = fill(text);
  state.set(START);
  for (let at = 0; at < end; at += BLOCK) takeBlock(at);
  let hex = "";
  for (const part of state) hex += `${HEX[part >>> 24]}${HEX[(part >>> 16) & 255]}${HEX[(part >>> 8) & 255]}${HEX[part & 255]}`;
  return hex;
}

/**
 * Write the text and its ending to `bytes`, and return where the last block ends.
 * @param {string} text
 */
function fill(text) {
  const most = 3 * text.length + ENDING + BLOCK;
  if (most > bytes.byteLength) bytes = new DataView(new ArrayBuffer(2 * most));
  const all = new Uint8Array(bytes.buffer);
  const { written } = encoder.encodeInto(text, all);
  const end = Math.ceil((written + ENDING) / BLOCK) * BLOCK;
  all.fill(0, written, end);
  all[written] = 0x80;
  bytes.setBigUint64(end - 8, 8n * BigInt(written));
  return end;
}

/** @param {number} at where the block begins */
function takeBlock(at) {
  for (let i = 0; i < 16; i += 1) w[i] = bytes.getInt32(at + 4 * i);
  for (let i = 16; i < ROUNDS; i += 1) {
    const x = word(w, i - 15);
    const y = word(w, i - 2);
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = word(w, i - 16) + s0 + word(w, i - 7) + s1;
  }
  let a = word(state, 0), b = word(state, 1), c = word(state, 2), d = word(state, 3); // an array would take twice as long
  let e = word(state, 4), f = word(state, 5), g = word(state, 6), h = word(state, 7);
  for (let i = 0; i < ROUNDS; i += 1) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + word(K, i) + word(w, i)) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  add(0, a, b, c, d);
  add(4, e, f, g, h);
}

/** @param {number} from @param {number[]} values */
function add(from, ...values) {
  for (let i = 0; i < values.length; i += 1) state[from + i] = word(state, from + i) + (values[i] ?? 0);
}

/** @param {Int32Array} array @param {number} i */
function word(array, i) {
  return /** @type {number} */ (array[i]);
}

/** @returns {[Int32Array, Int32Array]} of the cube roots of 64 primes and the square roots of 8: the first 32 bits behind the point */
function constants() {
  /** @type {number[]} */
  const primes = [];
  for (let n = 2; primes.length < ROUNDS; n += 1) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  const bits = (/** @type {number} */ root) => Math.floor((root % 1) * 2 ** 32) | 0;
  return [Int32Array.from(primes, (prime) => bits(Math.cbrt(prime))), Int32Array.from(primes.slice(0, 8), (prime) => bits(Math.sqrt(prime)))];
}
