// The desk that tools work on: the marks of the image that is open, the ink and tool in hand, undo and redo.

import { Box, Polygon } from "./cornered.js";
import { History } from "./history.js";
import { POSITIVE, NEGATIVE, UNMARKED } from "./marks.js";
import { Brush, Eraser, Superpixel } from "./tools.js";

export const SIZES = [1, 2, 3, 4, 5, 7, 9, 12, 16, 20, 26, 34, 44, 58, 76, 100, 130, 170, 220, 300];
export const INKS = { positive: POSITIVE, negative: NEGATIVE };
const INK_NAMES = { [POSITIVE]: "look here", [NEGATIVE]: "not here", [UNMARKED]: "unmarked" };
const REACH = 9; // screen pixels within which a press counts as one on a corner

export class Editor {
  marks = null;
  history = null;
  regions = null;
  /** Called where regions are needed that are not there. */
  missRegions = () => {};
  ink = POSITIVE;
  size = SIZES[0]; // of the brush in photo pixels
  penDown = false; // the keyboard holds the brush down

  #stage;
  #tools;
  #onChange;
  #onShape;
  #sizeChosen = false; // by the person, for all images
  #cornerAt = 0; // how many steps there were when the last corner was set

  /**
   * `onChange()` is called after every step, `onShape(tool)` where that tool is needed to finish a shape;
   * `say(text)` tells the person something.
   */
  constructor(stage, { onChange, onShape, say }) {
    this.#stage = stage;
    this.#onChange = onChange;
    this.#onShape = onShape;
    this.say = say;
    this.#tools = {
      brush: new Brush(this),
      eraser: new Eraser(this),
      polygon: new Polygon(this),
      box: new Box(this),
      superpixel: new Superpixel(this),
    };
    stage.tools = Object.values(this.#tools);
    this.choose("brush");
  }

  /** Work on these marks; null for none. */
  open(marks) {
    this.liftPen();
    if (this.marks) for (const tool of Object.values(this.#tools)) tool.cancel();
    this.marks = marks;
    this.history = marks && new History(marks);
    this.regions = null;
    if (marks && !this.#sizeChosen) {
      const fair = Math.max(marks.width, marks.height) / 16;
      this.size = SIZES.findLast((size) => size <= fair) ?? SIZES[0];
    }
  }

  /** Draw as wide as this on all images. */
  chooseSize(size) {
    this.size = size;
    this.#sizeChosen = true;
    this.refresh();
  }

  /** Take a tool in hand, by name. A shape that is begun with another one waits. */
  choose(name) {
    this.#settle();
    this.tool = this.#tools[name];
    this.toolName = name;
    this.#stage.tool = this.tool;
    this.refresh();
  }

  /** The tools, by name, that have begun a shape. */
  get #begun() {
    return Object.entries(this.#tools).filter(([, tool]) => tool.begun);
  }

  /** What waits for another tool to be in hand again, as a sentence; "" for nothing. */
  get waiting() {
    const [found] = this.#begun.filter(([name]) => name !== this.toolName);
    return found ? `${found[1].shape} waits.` : "";
  }

  /** Whether no shape is begun, which would be lost with the image. One that is is said, and its tool taken in hand. */
  mayLeave() {
    const [found] = this.#begun;
    if (!found) return true;
    const [name, tool] = found;
    if (name !== this.toolName) this.#onShape(name);
    this.say(`${tool.shape} is not finished: finish it first, or give it up (Esc)`);
    return false;
  }

  /** How near, in photo pixels, a press has to be to a corner. */
  get reach() {
    return REACH / this.#stage.view.scale;
  }

  press(point, erase) {
    if (this.marks) this.tool.press(point, erase);
    this.refresh();
  }

  move(point) {
    if (this.marks) this.tool.move(point);
    this.refresh();
  }

  release(point, erase) {
    if (this.marks) {
      this.tool.release(point, erase);
      if (this.tool.begun) this.#cornerAt = this.history.depth;
    }
    this.refresh();
  }

  /** The pointer's press was none. */
  abort() {
    if (this.marks) this.tool.abort();
    this.refresh();
  }

  /** Give up what is being drawn. */
  cancel() {
    this.liftPen();
    if (this.marks) this.tool.cancel();
    this.refresh();
  }

  /** Close the shape that was begun, or remove its last corner. */
  finish() {
    this.tool.finish();
    this.refresh();
  }

  stepBack() {
    this.tool.stepBack();
    this.refresh();
  }

  /** Press and lift the tool at a point; a brush stays down until the next tap. */
  tap(point) {
    if (!this.marks) return;
    if (this.penDown) {
      this.liftPen();
      this.say("Brush lifted");
      return;
    }
    this.press(point, false);
    if (this.tool.holds) {
      this.penDown = true;
      this.commit();
      this.say("Brush down: the arrow keys draw; press again to lift it");
    } else {
      this.release(point, false);
    }
  }

  /** The keyboard moved to a point: each step of it can be undone. */
  drag(point) {
    this.move(point);
    if (this.penDown) this.commit();
  }

  liftPen() {
    if (!this.penDown) return;
    this.penDown = false;
    this.tool.release();
  }

  undo() {
    this.#step("undo", "Undone", "Nothing to undo");
  }

  redo() {
    this.#step("redo", "Redone", "Nothing to redo");
  }

  /** Change marks in one step: `change(marks)` writes into them. */
  apply(change) {
    if (!this.marks) return false;
    this.#settle();
    change(this.marks);
    return this.commit();
  }

  /** Put other marks in the place of these, as a step that can be undone. */
  replace(values) {
    return this.apply((marks) => {
      marks.values.set(values);
      marks.touch(marks.whole);
    });
  }

  clear() {
    this.say(this.apply((marks) => (marks.values.fill(UNMARKED), marks.touch(marks.whole)))
      ? "All marks of this image were removed; undo brings them back" : "There are no marks on this image");
  }

  /** The name of the mark at a point. */
  nameAt(point) {
    return INK_NAMES[this.marks.at(Math.floor(point.x), Math.floor(point.y))];
  }

  commit() {
    const changed = this.history.commit();
    if (changed) this.#onChange();
    this.refresh();
    return changed;
  }

  revert() {
    this.history.revert();
  }

  refresh() {
    this.#stage.refresh();
  }

  /** End what is under way, but keep the corners of a shape. */
  #settle() {
    this.liftPen();
    if (this.marks) this.tool.abort();
  }

  #step(direction, done, none) {
    if (!this.marks) return;
    if (direction === "undo" && this.tool.begun && this.history.depth <= this.#cornerAt) {
      this.stepBack(); // the last corner is newer than the last step
      return;
    }
    this.#settle();
    const moved = this.history[direction]();
    if (moved) this.#onChange();
    this.say(moved ? done : none);
    this.refresh();
  }
}
