// The marks of one photo: a byte for every pixel. This is the truth; the canvas only shows it.

export const NEGATIVE = 0;
export const UNMARKED = 128;
export const POSITIVE = 255;

/** The smallest rectangle around both. A rectangle is {left, top, right, bottom}, right and bottom outside; null is none. */
export function union(a, b) {
  if (!a || !b) return a ?? b;
  return {
    left: Math.min(a.left, b.left),
    top: Math.min(a.top, b.top),
    right: Math.max(a.right, b.right),
    bottom: Math.max(a.bottom, b.bottom),
  };
}

export class Marks {
  /** `values`: width * height bytes, row by row; all unmarked if left out. */
  constructor(width, height, values = new Uint8Array(width * height).fill(UNMARKED)) {
    this.width = width;
    this.height = height;
    this.values = values;
    /** What changed since the last step of the history, and since the canvas was last painted. */
    this.uncommitted = null;
    this.unpainted = null;
  }

  get whole() {
    return { left: 0, top: 0, right: this.width, bottom: this.height };
  }

  get empty() {
    return this.values.every((value) => value === UNMARKED);
  }

  /** The value at a pixel; unmarked outside of the photo. */
  at(x, y) {
    const inside = x >= 0 && y >= 0 && x < this.width && y < this.height;
    return inside ? this.values[y * this.width + x] : UNMARKED;
  }

  /** Set the pixels `left` to `right` - 1 of row `y`, as far as they lie in the photo. */
  fillSpan(y, left, right, value) {
    left = Math.max(left, 0);
    right = Math.min(right, this.width);
    if (y < 0 || y >= this.height || left >= right) return;
    this.values.fill(value, y * this.width + left, y * this.width + right);
    this.touch({ left, top: y, right, bottom: y + 1 });
  }

  /** Note that something in this rectangle changed. */
  touch(rectangle) {
    this.uncommitted = union(this.uncommitted, rectangle);
    this.unpainted = union(this.unpainted, rectangle);
  }
}
