// The button Correct: a new model is trained on what is marked, and stands beside the old one.

import * as api from "./api.js";
import { byId, element, percent } from "./dom.js";

const PAUSE = 700; // ms between questions how far it is

export class Correction {
  #parts;
  #timer = 0;
  #told = { state: "none" };
  #title = element("h2", { id: "correction-title" }, "Correction");
  #cancel = element("button", { type: "button", id: "correction-cancel" }, "Cancel");
  #close = element("button", { type: "button", id: "correction-close" }, "Close");
  #bar = element("progress", { id: "correction-progress", value: 0, max: 1, "aria-label": "Progress of the correction" });
  #text = element("p", { id: "correction-text" });
  #figures = element("div", { id: "correction-figures" });
  #comparing = element("input", { type: "checkbox", id: "compare-shown" });
  #compareLine = element("label", { class: "check" }, this.#comparing, " Compare the maps");

  /** `parts`: compare, say(text), and save(), which resolves once what is drawn is saved. */
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
    await this.#parts.save();
    try {
      this.#show(await api.startCorrection());
    } catch (error) {
      this.#show({ state: "refused", error: error.message });
      this.#parts.say(`Nothing was started: ${error.message}`);
      return;
    }
    this.#parts.say("The correction has started");
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

  #compare(on) {
    this.#comparing.checked = on;
    this.#parts.compare.show(on);
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
    this.#figures.replaceChildren(...(told.new ? [table(told)] : []));
    this.#compareLine.hidden = !told.run;
    this.#compareLine.lastChild.textContent = this.#parts.hasOld ? " Compare the maps" : " Show the new map";
    this.#parts.compare.choose(told.run ?? null, this.#parts.hasOld);
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

/** The figures of both, a line for each. */
function table({ old, new: now }) {
  const head = (text) => element("th", { scope: "col" }, text);
  const titles = old ? ["Old", "New", "Difference"] : ["New"];
  const photos = `On ${now.images} test photos, ${now.annotated} of them marked`;
  const changed = old && old.annotated !== now.annotated ? ` (${old.annotated} when the old model was measured)` : "";
  return element("table", {},
    element("caption", {}, photos + changed),
    element("thead", {}, element("tr", {}, element("td"), ...titles.map(head))),
    element("tbody", {}, ...FIGURES.map(({ name, key, shown, change }) => {
      const values = [...(old ? [old[key]] : []), now[key]];
      const cells = values.map((value) => element("td", {}, value === null ? "not known" : shown(value)));
      if (old) cells.push(element("td", {}, difference(old[key], now[key], change)));
      return element("tr", {}, element("th", { scope: "row" }, name), ...cells);
    })));
}

const FIGURES = [
  { name: "Accuracy", key: "accuracy", shown: percent, change: (step) => [Math.round(100 * step), "points"] },
  { name: "Overlap with marks (IoU)", key: "iou", shown: (value) => value.toFixed(2), change: (step) => [step.toFixed(2), ""] },
];

/** A difference in words and with its sign. */
function difference(before, after, change) {
  if (before === null || after === null) return "";
  const [size, unit] = change(Math.abs(after - before));
  if (Number(size) === 0) return "no difference";
  const better = after > before;
  const text = [`${better ? "+" : "−"}${size}`, unit].filter(Boolean).join(" ");
  return element("b", { class: better ? "right" : "wrong" }, `${text}, ${better ? "better" : "worse"}`);
}

function spoken({ old, new: now, note }) {
  if (!now) return note ?? "";
  const told = FIGURES.filter(({ key }) => now[key] !== null).map(({ name, key, shown }) =>
    `${name}: ${old && old[key] !== null ? `${shown(old[key])} before, ` : ""}${shown(now[key])} now`);
  return `${told.join(". ")}.`;
}
