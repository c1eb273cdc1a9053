// The tools. Each is told where the pointer (or the keyboard's cross-hair) presses, moves and lifts, in photo pixels,
// and writes into the marks of the desk, which has: marks, ink, size, regions, commit(), revert(), say(text).
// `abort` takes back a press that turned out to be none (a second finger came); `cancel` also gives up a shape.

import { UNMARKED } from "./marks.js";
import { fillBox, fillLine, fillPolygon, fillWhere } from "./shapes.js";

class Tool {
  /** Whether the keyboard holds the tool down between two presses, and draws by moving. */
  holds = false;

  constructor(desk) {
    this.desk = desk;
  }

  /** Whether a shape is begun and not finished: how many points it has. */
  get begun() {
    return 0;
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

export class Polygon extends Tool {
  #corners = [];
  #pressed = null;

  get begun() {
    return this.#corners.length;
  }

  press(point, erase) {
    this.#pressed = { point, erase };
  }

  move(point) {
    if (this.#pressed) this.#pressed.point = point;
  }

  release() {
    if (!this.#pressed) return;
    const { point, erase } = this.#pressed;
    this.#pressed = null;
    const near = (corner) => corner && Math.hypot(corner.x - point.x, corner.y - point.y) <= this.desk.reach;
    const [first, last] = [this.#corners[0], this.#corners.at(-1)];
    if (near(first) || near(last)) {
      if (this.#corners.length > 2) this.finish(erase);
      return;
    }
    this.#corners.push(point);
    this.desk.say(`Corner ${this.#corners.length} of the polygon`);
  }

  abort() {
    this.#pressed = null;
  }

  cancel() {
    this.abort();
    if (this.#corners.length) this.desk.say("The polygon was given up");
    this.#corners = [];
  }

  finish(erase = false) {
    if (this.#corners.length < 3) {
      this.desk.say("A polygon needs three corners");
      return;
    }
    fillPolygon(this.desk.marks, this.#corners, erase ? UNMARKED : this.desk.ink);
    this.#corners = [];
    if (this.desk.commit()) this.desk.say("Polygon filled");
  }

  stepBack() {
    this.#corners.pop();
  }

  draw(pen, hover) {
    if (!this.#corners.length) return;
    pen.line(hover ? [...this.#corners, hover] : this.#corners, true);
    this.#corners.forEach((corner) => pen.handle(corner));
  }
}

export class Box extends Tool {
  #start = null;
  #pressed = null; // where the pointer went down
  #waits = false; // the first corner was set with a click, the second is to come

  get begun() {
    return this.#waits ? 1 : 0;
  }

  press(point) {
    this.#pressed = point;
    this.#start ??= point;
  }

  release(point, erase) {
    if (!this.#pressed) return;
    const moved = Math.hypot(point.x - this.#pressed.x, point.y - this.#pressed.y) > this.desk.reach / 3;
    this.#pressed = null;
    if (!moved && !this.#waits) {
      this.#waits = true;
      this.desk.say("First corner of the box; the next press sets the other one");
      return;
    }
    fillBox(this.desk.marks, this.#start, point, erase ? UNMARKED : this.desk.ink);
    this.#forget();
    if (this.desk.commit()) this.desk.say("Box filled");
  }

  abort() {
    this.#pressed = null;
    if (!this.#waits) this.#start = null;
  }

  cancel() {
    if (this.#waits) this.desk.say("The box was given up");
    this.#forget();
  }

  stepBack() {
    this.#forget();
  }

  #forget() {
    this.#start = this.#pressed = null;
    this.#waits = false;
  }

  draw(pen, hover) {
    if (!this.#start || !hover) return;
    const [a, b] = [this.#start, hover];
    const [left, right] = [Math.floor(Math.min(a.x, b.x)), Math.floor(Math.max(a.x, b.x)) + 1];
    const [top, bottom] = [Math.floor(Math.min(a.y, b.y)), Math.floor(Math.max(a.y, b.y)) + 1];
    const corners = [[left, top], [right, top], [right, bottom], [left, bottom]];
    pen.line(corners.map(([x, y]) => ({ x, y })), true);
  }
}

export class Superpixel extends Tool {
  #done = null; // the regions of this drag
  #value = UNMARKED;

  press(point, erase) {
    const { regions, marks, ink } = this.desk;
    if (!regions) {
      this.desk.say("The regions are still being computed");
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
