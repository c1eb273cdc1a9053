// The maps of two models over one photo: the old one left of a divider, the new one right of it.

import * as api from "./api.js";
import { byId, element } from "./dom.js";
import { blank, decodePhoto } from "./png.js";

export class Compare {
  #stage;
  #say;
  #onShown;
  #bar;
  #line = element("span", { class: "line" });
  #divider = element("input", {
    type: "range", id: "divider", min: 0, max: 100, value: 50,
    "aria-label": "Divider: the old map is left of it, the new one right",
  });
  #info = null; // of the open image
  #run = null; // whose maps are the new ones
  #hasOld = false;
  #on = false;
  #maps = null; // {old, new} of the open image, once they are there; without an old model, old is null
  #ticket = 0;
  #drawn = ""; // what `stage.map` shows, if it is ours
  #ours = null;

  /** `onShown()` is called once the maps of an image are there, and with them what the new model says of it. */
  constructor(stage, say, onShown) {
    this.#stage = stage;
    this.#say = say;
    this.#onShown = onShown;
    const words = (text, side) => element("span", { class: `side ${side}`, "aria-hidden": "true" }, text);
    this.#bar = element("div", { class: "compare", hidden: true },
      this.#line, words("Old map", "old"), words("New map", "new"), this.#divider);
    byId("stage").append(this.#bar);
    this.#divider.addEventListener("input", () => this.update());
  }

  /** Another image is open: null, or its facts. */
  open(info) {
    this.#info = info;
    this.#load();
  }

  /** The model that there is now to compare with the old one, if that is there; null for none. */
  choose(run, hasOld) {
    if (run === this.#run) return;
    [this.#run, this.#hasOld] = [run, hasOld];
    this.#load();
  }

  /** Show the maps, or do not. */
  show(on) {
    if (on === this.#on) return;
    this.#on = on;
    this.#load();
  }

  /** Bring what is shown up to date: the view, the divider or the opacity may have changed. */
  update() {
    const maps = this.#maps;
    this.#bar.hidden = !maps?.old;
    if (!maps) return;
    const { view, canvas } = this.#stage;
    const whole = this.#info.width * view.scale;
    const left = Math.max(view.left, 0);
    const seen = Math.max(Math.min(view.left + whole, canvas.clientWidth) - left, 0);
    const share = this.#divider.value / 100;
    // The slider goes over what is seen of the photo, however large that is shown.
    const at = maps.old ? Math.min(Math.max((left + share * seen - view.left) / whole, 0), 1) : 0;
    Object.assign(this.#bar.style, { left: `${left}px`, width: `${seen}px` });
    this.#line.style.left = `${100 * share}%`;
    this.#divider.setAttribute("aria-valuetext", `${Math.round(100 * share)} % old, ${Math.round(100 - 100 * share)} % new`);

    const opacity = byId("map-opacity").value / 100;
    const wanted = [at, opacity].join(" ");
    if (wanted === this.#drawn && this.#stage.map === this.#ours) return;
    this.#drawn = wanted;
    this.#ours = this.#stage.map = { picture: joined(maps, at), opacity };
    this.#stage.refresh();
  }

  async #load() {
    const ticket = ++this.#ticket;
    const had = this.#maps;
    this.#maps = null;
    this.#drawn = "";
    this.update();
    if (had) byId("map-shown").dispatchEvent(new Event("change")); // the model's own map comes back
    if (!this.#on || !this.#run || !this.#info) return;
    const { index } = this.#info;
    try {
      const ask = (which) => api.map(index, which).then(decodePhoto);
      const [before, after] = await Promise.all([this.#hasOld ? ask("old") : null, ask("new")]);
      if (ticket !== this.#ticket) return;
      this.#maps = { old: before, new: after };
      this.update();
      this.#onShown();
    } catch (error) {
      if (ticket === this.#ticket) this.#say(`The maps are not to be had: ${error.message}`);
    }
  }
}

/** One picture of both maps; `at` is the share of its width that is the old one's. */
function joined(maps, at) {
  const { width, height } = maps.new;
  const { canvas, context } = blank(width, height);
  const edge = Math.round(at * width);
  if (edge > 0) context.drawImage(maps.old, 0, 0, edge, height, 0, 0, edge, height);
  if (edge < width) context.drawImage(maps.new, edge, 0, width - edge, height, edge, 0, width - edge, height);
  return canvas;
}
