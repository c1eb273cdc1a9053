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

/** Marks as a PNG file, grey and opaque. The values are read before this returns; the file follows. */
export function encodeMarks(values, width, height) {
  const { canvas, context } = blank(width, height);
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < values.length; i++) pixels[i] = 0xff000000 | (values[i] * 0x010101);
  context.putImageData(image, 0, 0);
  return new Promise((resolve, reject) => {
    const done = (blob) => (blob ? resolve(blob) : reject(new Error("the browser could not make a PNG file")));
    canvas.toBlob(done, "image/png");
  });
}
