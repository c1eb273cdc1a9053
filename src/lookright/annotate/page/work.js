// The image that is open: opening one, leaving it with everything saved, going on to the next.

import { enter } from "./address.js";
import * as api from "./api.js";
import { settle } from "./conflict.js";
import { copyMarks } from "./copy.js";
import { byId, say, shortened } from "./dom.js";
import { showFacts } from "./facts.js";
import { leave } from "./leave.js";
import { statusLabel } from "./list.js";
import { load } from "./load.js";
import { Saver } from "./saver.js";
import { skipUnopened, Turn } from "./turn.js";

export class Work {
  info = null;
  saver = null;
  /** The index of the image that was open before this one. */
  previous = null;

  #stage;
  #editor;
  #source;
  #listen;
  #ticket = 0; // of the newest call of open: an older one gives up
  #wanted = null; // index of the image that is open, or was to be opened
  #failed = false; // whether that could not be opened
  #turn = new Turn();
  #deciding = null;
  #compared = false;

  /**
   * `source`: what marks to start with are from; `listen` has onOpen(info or null), onState(saver, or null where the
   * image could not be opened) and onWritten(index, before, after): both {status, start}, the one before is null of an image that is left.
   */
  constructor(stage, editor, source, listen) {
    this.#stage = stage;
    this.#editor = editor;
    this.#source = source;
    this.#listen = listen;
  }

  get index() {
    return this.info?.index ?? null;
  }

  /** Open an image, once the one before is saved, and say so, after `first`: whether it is open now. */
  async open(index, { remember = true, first = "" } = {}) {
    const ticket = ++this.#ticket;
    if (!(await this.#leave()) || ticket !== this.#ticket) return false;
    const before = this.index ?? this.previous;
    this.#close();
    this.#wanted = index;
    byId("stage").setAttribute("aria-busy", "true");
    try {
      const [info, photo, { marks, version }] = await load(index);
      if (ticket !== this.#ticket) return false;
      this.info = { ...info, start: info.start && !marks.empty };
      if (before !== index) this.previous = before;
      this.#editor.open(marks);
      this.saver = new Saver(index, version, this.#editor.history, {
        onState: (saver) => saver === this.saver && this.#listen.onState(saver),
        onWritten: (...written) => this.#written(...written),
      });
      this.#stage.show(photo, marks);
      if (remember) enter(index, before === null);
      this.#show();
      const { name, label, start } = this.info;
      const told = [shortened(name), label === null ? "without a class" : shortened(label)];
      if (start) told.push(`marks from ${this.#source}`);
      if (!this.#stage.marksShown && !marks.empty) told.push("marks hidden");
      say(`${first}${told.join(", ")}`);
      return true;
    } catch (error) {
      if (ticket === this.#ticket) this.#fail(error, index, remember, before);
      return false;
    } finally {
      if (ticket === this.#ticket) byId("stage").removeAttribute("aria-busy");
    }
  }

  /** Show what is said of the image by now: predictions come in after the start. */
  async refresh() {
    const { index } = this;
    if (index === null) return;
    const { predicted, probability, right, new: now } = await api.image(index);
    if (index !== this.index) return;
    Object.assign(this.info, { predicted, probability, right, new: now });
    showFacts(this.info, this.#source, this.#compared);
  }

  /** Whether the maps of two models are compared: then it is said what both make of the image. */
  compare(on) {
    this.#compared = on;
    if (this.info) showFacts(this.info, this.#source, on);
  }

  /** What could not be opened or saved is tried again. */
  async retry() {
    if (this.#failed) await this.open(this.#wanted);
    else if (this.saver?.state === "conflict") await this.decide();
    else await this.saver?.flush();
  }

  /** Open the open image that teaches most. */
  async next() {
    if (!this.#editor.mayLeave()) return;
    let found;
    try {
      found = await this.#turn.next(this.#wanted);
    } catch (error) {
      say(`The next image is not known: ${error.message}`);
      return;
    }
    if (found.index === null) say("No other image is open");
    else await this.open(found.index, { first: found.again ? "All others were passed over and come again: " : "" });
  }

  /** Say that there is nothing to mark, or skip, and go on; said twice, the image is open again. */
  async finish(status) {
    if (this.#failed && status === "skipped") return this.#skipFailed();
    if (!this.#isOpen() || !this.#editor.mayLeave()) return;
    this.#editor.liftPen();
    if (status === "nothing" && !this.#editor.marks.empty) {
      say("This image has marks; clear them first if there is nothing to mark");
      return;
    }
    const again = this.info.status === status;
    const { saver } = this;
    if (saver.state === "conflict") return this.decide();
    if (!(await saver.putStatus(again ? "open" : status))) {
      if (saver.state === "saved") say(saver.reason);
    } else if (again) {
      say("This image is open again");
    } else {
      await this.next();
    }
  }

  /** Write the marks to start with as they are, and go on. */
  async accept() {
    if (!this.#isOpen() || !this.#editor.mayLeave()) return;
    const { saver } = this;
    if (!this.info.start) {
      say(this.#editor.marks.empty ? "There are no marks to accept here" : "The marks here are yours already");
    } else if (saver.state === "conflict") {
      await this.decide();
    } else {
      this.#editor.liftPen();
      saver.touch();
      if ((await saver.flush()) && saver === this.saver) await this.next();
    }
  }

  /** All marks to start with are being accepted: know it of this image too, so that drawing on is no conflict. */
  async catchUp() {
    const { saver, index } = this;
    if (!this.info?.start || !saver.settled) return;
    const { version, status, start } = await api.image(index);
    if (start || saver !== this.saver || !(await saver.catchUp(version))) return;
    this.#written(index, { status, start });
  }

  /** Take the marks of the image that was open before. */
  copyPrevious() {
    return copyMarks(this.#editor, this.previous ?? (this.index > 0 ? this.index - 1 : null));
  }

  /** Ask what is to be done where somebody else has changed this image. */
  decide() {
    this.#deciding ??= this.#decide().finally(() => (this.#deciding = null));
    return this.#deciding;
  }

  /** Whether there is an image to work on; what hinders is said. */
  #isOpen() {
    if (this.#failed) say("This image could not be opened; skip it, or go on to the next");
    return this.saver !== null;
  }

  async #skipFailed() {
    const index = this.#wanted;
    try {
      const [before, after] = await skipUnopened(index);
      this.#listen.onWritten(index, before, after);
      if (after.status === "open") say("This image is open again");
      else if (this.#failed && index === this.#wanted) await this.next();
    } catch (error) {
      say(`This image could not be skipped: ${error.message}`);
    }
  }

  async #decide() {
    const { saver } = this;
    const isStill = () => saver === this.saver && saver?.state === "conflict";
    if (isStill()) await settle(saver, this.#editor, isStill);
  }

  /** Whether the image may be left. */
  async #leave() {
    if (!this.#editor.mayLeave()) return false;
    this.#editor.cancel();
    if (!(await leave(this.saver, () => this.decide()))) return false;
    return this.#editor.mayLeave(); // one may have been begun meanwhile
  }

  #close() {
    this.saver?.stop();
    this.saver = this.info = null;
    this.#failed = false;
    this.#editor.open(null);
    this.#listen.onOpen(null);
  }

  #fail(error, index, remember, before) {
    this.#failed = true;
    if (remember) enter(index, before === null); // so that a reload asks for it again
    this.#stage.show(null, null);
    byId("name").textContent = "Could not be opened";
    byId("name").title = "";
    document.title = `Image ${index + 1} could not be opened · lookright annotate`;
    this.#listen.onState(null);
    byId("image-status").replaceChildren();
    byId("facts").replaceChildren();
    say(`This image could not be opened: ${error.message}`);
  }

  /** Something was written of an image; `start` is left out where it stays what it was. */
  #written(index, { status, start }) {
    const isOpen = index === this.index;
    const before = isOpen ? { status: this.info.status, start: this.info.start } : null;
    const after = { status, start: start ?? before?.start ?? false };
    if (isOpen) Object.assign(this.info, after);
    this.#listen.onWritten(index, before, after);
    if (!isOpen) return;
    byId("image-status").replaceChildren(statusLabel(after));
    if (before.start !== after.start) showFacts(this.info, this.#source, this.#compared);
  }

  #show() {
    const { id, name } = this.info;
    byId("name").textContent = name;
    byId("name").title = id;
    byId("image-status").replaceChildren(statusLabel(this.info));
    showFacts(this.info, this.#source, this.#compared);
    document.title = `${name} · lookright annotate`;
    this.#listen.onOpen(this.info);
    this.#listen.onState(this.saver);
  }
}
