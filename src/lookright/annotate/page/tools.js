// The tools. Each is told where the pointer (or the keyboard's cross-hair) presses, moves and lifts, in photo pixels,
// and writes into the marks of the desk, which has: marks, ink, size, regions, missRegions(), commit(), revert(), say(text).
// `abort` takes back a press that turned out to be none (a second finger came); `cancel` also gives up a shape. A shape
// that is begun (cornered.js) stays so while another tool is in hand.

import { UNMARKED } from "./marks.js";
import { fillLine, fillWhere } from "./shapes.js";

export class Tool {
  /** Whether the keyboard holds the tool down between two presses, and draws by moving. */
  holds = false;

  constructor(desk) {
    this.desk = desk;
  }

  /** Whether a shape is begun and not finished: how many points it has. */
  get begun() {
    return 0;
  }

  /** What is begun, in words. */
  get shape() {
    return "";
  }

  press() {}
  move() {}
  release() {}
  abort() {}
  cancel() {
    this.abort();
  }
  finish() {}
  stepBack() {}
  draw() {}
}

export class Brush extends Tool {
  holds = true;
  #last = null;
  #value = UNMARKED;

  value(erase) {
    return erase ? UNMARKED : this.desk.ink;
  }

  press(point, erase) {
    this.#value = this.value(erase);
    this.#last = point;
    this.move(point);
  }

  move(point) {
    if (!this.#last) return;
    fillLine(this.desk.marks, this.#last, point, this.desk.size, this.#value);
    this.#last = point;
  }

  release() {
    if (!this.#last) return;
    this.#last = null;
    this.desk.commit();
  }

  abort() {
    this.#last = null;
    this.desk.revert();
  }

  draw(pen, hover) {
    if (hover) pen.circle(hover, this.desk.size);
  }
}

export class Eraser extends Brush {
  value() {
    return UNMARKED;
  }
}

export class Superpixel extends Tool {
  #done = null; // the regions of this drag
  #value = UNMARKED;

  press(point, erase) {
    const { regions, marks, ink } = this.desk;
    if (!regions) {
      this.desk.missRegions();
      return;
    }
    // A region that has the ink already is cleared: a second click takes the first one back.
    const filled = marks.at(Math.floor(point.x), Math.floor(point.y)) === ink;
    this.#value = erase || filled ? UNMARKED : ink;
    this.#done = new Set();
    this.move(point);
  }

  move(point) {
    const { regions, marks } = this.desk;
    const number = this.#done && regions ? regions.at(point) : null;
    if (number === null || this.#done.has(number)) return;
    this.#done.add(number);
    fillWhere(marks, regions.bounds(number), (position) => regions.holds(position, number), this.#value);
  }

  release() {
    if (!this.#done) return;
    const count = this.#done.size === 1 ? "1 region" : `${this.#done.size} regions`;
    this.#done = null;
    if (this.desk.commit()) this.desk.say(`${count} ${this.#value === UNMARKED ? "cleared" : "filled"}`);
  }

  abort() {
    this.#done = null;
    this.desk.revert();
  }
}
