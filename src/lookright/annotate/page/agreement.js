// How well this annotator agrees with each of the others over all photos, and where least.

import * as api from "./api.js";
import { byId, element, percent } from "./dom.js";

const SOON = 300; // ms until the answer is looked for
const PAUSE = 2000; // ms between further questions while the server still compares

export class Agreement {
  #open;
  #rows = new Map(); // annotator -> {line, text, button}
  #told = { pending: false, others: [] };
  #index = null; // of the open image
  #timer = 0;
  #ticket = 0; // of the newest question

  /** `open(index)` opens an image. Nothing is compared until somebody unfolds it. */
  constructor({ annotators }, open) {
    this.#open = open;
    byId("others").hidden = annotators.length < 2;
    byId("others").addEventListener("toggle", () => this.#unfolded && this.#ask(true));
  }

  /** Another image is open: null, or its facts. What was marked before it counts from now on. */
  open(info) {
    this.#index = info?.index ?? null;
    if (!this.#unfolded || !info) return;
    this.#show();
    this.#ask(true);
  }

  get #unfolded() {
    return byId("others").open;
  }

  async #ask(refresh) {
    const ticket = ++this.#ticket;
    clearTimeout(this.#timer);
    const told = await api.agreement(refresh).catch(() => null); // the next image asks again
    if (ticket !== this.#ticket || !told) return;
    if (told.pending && this.#unfolded) this.#timer = setTimeout(() => this.#ask(false), refresh ? SOON : PAUSE);
    // What is known already stays until it is looked through again: mostly nothing has changed.
    if (refresh && told.pending && this.#told.others.length) return;
    this.#told = told;
    this.#show();
  }

  #show() {
    const { pending, others } = this.#told;
    if (others.some(({ annotator }) => !this.#rows.has(annotator))) this.#make();
    for (const { annotator, images, agreement, least } of others) {
      const { text, button } = this.#rows.get(annotator);
      const photos = images === 1 ? "1 photo" : `${images.toLocaleString("en")} photos`;
      const none = pending ? "comparing" : "no photo that both marked";
      const said = `${percent(agreement)} overlap on ${photos}${pending ? " so far" : ""}`;
      text.textContent = images ? said : none;
      button.hidden = least.length === 0;
      if (button.hidden) continue;
      // The photo where they agree least; from one of the least, the way goes on to the next.
      const at = (least.findIndex(({ index }) => index === this.#index) + 1) % least.length;
      const where = least[at];
      button.textContent = `${at ? "Next least" : "Least"}: ${where.name}, ${percent(where.agreement)}`;
      button.setAttribute("aria-label", `${button.textContent}, with ${annotator}`);
      button.onclick = () => this.#open(where.index);
    }
  }

  #make() {
    this.#rows = new Map(this.#told.others.map(({ annotator }) => {
      const text = element("span");
      const button = element("button", { type: "button" });
      const line = element("li", {}, element("p", {}, element("b", {}, annotator), ": ", text), button);
      return [annotator, { line, text, button }];
    }));
    byId("others-list").replaceChildren(...[...this.#rows.values()].map(({ line }) => line));
  }
}
