// The button Correct: a new model is trained on what is marked, and stands beside the old one.

import * as api from "./api.js";
import { byId, element, percent } from "./dom.js";

const PAUSE = 700; // ms between questions how far it is

export class Correction {
  #parts;
  #timer = 0;
  #hidden = false; // whether the key has hidden the maps that were compared
  #told = { state: "none" };
  #title = element("h2", { id: "correction-title" }, "Correction");
  #cancel = element("button", { type: "button", id: "correction-cancel" }, "Cancel");
  #close = element("button", { type: "button", id: "correction-close" }, "Close");
  #bar = element("progress", { id: "correction-progress", value: 0, max: 1, "aria-label": "Progress of the correction" });
  #text = element("p", { id: "correction-text" });
  #figures = element("div", { id: "correction-figures" });
  #comparing = element("input", { type: "checkbox", id: "compare-shown" });
  #compareLine = element("label", { class: "check" }, this.#comparing, " Compare the maps");

  /** `parts`: compare, model, hasOld, say(text), and save(), whether what is drawn is saved. */
  constructor(parts) {
    this.#parts = parts;
    byId("correction").append(
      element("div", { class: "title" }, this.#title, this.#compareLine, this.#cancel, this.#close),
      this.#bar, this.#text, this.#figures,
    );
    this.#cancel.addEventListener("click", () => this.#stop());
    this.#close.addEventListener("click", () => {
      this.#compare(false);
      byId("correction").hidden = true;
      byId("correct").focus();
    });
    this.#comparing.addEventListener("change", () => this.#compare(this.#comparing.checked));
    byId("map-shown").addEventListener("input", () => (this.#hidden = false)); // the key is that map's again
  }

  /** Show what there is already: the page may have been loaded anew. */
  async resume() {
    const told = await api.correction();
    if (told.state === "none" || told.state === "cancelled") return;
    this.#show(told);
    if (told.state === "running") this.#wait();
  }

  /** Train on what is marked so far. */
  async start() {
    if (this.#told.state === "running") {
      this.#parts.say("A correction is running already");
      return;
    }
    this.#compare(false);
    try {
      if (!(await this.#parts.save())) throw new Error("the image that is open could not be saved");
      this.#show(await api.startCorrection());
    } catch (error) {
      this.#show({ state: "refused", error: `Nothing was started: ${error.message}` });
      this.#parts.say(`Nothing was started: ${error.message}`);
      if (error.status === 409) await this.#followRunning();
      return;
    }
    this.#parts.say("The correction has started");
    this.#cancel.focus();
    this.#wait();
  }

  /** Another tab may have started one: show it, so that it can be cancelled here too. */
  async #followRunning() {
    const told = await api.correction().catch(() => null);
    if (told?.state !== "running") return;
    this.#show(told);
    this.#cancel.focus();
    this.#wait();
  }

  async #stop() {
    clearTimeout(this.#timer);
    this.#text.textContent = "Cancelling";
    await this.#follow(api.cancelCorrection());
  }

  #wait() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#follow(api.correction()), PAUSE);
  }

  /** Show what an answer tells, and go on asking as long as it runs. */
  async #follow(answer) {
    const { say } = this.#parts;
    let told;
    try {
      told = await answer;
    } catch (error) {
      this.#text.textContent = error.message;
      this.#wait();
      return;
    }
    const before = this.#told;
    this.#show(told);
    if (told.run && !before.run) this.#compare(true); // the maps are there before the figures are
    if (told.state === "running") this.#wait();
    else if (before.state !== "running") return;
    else if (told.state === "done") say(`The correction is done. ${spoken(told)}`);
    else if (told.state === "failed") say(`The correction has failed: ${told.error}`);
    else say("The correction was cancelled; nothing of it is left");
    if (told.state !== "running" && document.activeElement === document.body) this.#close.focus();
  }

  /** The key of the map hides the maps that are compared, and shows them again: whether it does. */
  toggleMaps() {
    const { model, say, hasOld } = this.#parts;
    if (!this.#told.run) return false;
    if (this.#comparing.checked) {
      this.#compare(false);
      model.hideMap();
      this.#hidden = true;
      say(hasOld ? "Both maps hidden" : "New map hidden");
    } else if (this.#hidden || !hasOld) {
      this.#compare(true);
      say(hasOld ? "Both maps shown" : "New map shown");
    } else {
      return false;
    }
    return true;
  }

  #compare(on) {
    this.#hidden = false;
    this.#comparing.checked = on;
    this.#parts.compare.show(on);
    this.#parts.model.compared(on);
  }

  #show(told) {
    this.#told = told;
    const running = told.state === "running";
    const hadFocus = document.activeElement === this.#cancel;
    byId("correction").hidden = false;
    this.#cancel.hidden = !running;
    this.#close.hidden = running;
    if (hadFocus && !running) this.#close.focus();
    this.#bar.hidden = !running;
    this.#bar.max = told.epochs || 1;
    this.#bar.value = told.epoch ?? 0;
    this.#text.textContent = sentence(told);
    this.#figures.replaceChildren(...(told.new ? tables(told) : []));
    this.#compareLine.hidden = !told.run;
    this.#compareLine.lastChild.textContent = this.#parts.hasOld ? " Compare the maps" : " Show the new map";
    this.#parts.compare.choose(told.run ?? null, this.#parts.hasOld);
    this.#parts.model.allowNew(Boolean(told.run));
  }
}

function sentence({ state, step, epoch, epochs, seconds, marked, error, note, run, new: figures }) {
  const time = `${Math.round(seconds)} s`;
  if (state === "refused") return error;
  if (state === "cancelled") return "Cancelled; nothing of it is left.";
  if (state === "failed") return `Failed: ${error}`;
  if (state === "running" && step === "evaluate") return `Trained; measuring on the test photos, ${time}.`;
  if (state === "running") return `Training on ${marked} marked photos: epoch ${epoch} of ${epochs}, ${time}.`;
  const parts = [`Trained on ${marked} marked photos in ${time}: ${run}`, note];
  if (figures?.iou === null) parts.push("No photo of the test split is marked, so there is no overlap: mark some of them.");
  return parts.filter(Boolean).join(". ").replaceAll("..", ".");
}

/** The figures of both: what they are worth, and for what reason they are right. */
function tables({ old, new: now }) {
  const photos = `On ${now.images} test photos, ${now.annotated} of them marked`;
  const changed = old && old.annotated !== now.annotated ? ` (${old.annotated} when the old model was measured)` : "";
  const found = [table(photos + changed, FIGURES, old, now)];
  const measured = total(now.reasonability);
  if (measured) {
    const caption = `Shares of the ${measured} test photos marked "look here"; on the marks: IoU of 0.5 or more`;
    // Folded where the photo would have no room beside it.
    const open = matchMedia("(min-height: 50rem), (max-width: 47.99rem)").matches;
    found.push(element("details", { open }, element("summary", {}, "Reasonability"), table(caption, CELLS, old, now)));
  }
  return found;
}

/** A table with a line for each of some figures. */
function table(caption, figures, old, now) {
  const head = (text) => element("th", { scope: "col" }, text);
  const titles = old ? ["Old", "New", "Difference"] : ["New"];
  return element("table", {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, element("td"), ...titles.map(head))),
    element("tbody", {}, ...figures.map(({ name, of, shown, change, good }) => {
      const values = [...(old ? [of(old)] : []), of(now)];
      const cells = values.map((value) => element("td", {}, value === null ? "not known" : shown(value)));
      if (old) cells.push(element("td", {}, difference(...values, change, good)));
      return element("tr", {}, element("th", { scope: "row" }, name), ...cells);
    })));
}

const points = (step) => [Math.round(100 * step), "points"];
const total = (cells) => Object.values(cells ?? {}).reduce((sum, n) => sum + n, 0);
const share = (cell) => ({ reasonability }) => (reasonability ? reasonability[cell] / total(reasonability) : null);

// `good`: whether more of it is better; that is not said of what may become better or worse.
const FIGURES = [
  { name: "Accuracy", of: ({ accuracy }) => accuracy, shown: percent, change: points, good: true },
  { name: "Overlap with marks (IoU)", of: ({ iou }) => iou, shown: (value) => value.toFixed(2), change: (step) => [step.toFixed(2), ""], good: true },
];
const CELLS = [
  { name: "Right, map on the marks", of: share("reasonable-accurate"), good: true },
  { name: "Right, map elsewhere", of: share("unreasonable-accurate") },
  { name: "Wrong, map on the marks", of: share("reasonable-inaccurate") },
  { name: "Wrong, map elsewhere", of: share("unreasonable-inaccurate") },
].map((cell) => ({ shown: percent, change: points, ...cell }));

/** A difference with its sign, and in words where more is better. */
function difference(before, after, change, good) {
  if (before === null || after === null) return "";
  const [size, unit] = change(Math.abs(after - before));
  if (Number(size) === 0) return "no difference";
  const more = after > before;
  const text = [`${more ? "+" : "−"}${size}`, unit].filter(Boolean).join(" ");
  if (!good) return text;
  return element("b", { class: more ? "right" : "wrong" }, `${text}, ${more ? "better" : "worse"}`);
}

function spoken({ old, new: now, note }) {
  if (!now) return note ?? "";
  const told = [...FIGURES, ...CELLS.slice(0, 2)].filter(({ of }) => of(now) !== null).map(({ name, of, shown }) =>
    `${name}: ${old && of(old) !== null ? `${shown(of(old))} before, ` : ""}${shown(of(now))} now`);
  return `${told.join(". ")}.`;
}
