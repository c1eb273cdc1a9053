// The marks of another image as a start.

import * as api from "./api.js";
import { decodeMarks } from "./decode.js";
import { say } from "./dom.js";

/** Take the marks of the image `from`, resized if need be; null is none. */
export async function copyMarks(editor, from) {
  const { marks } = editor;
  if (!marks || from === null) {
    say("There is no image before this one");
    return;
  }
  let other;
  try {
    other = await decodeMarks((await api.marks(from)).blob);
  } catch (error) {
    say(`The marks could not be copied: ${error.message}`);
    return;
  }
  if (marks !== editor.marks) return; // another image was opened meanwhile
  const values = marks.values.map((_, i) => {
    const x = Math.floor(((i % marks.width) + 0.5) * (other.width / marks.width));
    const y = Math.floor((Math.floor(i / marks.width) + 0.5) * (other.height / marks.height));
    return other.values[y * other.width + x];
  });
  say(editor.replace(values) ? "The marks of the previous image were copied; undo takes them back"
    : "The previous image has the same marks");
}
