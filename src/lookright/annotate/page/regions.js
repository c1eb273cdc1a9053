// Superpixels of a photo: regions of like colour that are marked with one click.

import * as api from "./api.js";
import { decodeNumbers } from "./decode.js";
import { byId, say } from "./dom.js";
import { blank } from "./png.js";

export class Regions {
  #numbers;
  #bounds = new Map();

  /** Read them from the server's picture, which has to be as large as the marks. */
  static async read(blob, marks) {
    const { width, height, values } = await decodeNumbers(blob);
    if (width !== marks.width || height !== marks.height) {
      throw new Error(`the regions are ${width} x ${height} pixels, the photo ${marks.width} x ${marks.height}`);
    }
    return new Regions(values, width, height);
  }

  constructor(numbers, width, height) {
    this.#numbers = numbers;
    this.width = width;
    this.height = height;
    this.outlines = this.#outline();
    this.#measure();
  }

  /** The number of the region at a point, or null outside of the photo. */
  at({ x, y }) {
    const [column, row] = [Math.floor(x), Math.floor(y)];
    const inside = column >= 0 && row >= 0 && column < this.width && row < this.height;
    return inside ? this.#numbers[row * this.width + column] : null;
  }

  /** The rectangle around a region. */
  bounds(number) {
    return this.#bounds.get(number);
  }

  /** Whether the pixel at a position of the buffer belongs to a region. */
  holds(position, number) {
    return this.#numbers[position] === number;
  }

  #measure() {
    for (let y = 0; y < this.height; y++) {
      for (let x = 0; x < this.width; x++) {
        const number = this.#numbers[y * this.width + x];
        let found = this.#bounds.get(number);
        if (!found) this.#bounds.set(number, (found = { left: x, top: y, right: x + 1, bottom: y + 1 }));
        if (x < found.left) found.left = x;
        if (x >= found.right) found.right = x + 1;
        found.bottom = y + 1;
      }
    }
  }

  /** A picture of the borders, a little wider on a large photo so that they are seen when it is shown small. */
  #outline() {
    const { canvas, context } = blank(this.width, this.height);
    const image = new ImageData(this.width, this.height);
    const pixels = new Uint32Array(image.data.buffer);
    const wide = Math.max(1, Math.round(Math.max(this.width, this.height) / 900));
    const numbers = this.#numbers;
    for (let y = 0; y < this.height; y++) {
      const below = y + wide < this.height ? wide * this.width : 0;
      for (let x = 0; x < this.width; x++) {
        const i = y * this.width + x;
        const right = x + wide < this.width ? wide : 0;
        if (numbers[i] !== numbers[i + right] || numbers[i] !== numbers[i + below]) pixels[i] = 0xffffffff;
      }
    }
    context.putImageData(image, 0, 0);
    return canvas;
  }
}

/** Keeps the editor supplied with the regions of the image that is open, while the superpixel tool is in hand. */
export class RegionLoader {
  #stage;
  #editor;
  #index = null;
  #ticket = 0; // of the newest question: an older answer is not wanted any more
  #failed = false; // whether there was no answer

  constructor(stage, editor) {
    this.#stage = stage;
    this.#editor = editor;
    editor.missRegions = () => {
      say(this.#failed ? "The regions are asked for once more" : "The regions are still being computed");
      if (this.#failed) this.#load();
    };
    byId("level").addEventListener("change", () => this.#load());
  }

  /** Another image is open, or none (null). */
  open(info) {
    this.#index = info?.index ?? null;
    this.#load();
  }

  /** Another tool is in hand. */
  toolChanged() {
    if (this.#editor.toolName === "superpixel" && !this.#editor.regions) this.#load();
    else this.#show();
  }

  async #load() {
    const ticket = ++this.#ticket;
    this.#failed = false;
    this.#editor.regions = null;
    this.#show();
    if (this.#index === null || this.#editor.toolName !== "superpixel") return;
    try {
      const blob = await api.superpixels(this.#index, byId("level").value);
      if (ticket !== this.#ticket) return;
      const regions = await Regions.read(blob, this.#editor.marks);
      if (ticket !== this.#ticket) return;
      this.#editor.regions = regions;
      this.#show();
    } catch (error) {
      if (ticket !== this.#ticket) return;
      this.#failed = true;
      say(`The regions are not to be had; press the photo to ask once more: ${error.message}`);
    }
  }

  #show() {
    const { regions, toolName } = this.#editor;
    this.#stage.regions = toolName === "superpixel" && regions ? regions.outlines : null;
    this.#stage.canvas.dataset.regions = this.#stage.regions ? "shown" : "";
    this.#stage.refresh();
  }
}
