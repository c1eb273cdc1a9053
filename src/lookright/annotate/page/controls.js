// The panel of tools: what it shows follows the editor, and the editor follows it.

import { byId, radios, say } from "./dom.js";
import { INKS, SIZES } from "./editor.js";

const HINTS = {
  polygon: "Press for each corner; press the first or the last one again to close it.",
  box: "Drag from corner to corner, or press two corners.",
  superpixel: "Press a region to fill it, again to clear it; drag to fill several.",
};

export class Controls {
  #editor;
  #stage;
  #onTool;

  /** `onTool()` is called when another tool was taken in hand. */
  constructor(editor, stage, onTool) {
    this.#editor = editor;
    this.#stage = stage;
    this.#onTool = onTool;
    for (const radio of radios("tool")) radio.addEventListener("change", () => this.chooseTool(radio.value));
    for (const radio of radios("ink")) radio.addEventListener("change", () => this.chooseInk(radio.value));
    const size = byId("size");
    size.max = SIZES.length - 1;
    byId("level").addEventListener("input", () => this.update());
    size.addEventListener("input", () => editor.chooseSize(SIZES[size.value]));
    byId("marks-shown").addEventListener("change", () => this.toggleMarks());
    const presses = {
      "undo": () => editor.undo(),
      "redo": () => editor.redo(),
      "clear": () => editor.clear(),
      "shape-finish": () => editor.finish(),
      "shape-cancel": () => editor.cancel(),
    };
    for (const [id, press] of Object.entries(presses)) byId(id).addEventListener("click", press);
    const tool = radios("tool").find((radio) => radio.checked)?.value ?? "brush";
    this.chooseInk(radios("ink").find((radio) => radio.checked)?.value ?? "positive"); // it takes the brush for an eraser
    this.chooseTool(tool);
  }

  chooseTool(name) {
    this.#editor.choose(name);
    for (const radio of radios("tool")) radio.checked = radio.value === name;
    byId("brush-options").hidden = name !== "brush" && name !== "eraser";
    byId("superpixel-options").hidden = name !== "superpixel";
    byId("hint").textContent = HINTS[name] ?? "";
    this.#onTool();
    this.update();
  }

  chooseInk(name) {
    this.#editor.ink = INKS[name];
    for (const radio of radios("ink")) radio.checked = radio.value === name;
    if (this.#editor.toolName === "eraser") this.chooseTool("brush"); // an ink was asked for: the eraser has none
  }

  /** A size up or down: of the brush, or of the regions. */
  resize(direction) {
    if (this.#editor.toolName === "superpixel") {
      const level = byId("level");
      if (direction > 0) level.stepUp();
      else level.stepDown();
      level.dispatchEvent(new Event("change"));
      say(`Superpixels: detail ${level.value} of ${level.max}`);
      return;
    }
    const at = SIZES.indexOf(this.#editor.size) + direction;
    this.#editor.chooseSize(SIZES[Math.min(Math.max(at, 0), SIZES.length - 1)]);
    say(`Brush ${this.#editor.size} pixels wide`);
  }

  /** Look at the photo without the marks, or with them again. */
  toggleMarks() {
    this.#stage.marksShown = !this.#stage.marksShown;
    this.#stage.refresh();
    say(this.#stage.marksShown ? "Marks shown" : "Marks hidden; drawing shows them again");
  }

  /** Show what the editor and the stage have now. */
  update() {
    byId("marks-shown").checked = this.#stage.marksShown;
    const { size, history, tool, toolName, marks } = this.#editor;
    byId("level-shown").textContent = `${byId("level").value} of ${byId("level").max}`;
    byId("size").value = SIZES.indexOf(size);
    byId("size").setAttribute("aria-valuetext", `${size} pixels`);
    byId("size-shown").textContent = `${size} px`;
    // Not "disabled": the button that has the focus would lose it with the last step.
    byId("undo").setAttribute("aria-disabled", String(!history?.canUndo && !tool.begun));
    byId("redo").setAttribute("aria-disabled", String(!history?.canRedo));
    byId("clear").setAttribute("aria-disabled", String(!marks));
    byId("shape").hidden = !tool.begun;
    byId("shape-finish").hidden = toolName !== "polygon";
    byId("hint").hidden = !HINTS[toolName] || tool.begun > 0;
    byId("shape-finish").setAttribute("aria-disabled", String(tool.begun < 3));
  }
}
