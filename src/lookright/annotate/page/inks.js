// How marks look: "look here" is an even blue, "not here" a pink hatch, so that they differ without colour too.

import { NEGATIVE, POSITIVE } from "./marks.js";
import { blank } from "./png.js";

const BLUE = [86, 222, 255];
const PINK = [255, 140, 206];
const EDGE = 1.5; // screen pixels
const EDGE_COLOUR = "rgb(0 50 75 / 0.9)";
const STRIP = 256; // rows painted at once: memory stays small

export class Inks {
  #marks;
  #positive;
  #negative;
  #scratch = blank(1, 1);

  /** Draw these marks from now on. */
  show(marks) {
    this.#marks = marks;
    this.#positive = blank(marks.width, marks.height);
    this.#negative = blank(marks.width, marks.height);
    marks.unpainted = marks.whole;
  }

  /** Draw the marks over a photo that `view` places; `dense` is device pixels a screen pixel. */
  draw(context, view, dense) {
    this.#update();
    const { width, height } = this.#marks;
    const place = [view.left, view.top, width * view.scale, height * view.scale];
    const smooth = view.scale * dense < 1;

    context.save();
    context.imageSmoothingEnabled = smooth;
    context.globalAlpha = 0.5;
    context.drawImage(this.#positive.canvas, ...place);
    context.restore();

    // Edges and hatch are as wide on the screen at every zoom: they are made on a canvas aside.
    const { canvas, context: aside } = this.#scratch;
    if (canvas.width !== context.canvas.width || canvas.height !== context.canvas.height) {
      canvas.width = context.canvas.width;
      canvas.height = context.canvas.height;
    }
    aside.imageSmoothingEnabled = smooth;
    const [left, top, wide, high] = place.map((length) => length * dense);
    const stamp = (layer, mode, dx = 0, dy = 0) => {
      aside.globalCompositeOperation = mode;
      aside.drawImage(layer.canvas, left + dx, top + dy, wide, high);
    };
    const colour = (style) => {
      aside.globalCompositeOperation = "source-in";
      aside.fillStyle = style;
      aside.fillRect(0, 0, canvas.width, canvas.height);
      context.save();
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.drawImage(canvas, 0, 0);
      context.restore();
    };
    // The edge of a shape: what it covers when it is moved a little, and does not cover where it is.
    aside.clearRect(0, 0, canvas.width, canvas.height);
    for (const [dx, dy] of [[-1, 0], [1, 0], [0, -1], [0, 1]]) {
      stamp(this.#positive, "source-over", EDGE * dense * dx, EDGE * dense * dy);
    }
    stamp(this.#positive, "destination-out");
    colour(EDGE_COLOUR);
    stamp(this.#negative, "copy");
    colour(hatch(aside, dense));
  }

  #update() {
    const changed = this.#marks.unpainted;
    if (!changed) return;
    for (let top = changed.top; top < changed.bottom; top += STRIP) {
      const strip = { ...changed, top, bottom: Math.min(top + STRIP, changed.bottom) };
      this.#paint(this.#positive.context, strip, POSITIVE, BLUE);
      this.#paint(this.#negative.context, strip, NEGATIVE, PINK);
    }
    this.#marks.unpainted = null;
  }

  #paint(context, { left, top, right, bottom }, value, [red, green, blue]) {
    const { values, width } = this.#marks;
    const image = new ImageData(right - left, bottom - top);
    const pixels = new Uint32Array(image.data.buffer);
    const colour = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    let i = 0;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++, i++) {
        if (values[y * width + x] === value) pixels[i] = colour;
      }
    }
    context.putImageData(image, left, top);
  }
}

/** Pink stripes with a dark edge on a pink tint, as a fill style. */
function hatch(context, dense) {
  const side = Math.round(9 * dense);
  const { canvas, context: tile } = blank(side, side);
  tile.fillStyle = `rgb(${PINK.join(" ")} / 0.35)`;
  tile.fillRect(0, 0, side, side);
  const stripe = (colour, wide, shift) => {
    tile.strokeStyle = colour;
    tile.lineWidth = wide * dense;
    for (const start of [-side, 0, side]) {
      tile.beginPath();
      tile.moveTo(start - side + shift * dense, 2 * side);
      tile.lineTo(start + 2 * side + shift * dense, -side);
      tile.stroke();
    }
  };
  stripe("rgb(60 0 35 / 0.55)", 1.6, 1.4);
  stripe(`rgb(${PINK.join(" ")})`, 2.2, 0);
  return context.createPattern(canvas, "repeat");
}
