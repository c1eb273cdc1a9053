// The keyboard: one table that says what each key does, for the handler and for the dialog that lists them.

import { byId, choose, element } from "./dom.js";

// action: what main.js calls; with `again` it is repeated while the key is held.
const KEYS = [
  { group: "Tools" },
  { key: "b", action: "brush", what: "Brush" },
  { key: "e", action: "eraser", what: "Eraser" },
  { key: "p", action: "polygon", what: "Polygon" },
  { key: "r", action: "box", what: "Box" },
  { key: "s", action: "superpixel", what: "Superpixel" },
  { key: "1", action: "positive", what: "Ink: look here" },
  { key: "2", action: "negative", what: "Ink: not here" },
  { key: "[", action: "smaller", what: "Smaller brush, or coarser superpixels", again: true },
  { key: "]", action: "larger", what: "Larger brush, or finer superpixels", again: true },
  { key: "c", action: "finish", what: "Close the polygon" },
  { key: "Backspace", action: "stepBack", what: "Remove the last corner", again: true },
  { key: "Escape", shown: "Esc", action: "cancel", what: "Give up the stroke or shape, lift the brush" },
  { key: "z", action: "undo", what: "Undo", also: "Ctrl Z", again: true },
  { key: "shift z", shown: "Shift Z", action: "redo", what: "Redo", also: "Ctrl Y", again: true },
  { group: "Images" },
  { key: "n", action: "next", what: "Next open image" },
  { key: "shift n", shown: "Shift N", action: "back", what: "Back to the image before" },
  { key: "a", action: "accept", what: "Accept the marks to start from, and next" },
  { key: "x", action: "nothing", what: "Nothing to mark, and next" },
  { key: "k", action: "skip", what: "Skip, and next" },
  { key: "m", action: "map", what: "The model's map on or off" },
  { key: "shift c", shown: "Shift C", action: "correct", what: "Correct: train on what is marked" },
  { group: "View" },
  { key: "+", action: "zoomIn", what: "Zoom in", also: "wheel, or two fingers", again: true },
  { key: "-", action: "zoomOut", what: "Zoom out", again: true },
  { key: "0", action: "fit", what: "Fit the photo" },
  { key: "h", action: "marks", what: "Hide my marks, or show them" },
  { key: "?", action: "help", what: "This list" },
];

// Not in the table above: they depend on where the focus is, or on the pointer.
const OTHERS = [
  { group: "On the photo" },
  { shown: "Arrows", what: "Move the cross-hair" },
  { shown: "Shift arrows", what: "Move it by one pixel" },
  { shown: "Enter, Space", what: "Press the tool at the cross-hair; a brush stays down until pressed again" },
  { shown: "Space and drag", what: "Move the photo", also: "middle button, or two fingers" },
  { shown: "Alt and draw", what: "Erase with any tool" },
];

const TYPING = 'select, textarea, input:not([type="radio"], [type="checkbox"], [type="range"])';

/** What a key writes; on a keyboard of another script, what the key at its place writes on a Latin one. */
function latin({ key, code }) {
  const isOther = /^[\p{L}\p{M}\p{Nd}]+$/u.test(key) && !/[\p{Script=Latin}0-9]/u.test(key);
  if (!isOther) return key;
  return /^(?:Key|Digit)(.)$/.exec(code)?.[1] ?? { BracketLeft: "[", BracketRight: "]" }[code] ?? key;
}

export class Keys {
  #actions;
  #parts;

  /** `actions`: a function for each action of the table; `parts`: {stage, editor, pointers, crossHair}. */
  constructor(actions, parts) {
    this.#actions = actions;
    this.#parts = parts;
    document.addEventListener("keydown", (event) => this.#press(event));
    document.addEventListener("keyup", (event) => event.key === " " && this.#liftSpace(event));
    window.addEventListener("blur", () => (parts.pointers.space = false));
    let table = null;
    for (const { group, key, shown, what, also } of [...KEYS, ...OTHERS]) {
      if (group) {
        table = element("table", {}, element("caption", {}, group));
        byId("key-tables").append(table);
      } else {
        const name = element("kbd", {}, shown ?? (key.length === 1 ? key.toUpperCase() : key));
        const rest = also ? element("small", {}, ` or ${also}`) : null;
        table.append(element("tr", {}, element("td", {}, name), element("td", {}, what, rest)));
      }
    }
  }

  help() {
    return choose(byId("keys"));
  }

  #press(event) {
    const { stage, editor, pointers, crossHair } = this.#parts;
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    if (event.target.matches(TYPING) || (pointers.drawing && event.key !== "Escape")) return;
    const onCanvas = event.target === stage.canvas;
    // AltGr writes [ and ] on some keyboards, and looks like ctrl with alt.
    const writes = event.getModifierState("AltGraph");
    if ((event.ctrlKey || event.metaKey) && !writes) {
      this.#withControl(event);
      return;
    }
    if (event.altKey && !writes) return;
    let done = true;
    if (event.key === " ") {
      if (!event.repeat) {
        pointers.space = true;
        pointers.panned = false;
      }
      // Elsewhere it presses, unfolds or scrolls what has the focus, unless the photo is dragged: then that has it.
      done = onCanvas || event.target === document.body;
    } else if (onCanvas && event.key === "Enter") {
      if (event.repeat) return;
      // A polygon that the pointer draws has its corners already: enter closes it.
      if (!stage.crossHair && editor.tool.begun > 2) editor.finish();
      else crossHair.press();
    } else if (!(onCanvas && crossHair.arrow(event.key, event.shiftKey))) {
      done = this.#act(event);
    }
    if (done) event.preventDefault();
  }

  #withControl(event) {
    const key = latin(event).toLowerCase();
    const action = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : null;
    if (!action) return;
    event.preventDefault();
    this.#actions[action]();
  }

  #act(event) {
    const key = latin(event);
    if (!byId("letters").checked && key.length === 1 && key !== "?") return false;
    const letter = key.length === 1 ? key.toLowerCase() : key;
    const isLetter = letter >= "a" && letter <= "z" && letter.length === 1;
    const pressed = isLetter && event.shiftKey ? `shift ${letter}` : letter === "=" ? "+" : letter;
    const found = KEYS.find(({ key }) => key === pressed);
    if (!found) return false;
    if (!event.repeat || found.again) this.#actions[found.action]();
    return true;
  }

  #liftSpace(event) {
    const { stage, pointers, crossHair } = this.#parts;
    if (!pointers.space) return;
    pointers.space = false;
    if (event.target === stage.canvas && !pointers.panned) crossHair.press();
  }
}
