// Everything of an image that is to be opened.

import * as api from "./api.js";
import { decodeMarks } from "./decode.js";
import { Marks } from "./marks.js";
import { decodePhoto } from "./png.js";

/** Everything of an image: [facts, photo, {marks, version}]. */
export async function load(index) {
  const [info, photo, { blob, version }] = await Promise.all([
    api.image(index), api.photo(index).then(decodePhoto), api.marks(index),
  ]);
  const { width, height, values } = await decodeMarks(blob);
  if (photo.width !== width || photo.height !== height) {
    throw new Error(`the photo is ${photo.width} x ${photo.height} pixels, its marks ${width} x ${height}`);
  }
  return [info, photo, { marks: new Marks(width, height, values), version }];
}
