// The button Correct: a new model is trained on what is marked, and stands beside the old one.

import * as api from "./api.js";
import { byId, element } from "./dom.js";
import { spoken, tables } from "./figures.js";

const PAUSE = 700; // ms between questions how far it is

export class Correction {
  #parts;
  #timer = 0;
  #hidden = false; // whether the key has hidden the maps that were compared
  #shown = ""; // the figures in the panel
  #told = { state: "none" };
  #title = element("h2", { id: "correction-title" }, "Correction");
  #cancel = element("button", { type: "button", id: "correction-cancel" }, "Cancel");
  #close = element("button", { type: "button", id: "correction-close" }, "Close");
  #fold = element("button", { type: "button", id: "correction-fold", "aria-controls": "correction-body" });
  #bar = element("progress", { id: "correction-progress", value: 0, max: 1, "aria-label": "Progress of the correction" });
  #text = element("p", { id: "correction-text" });
  #changed = element("div", { id: "correction-changed" });
  #figures = element("div", { id: "correction-figures" });
  #body = element("div", { id: "correction-body" }, this.#bar, this.#text, this.#changed, this.#figures);
  #comparing = element("input", { type: "checkbox", id: "compare-shown" });
  #compareText = document.createTextNode("");
  #compareLine = element("label", { class: "check" }, this.#comparing, this.#compareText, element("kbd", {}, "M"));

  /**
   * `parts`: compare, model, hasOld, say(text), and save(), whether what is drawn is saved; onCompare(on), whether maps are
   * compared now; onRun(there), whether there is a new model; onPredicted(), it has seen all photos; showChanged(), list
   * those it says another class of.
   */
  constructor(parts) {
    this.#parts = parts;
    byId("correction").append(
      element("div", { class: "title" }, this.#title, this.#compareLine, this.#cancel, this.#fold, this.#close),
      this.#body,
    );
    this.#foldBody(false);
    this.#cancel.addEventListener("click", () => this.#stop());
    this.#fold.addEventListener("click", () => this.#foldBody(!this.#body.hidden));
    this.#close.addEventListener("click", () => {
      byId("correction").hidden = true;
      byId("correct").focus();
      this.resume({ onlyRun: true }).catch(() => null); // of a correction before the one that was refused
    });
    this.#comparing.addEventListener("change", () => this.#compare(this.#comparing.checked));
    byId("map-shown").addEventListener("input", () => (this.#hidden = false)); // the key is that map's again
  }

  /** Show what there is already: the page may have been loaded anew. */
  async resume({ onlyRun = false } = {}) {
    const told = await api.correction();
    if (told.state === "none" || told.state === "cancelled" || (onlyRun && !told.run)) return;
    this.#show(told);
    if (isUnderWay(told)) this.#wait();
  }

  /** Train on what is marked so far. */
  async start() {
    if (this.#told.state === "running") {
      this.#parts.say("A correction is running already");
      return;
    }
    this.#compare(false);
    this.#foldBody(false);
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

  /** Show what an answer tells, and go on asking as long as something is under way. */
  async #follow(answer) {
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
    if (isUnderWay(told)) this.#wait();
    else if (told.run) this.#parts.onPredicted();
    if (told.state === "running" || before.state !== "running") return;
    this.#tell(told);
    if (document.activeElement === document.body) this.#way.focus();
  }

  #tell(told) {
    const { say } = this.#parts;
    if (told.state === "done") say(`The correction is done. ${spoken(told)}`);
    else if (told.state === "failed") say(`The correction has failed: ${told.error}`);
    else say("The correction was cancelled; nothing of it is left");
  }

  #compare(on) {
    this.#hidden = false;
    this.#comparing.checked = on;
    this.#parts.compare.show(on);
    this.#parts.model.compared(on);
    this.#parts.onCompare(on);
  }

  /** The button that gives the photo its room back. */
  get #way() {
    return this.#close.hidden ? this.#fold : this.#close;
  }

  #foldBody(folded) {
    this.#body.hidden = folded;
    this.#fold.textContent = folded ? "Unfold" : "Fold";
    this.#fold.setAttribute("aria-expanded", String(!folded));
  }

  #show(told) {
    this.#told = told;
    const running = told.state === "running";
    const hadFocus = document.activeElement === this.#cancel;
    byId("correction").hidden = false;
    this.#cancel.hidden = !running;
    // What has a run can be shown again; anything else is of no use any more.
    this.#close.hidden = running || Boolean(told.run);
    this.#fold.hidden = running || !told.run;
    if (this.#fold.hidden) this.#foldBody(false);
    if (hadFocus && !running) this.#way.focus();
    this.#bar.hidden = !running;
    this.#bar.max = told.epochs || 1;
    this.#bar.value = told.epoch ?? 0;
    this.#text.textContent = sentence(told);
    this.#showChanged(told);
    this.#showFigures(told);
    this.#compareLine.hidden = !told.run;
    this.#compareText.data = this.#parts.hasOld ? "Compare the maps" : "Show the new map";
    this.#parts.compare.choose(told.run ?? null, this.#parts.hasOld);
    this.#parts.model.allowNew(Boolean(told.run));
    this.#parts.onRun(Boolean(told.run));
  }

  #showFigures(told) {
    const figures = JSON.stringify([told.old, told.new]);
    if (figures === this.#shown) return; // what is folded in it stays so
    this.#shown = figures;
    this.#figures.replaceChildren(...(told.new ? tables(told) : []));
  }

  /** On how many photos the two models differ, and the way to them. */
  #showChanged({ state, run, predicting, predicted, changed }) {
    const known = run && state !== "running" && (changed ?? null) !== null;
    const had = this.#changed.contains(document.activeElement);
    this.#changed.replaceChildren();
    if (!known) return;
    const photos = `${changed.toLocaleString("en")} photo${changed === 1 ? "" : "s"}`;
    const far = predicting ? `, of ${predicted.toLocaleString("en")} predicted so far` : "";
    const show = element("button", { type: "button", id: "correction-show-changed" }, "List them");
    show.addEventListener("click", () => this.#parts.showChanged());
    this.#changed.append(`The new model says another class of ${photos}${far}.`, changed > 0 ? show : "");
    if (had && changed > 0) show.focus();
  }
}

const isUnderWay = ({ state, predicting }) => state === "running" || Boolean(predicting);

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

