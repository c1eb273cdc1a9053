// Drawing without a pointer: a cross-hair that the arrow keys move while the canvas has the focus.

const STEP = 10; // screen pixels an arrow key moves
const QUIET = 400; // ms without a key before the place is read out

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class CrossHair {
  #stage;
  #editor;
  #say;
  #timer = 0;

  constructor(stage, editor, say) {
    this.#stage = stage;
    this.#editor = editor;
    this.#say = say;
    stage.canvas.addEventListener("focus", () => {
      // Only where the keyboard brought the focus: a pointer has its own place.
      if (stage.canvas.matches(":focus-visible") && editor.marks) this.#show();
    });
    stage.canvas.addEventListener("blur", () => this.hide());
  }

  hide() {
    this.#editor.liftPen();
    this.#stage.crossHair = null;
    this.#stage.refresh();
  }

  /** An arrow key: whether it was one. With `fine` it moves by one photo pixel. */
  arrow(key, fine) {
    const direction = ARROWS[key];
    const { marks } = this.#editor;
    if (!direction || !marks) return false;
    const step = fine ? 1 : Math.max(1, Math.round(STEP / this.#stage.view.scale));
    const from = this.#show();
    const within = (at, side) => Math.min(Math.max(at, 0.5), side - 0.5);
    const to = {
      x: within(from.x + direction[0] * step, marks.width),
      y: within(from.y + direction[1] * step, marks.height),
    };
    this.#stage.crossHair = to;
    this.#stage.view.reveal(to);
    this.#editor.drag(to);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tell(), QUIET);
    return true;
  }

  /** Enter or space: press the tool here. */
  press() {
    if (!this.#editor.marks) return;
    clearTimeout(this.#timer);
    this.#editor.tap(this.#show());
  }

  /** Put it where the pointer was, else in the middle of the photo: always on the centre of a pixel. */
  #show() {
    const { width, height } = this.#editor.marks;
    const { x, y } = this.#stage.crossHair ?? this.#stage.hover ?? { x: width / 2, y: height / 2 };
    const centre = (at, side) => Math.min(Math.max(Math.floor(at), 0), side - 1) + 0.5;
    this.#stage.crossHair = { x: centre(x, width), y: centre(y, height) };
    this.#stage.refresh();
    return this.#stage.crossHair;
  }

  #tell() {
    const point = this.#stage.crossHair;
    if (!point || !this.#editor.marks) return;
    this.#say(`Column ${Math.floor(point.x)}, row ${Math.floor(point.y)}: ${this.#editor.nameAt(point)}`);
  }
}
