// What the model looks at: its map over the photo, and the highest part of it as a start for marks.

import * as api from "./api.js";
import { decodeGrey } from "./decode.js";
import { byId, percent } from "./dom.js";
import { fillWhere } from "./shapes.js";
import { blank, decodePhoto } from "./png.js";

const PAUSE = 200; // ms between the last move of the slider and the question to the server
const WHITE = 0xffffffff;

export class Model {
  #stage;
  #editor;
  #say;
  #index = null;
  #hasNew = false; // whether there is another map, of a correction
  #covered = false; // whether two maps are compared
  #picture = null; // the map, once it was asked for
  #asking = null; // while it is being computed
  #timer = 0;

  constructor(stage, editor, say) {
    this.#stage = stage;
    this.#editor = editor;
    this.#say = say;
    byId("map-shown").addEventListener("change", () => this.#showMap());
    byId("map-opacity").addEventListener("input", () => this.#showMap());
    const share = byId("share");
    share.addEventListener("input", () => {
      share.focus(); // Safari gives it no focus by a press, and the preview lasts as long as that
      byId("share-shown").textContent = percent(this.#share);
      byId("use-region").textContent = `Mark the highest ${percent(this.#share)}`;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#preview(), PAUSE);
    });
    share.addEventListener("blur", () => this.#endPreview());
    byId("use-region").addEventListener("click", () => this.#use());
  }

  /** Another image is open: null, or its facts. */
  open(info) {
    this.#index = info?.has_map ? info.index : null;
    this.#picture = this.#asking = null;
    clearTimeout(this.#timer);
    this.#showParts();
    this.#showMap();
  }

  /** Whether there is a map of a correction: its opacity can be chosen, even where there is no model else. */
  allowNew(there) {
    this.#hasNew = there;
    this.#showParts();
  }

  /** Whether two maps are compared: these lie over the photo then, and its own map cannot be chosen. */
  compared(on) {
    this.#covered = on;
    this.#showParts();
  }

  /** Have the photo without the map, so that it can be seen. */
  hideMap() {
    byId("map-shown").checked = false;
    this.#showMap();
  }

  #showParts() {
    const alone = this.#index === null;
    byId("model").hidden = alone && !this.#hasNew;
    for (const id of ["map-check", "share-slider", "use-region"]) byId(id).hidden = alone;
    if (this.#covered) byId("map-check").hidden = true;
  }

  toggleMap() {
    if (this.#index === null) {
      this.#say("There is no map: start with --run to see what a model looks at");
      return;
    }
    byId("map-shown").checked = !byId("map-shown").checked;
    this.#say(byId("map-shown").checked ? "Map shown" : "Map hidden");
    this.#showMap();
  }

  get #share() {
    return byId("share").value / 100;
  }

  async #showMap() {
    const opacity = byId("map-opacity").value / 100;
    byId("map-opacity-shown").textContent = percent(opacity);
    const wanted = byId("map-shown").checked && this.#index !== null;
    this.#stage.map = wanted && this.#picture ? { picture: this.#picture, opacity } : null;
    this.#stage.refresh();
    if (!wanted || this.#picture || this.#asking) return;
    const asking = (this.#asking = this.#ask((index) => api.map(index).then(decodePhoto), "The map"));
    const picture = await asking;
    if (asking !== this.#asking) return; // of an image that was open before
    this.#asking = null;
    if (!picture) {
      byId("map-shown").checked = false; // a press of it asks once more
      return;
    }
    this.#picture = picture;
    this.#showMap();
  }

  async #preview() {
    const region = await this.#region();
    if (!region || document.activeElement !== byId("share")) return;
    const { canvas, context } = blank(region.width, region.height);
    const image = new ImageData(region.width, region.height);
    const pixels = new Uint32Array(image.data.buffer);
    region.values.forEach((value, i) => value > 127 && (pixels[i] = WHITE));
    context.putImageData(image, 0, 0);
    this.#stage.preview = canvas;
    this.#stage.refresh();
  }

  #endPreview() {
    clearTimeout(this.#timer);
    this.#stage.preview = null;
    this.#stage.refresh();
  }

  async #use() {
    const region = await this.#region();
    if (!region) return;
    this.#endPreview();
    const changed = this.#editor.apply((marks) => {
      fillWhere(marks, marks.whole, (position) => region.values[position] > 127, this.#editor.ink);
    });
    this.#say(changed ? `The highest ${percent(this.#share)} of the map was marked` : "It is marked already");
  }

  async #region() {
    const region = await this.#ask((index) => api.region(index, this.#share).then(decodeGrey), "The region");
    const { marks } = this.#editor;
    return region && region.values.length === marks?.values.length ? region : null;
  }

  /** What `question(index)` gives, or null if that fails or another image was opened meanwhile. */
  async #ask(question, what) {
    const index = this.#index;
    try {
      const answer = await question(index);
      return index === this.#index ? answer : null;
    } catch (error) {
      if (index === this.#index) this.#say(`${what} is not to be had: ${error.message}`);
      return null;
    }
  }
}
