// Mouse, pen and touch on the canvas: one draws, the middle button or the space bar pans, two fingers zoom and pan.
// Once a pen was seen, fingers do not draw, as a hand rests on the screen then: one finger pans.

import { byId, say } from "./dom.js";

const PEN_ERASER = 32; // in event.buttons
const STILL = 10; // screen pixels that a finger moves before it is drawing for sure ...
const SOON = 200; // ... and ms that two fingers of a pinch come after each other at most

export class Pointers {
  /** Whether the space bar is held, and whether something was panned with it. */
  space = false;
  panned = false;

  #stage;
  #editor;
  #down = new Map(); // pointerId -> where, on the canvas
  #mode = null; // draw, pan, pinch, or done (a pinch of which one finger is left)
  #kind = null; // mouse, pen or touch
  #erase = false;
  #penSeen = false;
  #first = null; // where and when the first one was pressed: {x, y, time, moved}, moved once it is farther than STILL

  constructor(stage, editor) {
    this.#stage = stage;
    this.#editor = editor;
    const canvas = stage.canvas;
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#lift(event));
    canvas.addEventListener("pointercancel", (event) => this.#lift(event, true));
    canvas.addEventListener("pointerleave", () => {
      if (!this.#down.size) stage.hover = null;
      stage.refresh();
    });
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    // The middle button would start the browser's own scrolling.
    canvas.addEventListener("mousedown", (event) => event.button === 1 && event.preventDefault());
  }

  /** Whether a stroke is being drawn. */
  get drawing() {
    return this.#mode === "draw";
  }

  /** Give up the stroke that is being drawn, whose pointer is still down: whether there was one. */
  giveUp() {
    if (!this.drawing) return false;
    this.#editor.abort();
    this.#mode = "done";
    return true;
  }

  #press(event) {
    const { canvas } = this.#stage;
    if (event.button > 1 && event.pointerType === "mouse") return;
    canvas.focus({ preventScroll: true, focusVisible: false });
    try {
      canvas.setPointerCapture(event.pointerId);
    } catch {
      // It was lifted in the meantime: the stroke ends with what is known of it.
    }
    const at = this.#stage.at(event);
    if (event.pointerType === "pen") this.#seePen();
    this.#stage.crossHair = null;
    this.#editor.liftPen();
    if (event.pointerType === "pen" && this.#kind === "touch") this.#forget(); // the hand was there before the pen
    // A second finger zooms; whatever else comes while something is down is a hand that rests on the screen.
    if (this.#mode && !this.#isSecond(event)) return;
    if (!this.#mode) this.#first = { ...at, time: event.timeStamp, moved: false };
    this.#kind = event.pointerType;
    this.#down.set(event.pointerId, at);
    this.#stage.held = true;
    if (this.#down.size === 2) {
      if (this.drawing) this.#editor.abort();
      this.#mode = "pinch";
    } else if (event.button === 1 || this.space || this.#mayNotDraw(event)) {
      this.#mode = "pan";
      this.panned = true;
    } else {
      this.#mode = "draw";
      this.#erase = event.altKey || (event.buttons & PEN_ERASER) !== 0;
      this.#hover(at);
      this.#editor.press(this.#stage.view.toPhoto(at), this.#erase);
    }
    canvas.dataset.mode = this.#mode;
  }

  #seePen() {
    if (this.#penSeen) return;
    this.#penSeen = true;
    byId("fingers-check").hidden = false;
    say('Beside the pen, fingers move and zoom the photo; "Draw with fingers", below the tools, changes that');
  }

  #mayNotDraw({ pointerType }) {
    return pointerType === "touch" && this.#penSeen && !byId("fingers").checked;
  }

  /** Whether a finger is the second one of a pinch, and no knuckle that comes to a stroke which is well under way. */
  #isSecond({ pointerType, timeStamp }) {
    if (pointerType !== "touch" || this.#kind !== "touch" || this.#down.size !== 1) return false;
    return !this.drawing || !this.#first.moved || timeStamp - this.#first.time < SOON;
  }

  #move(event) {
    const at = this.#stage.at(event);
    const before = this.#down.get(event.pointerId);
    if (event.pointerType === "pen") this.#seePen(); // many are seen before they touch
    if (!before) {
      if (this.#mode || this.#editor.penDown) return;
      this.#stage.crossHair = null;
      this.#hover(at);
      return;
    }
    if (Math.hypot(at.x - this.#first.x, at.y - this.#first.y) > STILL) this.#first.moved = true;
    if (this.#mode === "draw") {
      this.#hover(at);
      // A fast pointer has been at several places since the last event. A script's events have none of these.
      const between = event.getCoalescedEvents?.() ?? [];
      for (const each of between.length ? between : [event]) {
        this.#editor.move(this.#stage.view.toPhoto(this.#stage.at(each)));
      }
    } else if (this.#mode === "pan") {
      // A hand that rests moves a little.
      if (this.#kind !== "touch" || this.#first.moved) this.#stage.view.pan(at.x - before.x, at.y - before.y);
    } else if (this.#mode === "pinch") {
      this.#pinch(event.pointerId, before, at);
    }
    this.#down.set(event.pointerId, at);
    this.#stage.refresh();
  }

  #lift(event, cancelled = false) {
    if (!this.#down.delete(event.pointerId)) return;
    if (this.#mode === "draw") {
      const point = this.#stage.view.toPhoto(this.#stage.at(event));
      if (cancelled) this.#editor.abort();
      else this.#editor.release(point, this.#erase);
    }
    this.#mode = this.#down.size ? "done" : null;
    this.#stage.held = this.#down.size > 0;
    if (event.pointerType === "touch" && !this.#editor.tool.begun) this.#stage.hover = null;
    this.#stage.canvas.dataset.mode = this.#mode ?? "";
    this.#stage.refresh();
  }

  #forget() {
    if (this.drawing) this.#editor.abort();
    this.#down.clear();
    this.#mode = null;
  }

  #pinch(moved, before, at) {
    const [other] = [...this.#down].filter(([id]) => id !== moved).map(([, where]) => where);
    const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y);
    const middle = (point) => ({ x: (point.x + other.x) / 2, y: (point.y + other.y) / 2 });
    const [from, to] = [middle(before), middle(at)];
    this.#stage.view.zoom(apart(at) / Math.max(apart(before), 1), from);
    this.#stage.view.pan(to.x - from.x, to.y - from.y);
  }

  #wheel(event) {
    event.preventDefault();
    if (this.drawing) return;
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
    // A pinch on a trackpad arrives as a wheel with ctrl, in small numbers.
    const speed = event.ctrlKey ? 0.01 : 0.0016;
    const turned = Math.max(-300, Math.min(300, event.deltaY * lines));
    this.#stage.view.zoom(Math.exp(-turned * speed), this.#stage.at(event));
    this.#stage.refresh();
  }

  #hover(at) {
    this.#stage.hover = this.#stage.view.toPhoto(at);
    this.#stage.refresh();
  }
}
