// How marks look: "look here" is an even blue with a dark edge, "not here" a pink hatch, so that they differ without
// colour too. Only the pixels of the screen are made, whatever the size of the photo: a stroke on a large photo costs
// what it costs on a small one. Hatch and edge are as wide on the screen at every zoom.

import { NEGATIVE, POSITIVE, UNMARKED } from "./marks.js";
import { blank } from "./png.js";

const EDGE = 1.25; // screen pixels
const HATCH = 8;

const rgba = (red, green, blue, alpha) => ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
const BLUE = rgba(86, 222, 255, 128);
const BLUE_EDGE = rgba(0, 50, 75, 230);
const PINK = rgba(255, 140, 206, 255);
const PINK_TINT = rgba(255, 140, 206, 90);
const PINK_SHADE = rgba(60, 0, 35, 140);

export class Inks {
  #marks;
  #layer = blank(1, 1);
  #image = new ImageData(1, 1);
  #seen = new Uint8Array(1); // the mark under each pixel of the screen
  #drawn = ""; // for which view

  /** Draw these marks from now on. */
  show(marks) {
    this.#marks = marks;
    this.#drawn = "";
  }

  /** The marks as a picture of the canvas, `width` x `height` device pixels, `dense` of them a screen pixel. */
  picture(view, dense, width, height) {
    const { canvas, context } = this.#layer;
    const wanted = [view.scale, view.left, view.top, dense, width, height].join(" ");
    let area = null;
    if (wanted !== this.#drawn) {
      if (canvas.width !== width || canvas.height !== height) {
        Object.assign(canvas, { width, height });
        this.#image = new ImageData(width, height);
        this.#seen = new Uint8Array(width * height);
      }
      this.#drawn = wanted;
      area = { left: 0, top: 0, right: width, bottom: height };
    } else if (this.#marks.unpainted) {
      area = onScreen(this.#marks.unpainted, view, dense, width, height);
    }
    this.#marks.unpainted = null;
    if (area && area.left < area.right && area.top < area.bottom) {
      this.#look(area, view, dense);
      this.#colour(area, dense);
      const { left, top, right, bottom } = area;
      context.putImageData(this.#image, 0, 0, left, top, right - left, bottom - top);
    }
    return canvas;
  }

  /** Find the mark under each pixel of an area of the screen. */
  #look({ left, top, right, bottom }, view, dense) {
    const { values, width, height } = this.#marks;
    const under = (at, corner) => Math.floor(((at + 0.5) / dense - corner) / view.scale);
    const columns = new Int32Array(right - left);
    columns.forEach((_, i) => (columns[i] = under(left + i, view.left)));
    for (let y = top; y < bottom; y++) {
      const row = under(y, view.top);
      const start = y * this.#image.width;
      if (row < 0 || row >= height) {
        this.#seen.fill(UNMARKED, start + left, start + right);
        continue;
      }
      for (let x = left; x < right; x++) {
        const column = columns[x - left];
        this.#seen[start + x] = column >= 0 && column < width ? values[row * width + column] : UNMARKED;
      }
    }
  }

  #colour({ left, top, right, bottom }, dense) {
    const { width, height } = this.#image;
    const seen = this.#seen;
    const pixels = new Uint32Array(this.#image.data.buffer);
    const edge = Math.max(1, Math.round(EDGE * dense));
    const period = Math.round(HATCH * dense);
    const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? UNMARKED : seen[y * width + x]);
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const i = y * width + x;
        const value = seen[i];
        if (value === UNMARKED) {
          pixels[i] = 0;
          continue;
        }
        const inner = at(x - edge, y) === value && at(x + edge, y) === value
          && at(x, y - edge) === value && at(x, y + edge) === value;
        if (value === POSITIVE) {
          pixels[i] = inner ? BLUE : BLUE_EDGE;
        } else if (value === NEGATIVE) {
          const along = ((x + y) % period) / period;
          pixels[i] = !inner || along < 0.36 ? PINK : along < 0.56 ? PINK_SHADE : PINK_TINT;
        }
      }
    }
  }
}

/** The pixels of the screen that a rectangle of the photo touches, and an edge around them. */
function onScreen(rectangle, view, dense, width, height) {
  const around = Math.ceil(EDGE * dense) + 1;
  const low = (at, corner) => Math.max(Math.floor((corner + at * view.scale) * dense) - around, 0);
  const high = (at, corner, size) => Math.min(Math.ceil((corner + at * view.scale) * dense) + around, size);
  return {
    left: low(rectangle.left, view.left),
    top: low(rectangle.top, view.top),
    right: high(rectangle.right, view.left, width),
    bottom: high(rectangle.bottom, view.top, height),
  };
}
