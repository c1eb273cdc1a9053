// The image that is open: opening one, leaving it with everything saved, going on to the next.

import * as api from "./api.js";
import { byId, choose, element, percent, say } from "./dom.js";
import { statusLabel } from "./list.js";
import { Marks } from "./marks.js";
import { decodeMarks, decodePhoto } from "./png.js";
import { Saver } from "./saver.js";

const address = (index) => `#image-${index}`;

/** The index of the image in the page's address, or null. */
export function addressed() {
  const found = /^#image-(\d+)$/.exec(location.hash);
  return found ? Number(found[1]) : null;
}

export class Work {
  info = null;
  saver = null;
  /** The index of the image that was open before this one. */
  previous = null;

  #stage;
  #editor;
  #listen;
  #ticket = 0; // of the newest call of open: an older one gives up
  #deciding = null;

  /** `listen` has onOpen(info or null), onState(saver) and onWritten(index, {version, status}). */
  constructor(stage, editor, listen) {
    this.#stage = stage;
    this.#editor = editor;
    this.#listen = listen;
  }

  get index() {
    return this.info?.index ?? null;
  }

  /** Open an image, once the one before is saved: whether it is open now. */
  async open(index, { remember = true } = {}) {
    const ticket = ++this.#ticket;
    if (!(await this.#leave()) || ticket !== this.#ticket) return false;
    const before = this.index ?? this.previous;
    this.#close();
    byId("stage").setAttribute("aria-busy", "true");
    try {
      const [info, photo, { marks, version }] = await load(index);
      if (ticket !== this.#ticket) return false;
      this.info = info;
      if (before !== index) this.previous = before;
      this.#editor.open(marks);
      this.saver = new Saver(index, version, this.#editor.history, {
        onState: (saver) => saver === this.saver && this.#listen.onState(saver),
        onWritten: (...written) => this.#written(...written),
      });
      this.#stage.show(photo, marks);
      if (remember && addressed() === null) history.replaceState(null, "", address(index));
      else if (remember && addressed() !== index) history.pushState(null, "", address(index));
      this.#show();
      return true;
    } catch (error) {
      if (ticket === this.#ticket) this.#fail(error);
      return false;
    } finally {
      if (ticket === this.#ticket) byId("stage").removeAttribute("aria-busy");
    }
  }

  /** Show what is said of the image by now: predictions come in after the start. */
  async refresh() {
    const { index } = this;
    if (index === null) return;
    const { predicted, probability, right } = await api.image(index);
    if (index !== this.index) return;
    Object.assign(this.info, { predicted, probability, right });
    this.#showFacts();
  }

  /** Open the open image that teaches most. */
  async next() {
    let index;
    try {
      index = await api.next(this.index);
    } catch (error) {
      say(`The next image is not known: ${error.message}`);
      return;
    }
    if (index === null) say("No other image is open");
    else if (await this.open(index)) say(`${this.info.name}, ${this.info.label ?? "without a class"}`);
  }

  /** Say that there is nothing to mark, or skip, and go on; said twice, the image is open again. */
  async finish(status) {
    if (!this.saver) return;
    this.#editor.liftPen();
    if (status === "nothing" && !this.#editor.marks.empty) {
      say("This image has marks; clear them first if there is nothing to mark");
      return;
    }
    const again = this.info.status === status;
    const { saver } = this;
    if (!(await saver.putStatus(again ? "open" : status))) {
      if (saver.state === "saved") say(saver.reason);
    } else if (again) {
      say("This image is open again");
    } else {
      await this.next();
    }
  }

  /** Take the marks of the image that was open before, resized if need be. */
  async copyPrevious() {
    const { marks } = this.#editor;
    const from = this.previous ?? (this.index > 0 ? this.index - 1 : null);
    if (!marks || from === null) {
      say("There is no image before this one");
      return;
    }
    let other;
    try {
      other = await decodeMarks((await api.marks(from)).blob);
    } catch (error) {
      say(`The marks could not be copied: ${error.message}`);
      return;
    }
    if (marks !== this.#editor.marks) return; // another image was opened meanwhile
    const values = marks.values.map((_, i) => {
      const x = Math.floor(((i % marks.width) + 0.5) * (other.width / marks.width));
      const y = Math.floor((Math.floor(i / marks.width) + 0.5) * (other.height / marks.height));
      return other.values[y * other.width + x];
    });
    say(this.#editor.replace(values) ? "The marks of the previous image were copied; undo takes them back"
      : "The previous image has the same marks");
  }

  /** Ask what is to be done where somebody else has changed this image. */
  decide() {
    this.#deciding ??= this.#decide().finally(() => (this.#deciding = null));
    return this.#deciding;
  }

  async #decide() {
    const { saver } = this;
    if (saver?.state !== "conflict") return;
    const answer = await choose(byId("conflict"));
    if (!answer || saver !== this.saver || saver.state !== "conflict") return;
    try {
      const theirs = await saver.theirs();
      if (answer === "mine") {
        await saver.overwrite(theirs.version);
      } else {
        // As a step of the history: what was drawn here comes back with undo. Accepted after it: nothing is to be written.
        this.#editor.replace(theirs.values);
        saver.accept(theirs.version);
        say("Their marks were loaded; undo brings yours back");
      }
    } catch (error) {
      say(`Nothing was changed: ${error.message}`);
    }
  }

  /** Whether everything of this image is saved, or is to be given up. */
  async #leave() {
    const { saver } = this;
    this.#editor.cancel();
    while (saver && !(await saver.flush())) {
      if (saver.state === "conflict") {
        await this.decide();
        if (saver.state === "conflict") return false;
        continue;
      }
      byId("unsaved-why").textContent = `Reason: ${saver.reason}`;
      const answer = await choose(byId("unsaved"));
      if (answer === "leave") break;
      if (answer !== "again") return false;
    }
    return true;
  }

  #close() {
    this.saver?.stop();
    this.saver = this.info = null;
    this.#editor.open(null);
    this.#listen.onOpen(null);
  }

  #fail(error) {
    this.#stage.show(null, null);
    byId("name").textContent = "This image could not be opened";
    say(`This image could not be opened: ${error.message}`);
  }

  #written(index, { status }) {
    const before = index === this.index ? this.info.status : null;
    if (before !== null) this.info.status = status;
    this.#listen.onWritten(index, before, status);
    if (index === this.index) byId("image-status").replaceChildren(statusLabel(status));
  }

  #show() {
    const { id, name, status } = this.info;
    byId("name").textContent = name;
    byId("name").title = id;
    byId("image-status").replaceChildren(statusLabel(status));
    this.#showFacts();
    document.title = `${name} · lookright annotate`;
    this.#listen.onOpen(this.info);
    this.#listen.onState(this.saver);
  }

  #showFacts() {
    const { label, predicted, probability, right, width, height, others } = this.info;
    const facts = [label === null ? null : element("span", {}, "Class ", element("b", {}, label))];
    if (predicted !== null) {
      const sure = probability === null ? "" : ` ${percent(probability)}`;
      const verdict = right === null ? "" : right ? " (right)" : " (wrong)";
      const tone = right === null ? "" : right ? "right" : "wrong";
      facts.push(element("span", {}, "Model: ", element("b", { class: tone }, `${predicted}${sure}${verdict}`)));
    }
    facts.push(element("span", { class: "extent" }, `${width} × ${height}`));
    if (others.length) {
      const each = others.map(({ annotator, agreement }) =>
        agreement === null ? annotator : `${annotator} (${percent(agreement)} overlap)`);
      facts.push(element("span", {}, `Also marked by ${each.join(", ")}`));
    }
    byId("facts").replaceChildren(...facts.filter(Boolean));
  }
}

/** Everything of an image: [facts, photo, {marks, version}]. */
async function load(index) {
  const [info, photo, { blob, version }] = await Promise.all([
    api.image(index), api.photo(index).then(decodePhoto), api.marks(index),
  ]);
  const { width, height, values } = await decodeMarks(blob);
  if (photo.width !== width || photo.height !== height) {
    throw new Error(`the photo is ${photo.width} x ${photo.height} pixels, its marks ${width} x ${height}`);
  }
  return [info, photo, { marks: new Marks(width, height, values), version }];
}
