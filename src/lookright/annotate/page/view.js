// Which part of the photo is seen, and how large.

const LARGEST = 40; // screen pixels a photo pixel
const MARGIN = 12; // around a photo that fits

export class View {
  /** Screen pixels a photo pixel, and where the photo's corner is on the canvas. */
  scale = 1;
  left = 0;
  top = 0;
  /** Whether the photo is kept fitted when the canvas changes its size. */
  fitted = true;

  #canvas = { width: 1, height: 1 };
  #photo = { width: 1, height: 1 };

  /** Another photo: it is fitted. */
  show(width, height) {
    this.#photo = { width, height };
    this.fit();
  }

  /** The canvas has this size now, in screen pixels. */
  resize(width, height) {
    const middle = this.toPhoto({ x: this.#canvas.width / 2, y: this.#canvas.height / 2 });
    this.#canvas = { width, height };
    if (this.fitted) this.fit();
    else this.#place(middle, { x: width / 2, y: height / 2 });
  }

  /** The canvas has moved in the window, and maybe changed its size: the photo stays where it is in the window. */
  stay({ x, y }, canvas = this.#canvas) {
    this.#canvas = canvas;
    this.left -= x;
    this.top -= y;
  }

  get #fitScale() {
    const room = (side) => Math.max(this.#canvas[side] - 2 * MARGIN, 16) / this.#photo[side];
    return Math.min(room("width"), room("height"), LARGEST);
  }

  fit() {
    this.scale = this.#fitScale;
    this.left = (this.#canvas.width - this.#photo.width * this.scale) / 2;
    this.top = (this.#canvas.height - this.#photo.height * this.scale) / 2;
    this.fitted = true;
  }

  /** Zoom by a factor about a point of the canvas (its middle if left out). */
  zoom(factor, at = { x: this.#canvas.width / 2, y: this.#canvas.height / 2 }) {
    const still = this.toPhoto(at);
    const smallest = Math.min(this.#fitScale / 2, 1);
    this.scale = Math.min(Math.max(this.scale * factor, smallest), LARGEST);
    this.#place(still, at);
  }

  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.fitted = false;
    this.#keepInSight();
  }

  /** Move so that a point of the photo is well in sight. */
  reveal(point) {
    const seen = this.toScreen(point);
    const edge = Math.min(40, this.#canvas.width / 4, this.#canvas.height / 4);
    const beyond = (at, size) => Math.max(edge - at, 0) + Math.min(size - edge - at, 0);
    const [dx, dy] = [beyond(seen.x, this.#canvas.width), beyond(seen.y, this.#canvas.height)];
    const outside = seen.x < 0 || seen.y < 0 || seen.x > this.#canvas.width || seen.y > this.#canvas.height;
    if (outside || (!this.fitted && (dx || dy))) this.pan(dx, dy);
  }

  toPhoto({ x, y }) {
    return { x: (x - this.left) / this.scale, y: (y - this.top) / this.scale };
  }

  toScreen({ x, y }) {
    return { x: this.left + x * this.scale, y: this.top + y * this.scale };
  }

  #place(point, at) {
    this.left = at.x - point.x * this.scale;
    this.top = at.y - point.y * this.scale;
    this.fitted = false;
    this.#keepInSight();
  }

  /** At least a strip of the photo stays on the canvas, so that it is not lost. */
  #keepInSight() {
    const bound = (at, size, canvas) => {
      const strip = Math.min(48, size, canvas);
      return Math.min(Math.max(at, strip - size), canvas - strip);
    };
    this.left = bound(this.left, this.#photo.width * this.scale, this.#canvas.width);
    this.top = bound(this.top, this.#photo.height * this.scale, this.#canvas.height);
  }
}
