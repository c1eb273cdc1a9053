// The list of images: a page of it at a time, filtered by name, status, class and what a model makes of them.

import * as api from "./api.js";
import { byId, element, icon, percent } from "./dom.js";

const PAGE = 50;
const PAUSE = 250; // ms between the last letter of a name and the question to the server

const STATUS_WORDS = { open: "Open", marked: "Marked", nothing: "Nothing to mark", skipped: "Skipped" };
const CHANGED = "changed";
const TO_ACCEPT = { "to-accept": "To accept" };

const isOff = (button) => button.getAttribute("aria-disabled") === "true";

/** The symbol and the word of a status; `start`: whether the image shows marks to start with. */
export function statusLabel({ status, start }) {
  const shown = start && status === "open" ? "to-accept" : status;
  return element("span", { class: `status ${shown}` }, icon(`status-${shown}`), { ...STATUS_WORDS, ...TO_ACCEPT }[shown]);
}

export class ImageList {
  #onOpen;
  #say;
  #offset = 0;
  #current = null;
  #items = new Map(); // index -> {button, place of the status}
  #ticket = 0; // of the newest request: an older answer that comes late is not shown
  #timer = 0;

  /** `onOpen(index)` is called when an image is chosen. */
  constructor({ classes, source, has_model: hasModel, ways, onOpen, say }) {
    this.#onOpen = onOpen;
    this.#say = say;
    const options = (words) => Object.entries(words).map(([value, word]) => element("option", { value }, word));
    byId("filter-status").append(...options({ ...STATUS_WORDS, ...(source ? TO_ACCEPT : {}) }));
    byId("filter-label").append(...classes.map((name, index) => element("option", { value: index }, name)));
    byId("filter-label").closest("label").hidden = classes.length < 2;
    byId("filter-model").closest("label").hidden = !hasModel;
    this.showWays(ways);
    byId("filters").addEventListener("change", ({ target }) => target !== byId("filter-name") && this.load(0));
    byId("filter-name").addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.load(0), PAUSE);
    });
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    for (const [id, step] of [["page-before", -PAGE], ["page-after", PAGE]]) {
      byId(id).addEventListener("click", () => !isOff(byId(id)) && this.load(this.#offset + step));
    }
    byId("list").addEventListener("keydown", (event) => this.#walk(event));
  }

  /** Offer the ways in which the model looks, as far as they are known: [{value, name, images}]. */
  showWays(ways) {
    byId("filter-ways")?.remove();
    if (!ways.length) return;
    byId("filter-model").append(element("optgroup", { id: "filter-ways", label: "Way of looking" },
      ...ways.map(({ value, name, images }) => element("option", { value }, `${name} (${images.toLocaleString("en")})`))));
  }

  /** Offer those photos of which a correction has changed what is predicted, if there is one. */
  allowChanged(there) {
    const { options } = byId("filter-model");
    const option = [...options].find(({ value }) => value === CHANGED);
    if (option.hidden === !there) return;
    option.hidden = option.disabled = !there;
    if (there || !option.selected) return;
    byId("filter-model").value = "";
    this.load(0);
  }

  /** List them, and no others. */
  showChanged() {
    byId("filters").reset();
    byId("filter-model").value = CHANGED;
    this.load(0);
  }

  /** Show the images from this place of the filtered list on. */
  async load(offset) {
    const ticket = ++this.#ticket;
    let answer;
    try {
      answer = await api.images(Math.max(offset, 0), PAGE, this.#filters);
    } catch (error) {
      if (ticket === this.#ticket) this.#say(`The list could not be loaded: ${error.message}`);
      return;
    }
    if (ticket !== this.#ticket) return;
    const { total } = answer;
    if (offset >= total && total > 0) return this.load(total - 1 - ((total - 1) % PAGE)); // it has shrunk
    this.#offset = Math.max(offset, 0);
    this.#items.clear();
    byId("list").replaceChildren(...answer.images.map((image) => this.#item(image)));
    byId("list").scrollTop = 0;
    const last = this.#offset + answer.images.length;
    const numbers = `${(this.#offset + 1).toLocaleString("en")}–${last.toLocaleString("en")}`;
    byId("listed").textContent = total ? `${numbers} of ${total.toLocaleString("en")}` : "No image is like this";
    // Not "disabled": the button that has the focus would lose it on the last page.
    byId("page-before").setAttribute("aria-disabled", String(this.#offset === 0));
    byId("page-after").setAttribute("aria-disabled", String(last >= total));
    this.#highlight();
  }

  /** Show the same images anew, for what is known of them by now. */
  async refresh() {
    const { scrollTop } = byId("list");
    const focused = document.activeElement?.dataset?.index;
    await this.load(this.#offset);
    byId("list").scrollTop = scrollTop;
    if (focused) this.#items.get(Number(focused))?.button.focus();
  }

  /** This image is open now: show where it is, if the filters allow to say so. */
  async show(index) {
    this.#current = index;
    const filtered = Object.values(this.#filters).some(Boolean);
    if (!this.#items.has(index) && !filtered) await this.load(Math.floor(index / PAGE) * PAGE);
    this.#highlight();
    this.#items.get(index)?.button.scrollIntoView({ block: "nearest" });
  }

  /** An image has another {status, start}. */
  update(index, state) {
    const item = this.#items.get(index);
    if (!item) return;
    const fresh = statusLabel(state);
    item.status.replaceWith(fresh);
    item.status = fresh;
  }

  get #filters() {
    const chosen = (name) => byId(`filter-${name}`).value;
    return { name: chosen("name").trim(), status: chosen("status"), class: chosen("label"), model: chosen("model") };
  }

  #item({ index, id, name, label, status, start, predicted, probability, right, new: now }) {
    const thumbnail = element("img", {
      src: api.thumbnail(index), alt: "", loading: "lazy", decoding: "async", width: 56, height: 56,
    });
    const state = statusLabel({ status, start });
    const said = probability === null ? predicted : `${predicted} ${percent(probability)}`;
    const guess = predicted === null ? null : element("span", { class: right === false ? "wrong" : "guess" },
      right === false ? `says ${said}` : said);
    const of = label === null ? null : element("span", {}, label);
    const changed = predicted !== null && now && now.predicted !== predicted
      ? element("span", { class: now.right === false ? "wrong" : "guess" }, `now ${now.predicted}`) : null;
    const facts = element("span", { class: "facts" }, of, guess, changed);
    const words = element("span", { class: "words" }, element("span", { class: "name", title: id }, name), facts, state);
    const button = element("button", { type: "button", tabindex: -1, "data-index": index }, thumbnail, words);
    button.addEventListener("click", () => this.#onOpen(index));
    this.#items.set(index, { button, status: state });
    return element("li", {}, button);
  }

  /** One image of the list can be reached with tab, the others from there with the arrow keys. */
  #highlight() {
    for (const [index, { button }] of this.#items) {
      button.toggleAttribute("aria-current", false);
      if (index === this.#current) button.setAttribute("aria-current", "true");
      button.tabIndex = index === this.#current ? 0 : -1;
    }
    const first = this.#items.values().next().value;
    if (first && !this.#items.has(this.#current)) first.button.tabIndex = 0;
  }

  #walk(event) {
    const buttons = [...this.#items.values()].map((item) => item.button);
    const at = buttons.indexOf(document.activeElement);
    const places = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 };
    const target = buttons[places[event.key]];
    if (at < 0 || !target) return;
    event.preventDefault();
    buttons[at].tabIndex = -1;
    target.tabIndex = 0;
    target.focus();
  }
}
