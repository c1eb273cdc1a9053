// Out of PNG files into bytes, exactly. Not with a canvas: a browser may give noise instead of what was drawn (to fight
// fingerprinting), or zeros where the picture is too large for it, and either would be saved as marks with the next stroke.

import { NEGATIVE, UNMARKED, POSITIVE } from "./marks.js";
import { SIGNATURE } from "./png.js";

const CHANNELS = { 0: 1, 2: 3 }; // by the colour type: grey, RGB

/** A grey file: {width, height, values}. */
export async function decodeGrey(blob) {
  const { bytes, ...size } = await decode(blob, 1);
  return { ...size, values: bytes };
}

/** Marks: as `decodeGrey`, refused where a value is none of the three. */
export async function decodeMarks(blob) {
  const grey = await decodeGrey(blob);
  for (const value of grey.values) {
    if (value === NEGATIVE || value === UNMARKED || value === POSITIVE) continue;
    throw new Error(`the marks were not read as they were sent: a pixel of value ${value}`);
  }
  return grey;
}

/** The number of the segment at every pixel, R + 256 G + 65536 B: {width, height, values}. */
export async function decodeNumbers(blob) {
  const { width, height, bytes } = await decode(blob, 3);
  const values = new Uint32Array(width * height);
  for (let i = 0; i < values.length; i++) {
    values[i] = bytes[3 * i] + 256 * bytes[3 * i + 1] + 65536 * bytes[3 * i + 2];
  }
  return { width, height, values };
}

/** The bytes of a file of 8 bits, so many channels and no interlacing, which is what the server sends. */
async function decode(blob, channels) {
  const file = new DataView(await blob.arrayBuffer());
  if (!SIGNATURE.every((byte, i) => i < file.byteLength && byte === file.getUint8(i))) throw new Error("no PNG file");
  const body = [];
  let header = null;
  for (let at = SIGNATURE.length; at + 12 <= file.byteLength; ) {
    const length = file.getUint32(at);
    const name = String.fromCharCode(...new Uint8Array(file.buffer, at + 4, 4));
    if (at + 12 + length > file.byteLength) throw new Error("a PNG file that is cut short");
    if (name === "IHDR") header = new DataView(file.buffer, at + 8, length);
    if (name === "IDAT") body.push(new Uint8Array(file.buffer, at + 8, length));
    at += 12 + length;
  }
  const [bits, colour, , , interlaced] = header ? [8, 9, 10, 11, 12].map((at) => header.getUint8(at)) : [];
  if (bits !== 8 || CHANNELS[colour] !== channels || interlaced) throw new Error("a PNG file of another kind");
  const [width, height] = [header.getUint32(0), header.getUint32(4)];
  const rows = await inflate(body);
  if (rows.length !== height * (channels * width + 1)) throw new Error("a PNG file of another size than it says");
  return { width, height, bytes: unfilter(rows, channels * width, height, channels) };
}

async function inflate(parts) {
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Rows without the filter that each begins with: `long` bytes a row, those of a pixel `step` apart. */
function unfilter(rows, long, height, step) {
  const bytes = new Uint8Array(long * height);
  for (let y = 0; y < height; y++) {
    const from = y * (long + 1) + 1;
    const to = y * long;
    const filter = rows[from - 1];
    const add = FILTERS[filter];
    if (!add) throw new Error("a damaged PNG file");
    if (filter === 0) {
      bytes.set(rows.subarray(from, from + long), to);
      continue;
    }
    for (let x = 0; x < long; x++) {
      const left = x < step ? 0 : bytes[to + x - step];
      const above = y === 0 ? 0 : bytes[to + x - long];
      const corner = x < step || y === 0 ? 0 : bytes[to + x - long - step];
      bytes[to + x] = rows[from + x] + add(left, above, corner);
    }
  }
  return bytes;
}

/** By number: none, sub, up, average, Paeth. */
const FILTERS = [
  () => 0,
  (left) => left,
  (left, above) => above,
  (left, above) => (left + above) >> 1,
  (left, above, corner) => {
    const [a, b, c] = [Math.abs(above - corner), Math.abs(left - corner), Math.abs(left + above - 2 * corner)];
    return a <= b && a <= c ? left : b <= c ? above : corner;
  },
];
