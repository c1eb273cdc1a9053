// The canvas: photo, map, marks, and what the tool in hand shows, in this order.

import { Inks } from "./inks.js";
import { blank } from "./png.js";
import { View } from "./view.js";

export class Stage {
  view = new View();
  /** Pictures over the photo: {picture, opacity}, or null. */
  map = null;
  regions = null;
  preview = null;
  /** Where the pointer or the keyboard's cross-hair is, in photo pixels, or null. */
  hover = null;
  crossHair = null;
  tool = null;
  /** All tools: of those that are not in hand, the shapes that are begun are shown. */
  tools = [];
  /** Whether the marks are shown; they are again as soon as one is drawn. */
  marksShown = true;
  /** Whether a pointer is down: until it is lifted, the photo stays where it is in the window. */
  held = false;

  #photo = null;
  #marks = null;
  #inks = new Inks();
  #backdrop = blank(1, 1);
  #drawn = []; // what is on the backdrop
  #context;
  #due = false;
  #dense = 1; // pixels of the canvas a screen pixel
  #corner = { left: 0, top: 0 }; // of the canvas, in the window
  #late = false; // whether the canvas has another size or place than the photo was fitted to
  #onView;

  /** `onView()` is called when another part of the photo is seen. */
  constructor(canvas, onView) {
    this.canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.#onView = onView;
    new ResizeObserver(() => this.#resize()).observe(canvas);
    addEventListener("scroll", () => this.#follow(), { passive: true }); // the photo goes with the page
    this.#watchDensity();
  }

  /** Show another photo with its marks; null for none. */
  show(photo, marks) {
    this.#photo?.close();
    this.#photo = photo;
    this.#marks = marks;
    this.map = this.regions = this.preview = this.crossHair = null;
    if (photo) {
      this.#inks.show(marks);
      this.view.show(marks.width, marks.height);
    }
    this.refresh();
  }

  /** Draw soon. */
  refresh() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      if (density() === this.#dense) this.#draw();
      else this.#resize();
    });
  }

  /** Where an event happened, in screen pixels on the canvas. */
  at(event) {
    const moved = this.#follow();
    if (this.held && (moved.x || moved.y)) {
      this.view.stay(moved);
      this.#late = true;
    }
    return { x: event.clientX - this.#corner.left, y: event.clientY - this.#corner.top };
  }

  /** How far the canvas has moved in the window since this was last asked. */
  #follow() {
    const { left, top } = this.canvas.getBoundingClientRect();
    const moved = { x: left - this.#corner.left, y: top - this.#corner.top };
    this.#corner = { left, top };
    return moved;
  }

  /** Whether the next point has to be where the last one was: the photo may not move between them. */
  get #busy() {
    return this.held || this.tool?.begun > 0;
  }

  /** A window that is moved to another screen has the same size there, and maybe more pixels. */
  #watchDensity() {
    matchMedia(`(resolution: ${density()}dppx)`).addEventListener("change", () => {
      this.refresh();
      this.#watchDensity();
    }, { once: true });
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.#dense = density();
    this.canvas.width = Math.round(width * this.#dense);
    this.canvas.height = Math.round(height * this.#dense);
    const moved = this.#follow();
    this.#late = this.#busy;
    if (this.#late) this.view.stay(moved, { width, height });
    else this.view.resize(width, height);
    this.#draw(); // at once: a canvas that was resized is empty
  }

  #draw() {
    const { view, canvas } = this;
    const context = this.#context;
    const dense = this.#dense;
    context.setTransform(dense, 0, 0, dense, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.#photo) return;
    if (this.#late && !this.#busy) {
      this.#late = false;
      view.resize(canvas.clientWidth, canvas.clientHeight);
    }

    this.#drawBackdrop(dense);
    const whole = [0, 0, canvas.width / dense, canvas.height / dense];
    context.drawImage(this.#backdrop.canvas, ...whole);
    if (this.#marks.unpainted) this.marksShown = true;
    const inks = this.#inks.picture(view, dense, canvas.width, canvas.height);
    if (this.marksShown) context.drawImage(inks, ...whole);
    if (this.preview) this.#layer(context, this.preview, 0.6, view.scale * dense < 1);

    for (const tool of this.tools) if (tool !== this.tool && tool.begun) tool.draw(pen(context, view), null);
    this.tool?.draw(pen(context, view), this.crossHair ?? this.hover);
    if (this.crossHair) drawCrossHair(context, view.toScreen(this.crossHair));

    // For scripts that drive the page: where photo pixels are on the canvas.
    canvas.dataset.view = [view.scale, view.left, view.top].join(" ");
    this.#onView();
  }

  /** Photo, map and regions, anew only if they or the view have changed: scaling a large photo takes long. */
  #drawBackdrop(dense) {
    const { view, canvas, map, regions } = this;
    const wanted = [this.#photo, map?.picture, map?.opacity, regions, dense, canvas.width, canvas.height,
      view.scale, view.left, view.top];
    if (wanted.every((part, i) => part === this.#drawn[i])) return;
    this.#drawn = wanted;
    const { context } = this.#backdrop;
    Object.assign(this.#backdrop.canvas, { width: canvas.width, height: canvas.height });
    context.setTransform(dense, 0, 0, dense, 0, 0);
    this.#layer(context, this.#photo, 1, view.scale * dense < 2);
    if (map) this.#layer(context, map.picture, map.opacity, true);
    if (regions) this.#layer(context, regions, 0.75, true);
  }

  /** Draw a picture where the photo is. */
  #layer(context, picture, opacity, smooth) {
    const { left, top, scale } = this.view;
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = smooth;
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, left, top, this.#marks.width * scale, this.#marks.height * scale);
    context.globalAlpha = 1;
  }
}

/** Device pixels a screen pixel. */
const density = () => window.devicePixelRatio || 1;

/** What tools draw with, in photo pixels: lines that are seen on light and dark photos. */
function pen(context, view) {
  const twice = (path) => {
    context.lineJoin = "round";
    for (const [colour, width] of [["rgb(0 0 0 / 0.75)", 3.5], ["#fff", 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.stroke(path);
    }
  };
  return {
    circle(middle, diameter) {
      const { x, y } = view.toScreen(middle);
      const path = new Path2D();
      path.arc(x, y, Math.max((diameter / 2) * view.scale, 1), 0, 2 * Math.PI);
      twice(path);
    },
    line(points, closed = false) {
      const path = new Path2D();
      points.map((point) => view.toScreen(point)).forEach(({ x, y }) => path.lineTo(x, y));
      if (closed) path.closePath();
      twice(path);
    },
    handle(point) {
      const { x, y } = view.toScreen(point);
      const path = new Path2D();
      path.rect(x - 4, y - 4, 8, 8);
      twice(path);
      context.fillStyle = "#fff";
      context.fill(path);
    },
  };
}

function drawCrossHair(context, { x, y }) {
  const path = new Path2D();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    path.moveTo(x + 5 * dx, y + 5 * dy);
    path.lineTo(x + 20 * dx, y + 20 * dy);
  }
  for (const [colour, width] of [["#000", 4.5], ["#ffe14d", 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke(path);
  }
}
