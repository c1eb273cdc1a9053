// The tools that make a shape of several presses: it is begun with the first corner, and filled when it is finished.

import { UNMARKED } from "./marks.js";
import { fillBox, fillPolygon } from "./shapes.js";
import { Tool } from "./tools.js";

export class Polygon extends Tool {
  #corners = [];
  #pressed = null;

  get begun() {
    return this.#corners.length;
  }

  get shape() {
    return `The polygon of ${this.begun} ${this.begun === 1 ? "corner" : "corners"}`;
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
    if (this.#corners.pop()) this.desk.say(`Corner removed, ${this.begun || "none"} left`);
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

  get shape() {
    return "The box";
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
    if (this.#waits) this.desk.say("Corner of the box removed");
    this.#forget();
  }

  #forget() {
    this.#start = this.#pressed = null;
    this.#waits = false;
  }

  draw(pen, hover) {
    if (!this.#start) return;
    const [a, b] = [this.#start, hover ?? this.#start];
    const [left, right] = [Math.floor(Math.min(a.x, b.x)), Math.floor(Math.max(a.x, b.x)) + 1];
    const [top, bottom] = [Math.floor(Math.min(a.y, b.y)), Math.floor(Math.max(a.y, b.y)) + 1];
    const corners = [[left, top], [right, top], [right, bottom], [left, bottom]];
    pen.line(corners.map(([x, y]) => ({ x, y })), true);
  }
}
