// Marks as PNG files (decode.js reads them), and pictures to be drawn.

/** A new canvas of this size and its context. */
export function blank(width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  return { canvas, context: canvas.getContext("2d") };
}

/** A photo, ready to be drawn. */
export function decodePhoto(blob) {
  return createImageBitmap(blob);
}

export const SIGNATURE = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
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
