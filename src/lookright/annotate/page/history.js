// Undo and redo. A step keeps the rectangle that changed and, as runs of equal values, what was there before:
// a whole photo filled with one ink costs a few bytes.

import { NEGATIVE, UNMARKED, POSITIVE } from "./marks.js";

const STEPS = 1000;
const CODES = [NEGATIVE, UNMARKED, POSITIVE];

/** The values of a rectangle as numbers 4 * length + code. */
function pack(values, width, { left, top, right, bottom }) {
  const runs = [];
  let [last, length] = [-1, 0];
  const flush = () => length && runs.push(4 * length + CODES.indexOf(last));
  for (let y = top; y < bottom; y++) {
    for (let i = y * width + left; i < y * width + right; i++) {
      if (values[i] === last) {
        length++;
      } else {
        flush();
        [last, length] = [values[i], 1];
      }
    }
  }
  flush();
  return Uint32Array.from(runs);
}

/** Write packed values back into their rectangle. */
function unpack(runs, values, width, { left, top, right }) {
  let [x, y] = [left, top];
  for (const run of runs) {
    const value = CODES[run & 3];
    let length = run >>> 2;
    while (length > 0) {
      const part = Math.min(length, right - x);
      values.fill(value, y * width + x, y * width + x + part);
      length -= part;
      x += part;
      if (x === right) [x, y] = [left, y + 1];
    }
  }
}

export class History {
  #past = [];
  #future = [];

  constructor(marks) {
    this.marks = marks;
    /** The marks without a stroke that is still being drawn: what is saved. */
    this.committed = marks.values.slice();
  }

  /** How many steps can be undone. */
  get depth() {
    return this.#past.length;
  }

  get canUndo() {
    return this.depth > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  /** End a step: whether anything changed by it. */
  commit() {
    const rectangle = this.#changed();
    this.marks.uncommitted = null;
    if (!rectangle) return false;
    this.#past.push({ rectangle, runs: pack(this.committed, this.marks.width, rectangle) });
    if (this.#past.length > STEPS) this.#past.shift();
    this.#future = [];
    this.#copy(this.marks.values, this.committed, rectangle);
    return true;
  }

  /** Take back what was drawn since the last step. */
  revert() {
    const rectangle = this.marks.uncommitted;
    if (!rectangle) return;
    this.#copy(this.committed, this.marks.values, rectangle);
    this.marks.touch(rectangle);
    this.marks.uncommitted = null;
  }

  /** Go one step back: whether there was one. */
  undo() {
    return this.#move(this.#past, this.#future);
  }

  /** Go one step forward again: whether there was one. */
  redo() {
    return this.#move(this.#future, this.#past);
  }

  #move(from, to) {
    const step = from.pop();
    if (!step) return false;
    const { rectangle } = step;
    const { values, width } = this.marks;
    to.push({ rectangle, runs: pack(this.committed, width, rectangle) });
    unpack(step.runs, values, width, rectangle);
    this.#copy(values, this.committed, rectangle);
    this.marks.touch(rectangle);
    this.marks.uncommitted = null;
    return true;
  }

  /** The smallest rectangle in which the marks differ from the committed ones. */
  #changed() {
    const rough = this.marks.uncommitted;
    if (!rough) return null;
    const { values, width } = this.marks;
    let found = null;
    for (let y = rough.top; y < rough.bottom; y++) {
      for (let x = rough.left; x < rough.right; x++) {
        if (values[y * width + x] === this.committed[y * width + x]) continue;
        found ??= { left: x, top: y, right: x + 1, bottom: y + 1 };
        found.left = Math.min(found.left, x);
        found.right = Math.max(found.right, x + 1);
        found.bottom = y + 1;
      }
    }
    return found;
  }

  #copy(from, to, { left, top, right, bottom }) {
    const width = this.marks.width;
    for (let y = top; y < bottom; y++) {
      to.set(from.subarray(y * width + left, y * width + right), y * width + left);
    }
  }
}
