// Between PNG files and bytes, exactly: no colour management, no transparency, nothing rounded.

import { NEGATIVE, UNMARKED, POSITIVE } from "./marks.js";

/** A new canvas of this size and its context. */
export function blank(width, height, settings = {}) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  return { canvas, context: canvas.getContext("2d", settings) };
}

/** A photo, ready to be drawn. */
export function decodePhoto(blob) {
  return createImageBitmap(blob);
}

/** Four bytes a pixel: {width, height, bytes}. */
async function decode(blob) {
  const exact = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(blob, exact);
  const { width, height } = bitmap;
  const { context } = blank(width, height, { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, bytes: context.getImageData(0, 0, width, height).data };
}

/** The first channel of a file: {width, height, values}. */
export async function decodeGrey(blob) {
  const { width, height, bytes } = await decode(blob);
  const values = new Uint8Array(width * height);
  for (let i = 0; i < values.length; i++) values[i] = bytes[4 * i];
  return { width, height, values };
}

/** Marks: as `decodeGrey`, each value the nearest of the three (browsers that fight fingerprinting add noise). */
export async function decodeMarks(blob) {
  const grey = await decodeGrey(blob);
  const nearest = (value) => (value < 64 ? NEGATIVE : value < 192 ? UNMARKED : POSITIVE);
  return { ...grey, values: grey.values.map(nearest) };
}

/** The number of the segment at every pixel, R + 256 G + 65536 B: {width, height, values}. */
export async function decodeNumbers(blob) {
  const { width, height, bytes } = await decode(blob);
  const values = new Uint32Array(width * height);
  for (let i = 0; i < values.length; i++) {
    values[i] = bytes[4 * i] + 256 * bytes[4 * i + 1] + 65536 * bytes[4 * i + 2];
  }
  return { width, height, values };
}

const SIGNATURE = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
const BLOCK = 1 << 20; // bytes that are compressed at a time: drawing goes on in between

/** Marks as a PNG file, grey and opaque. The values are read before this returns; the file follows.
 *  Not with canvas.toBlob: Chromium begins that when the page is idle, which is up to a second later. */
export function encodeMarks(values, width, height) {
  const rows = new Uint8Array(height * (width + 1)); // each begins with its filter: 0, none
  for (let y = 0; y < height; y++) rows.set(values.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const header = new Uint8Array(13); // size, then 8 bits, grey, and the usual ways
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header[8] = 8;
  return deflate(rows).then((body) => new Blob(
    [SIGNATURE, ...chunk("IHDR", header), ...chunk("IDAT", body), ...chunk("IEND", new Uint8Array())],
    { type: "image/png" },
  ));
}

/** Compressed as zlib does, which is what PNG takes. */
async function deflate(bytes) {
  let at = 0;
  const blocks = new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) controller.close();
      else controller.enqueue(bytes.subarray(at, (at += BLOCK)));
    },
  });
  return new Uint8Array(await new Response(blocks.pipeThrough(new CompressionStream("deflate"))).arrayBuffer());
}

/** A chunk of a PNG file: length, name, body, checksum. */
function chunk(name, body) {
  const named = new Uint8Array(4 + body.length);
  for (let i = 0; i < 4; i++) named[i] = name.charCodeAt(i);
  named.set(body, 4);
  return [number(body.length), named, number(checksum(named))];
}

function number(value) {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

const CRC = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** CRC-32. */
function checksum(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}
