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

  #photo = null;
  #marks = null;
  #inks = new Inks();
  #backdrop = blank(1, 1);
  #drawn = []; // what is on the backdrop
  #context;
  #due = false;
  #dense = 1; // pixels of the canvas a screen pixel
  #onView;

  /** `onView()` is called when another part of the photo is seen. */
  constructor(canvas, onView) {
    this.canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.#onView = onView;
    new ResizeObserver(() => this.#resize()).observe(canvas);
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
    const { left, top } = this.canvas.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
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
    this.view.resize(width, height);
    this.#draw(); // at once: a canvas that was resized is empty
  }

  #draw() {
    const { view, canvas } = this;
    const context = this.#context;
    const dense = this.#dense;
    context.setTransform(dense, 0, 0, dense, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.#photo) return;

    this.#drawBackdrop(dense);
    const whole = [0, 0, canvas.width / dense, canvas.height / dense];
    context.drawImage(this.#backdrop.canvas, ...whole);
    context.drawImage(this.#inks.picture(view, dense, canvas.width, canvas.height), ...whole);
    if (this.preview) this.#layer(context, this.preview, 0.6, view.scale * dense < 1);

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
