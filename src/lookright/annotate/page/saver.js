// Saving one image as it is worked on: one write under way, the newest marks next. Nothing is written over that
// somebody else has written in the meantime.

import * as api from "./api.js";
import { decodeMarks } from "./decode.js";
import { encodeMarks } from "./png.js";

const FIRST_RETRY = 2000; // ms; doubled each time
const LAST_RETRY = 30000;

export class Saver {
  /** saved, saving, failed or conflict, and why. */
  state = "saved";
  reason = "";
  /** Of the image. */
  index;

  #version;
  #history;
  #listen;
  #marksDue = false;
  #statusDue = null;
  #running = null;
  #timer = 0;
  #wait = FIRST_RETRY;

  /** `listen` has onState(saver) and onWritten(index, {version, status, start}), of a status without start. */
  constructor(index, version, history, listen) {
    this.index = index;
    this.#version = version;
    this.#history = history;
    this.#listen = listen;
  }

  /** Whether everything is on the server. */
  get settled() {
    return !this.#marksDue && this.#statusDue === null && !this.#running;
  }

  /** The marks have changed. */
  touch() {
    this.#marksDue = true;
    this.#run();
  }

  /** Say that there is nothing to mark, or that the image is skipped: whether it is written. */
  putStatus(status) {
    this.#statusDue = status;
    return this.flush();
  }

  /** Write now what is not written yet: whether that worked. */
  async flush() {
    if (this.settled) return true;
    if (this.state === "conflict") return false;
    return this.#run();
  }

  /** After a conflict: what the server has, as {values, version}. */
  async theirs() {
    const { blob, version } = await api.marks(this.index);
    return { ...(await decodeMarks(blob)), version };
  }

  /** These marks were written elsewhere, as they are here: go on from that version. Whether it is so. */
  async catchUp(version) {
    const theirs = await this.theirs();
    const same = theirs.version === version && this.settled && this.#isHere(theirs);
    if (same) this.#version = version;
    return same;
  }

  /** After a conflict: give up what was not written, and go on from {version, status, start} of the server. */
  accept(written) {
    this.#marksDue = false;
    this.#statusDue = null;
    this.#took(written);
    this.#tell("saved");
  }

  /** After a conflict: write these marks over what the server has, and no status that was said before. */
  overwrite(version) {
    this.#version = version;
    this.#marksDue = true;
    this.#statusDue = null;
    this.state = "failed";
    return this.#run();
  }

  /** The page goes on to another image: no more retries. */
  stop() {
    clearTimeout(this.#timer);
    this.#marksDue = false;
    this.#statusDue = null;
  }

  #run() {
    if (this.state === "conflict") return Promise.resolve(false);
    this.#running ??= this.#write().finally(() => (this.#running = null));
    return this.#running;
  }

  async #write() {
    clearTimeout(this.#timer);
    this.#tell("saving");
    while (this.#marksDue || this.#statusDue !== null) {
      const marks = this.#marksDue;
      const status = this.#statusDue;
      try {
        await (marks ? this.#writeMarks() : this.#writeStatus(status));
      } catch (error) {
        if (await this.#isOwn(error)) continue;
        this.#fail(error, marks ? null : status);
        return false;
      }
    }
    this.#wait = FIRST_RETRY;
    this.#tell("saved");
    return true;
  }

  async #writeMarks() {
    const { width, height } = this.#history.marks;
    const png = encodeMarks(this.#history.committed, width, height);
    this.#marksDue = false; // what is drawn from here on is the next write's
    try {
      this.#took({ ...(await api.putMarks(this.index, this.#version, await png)), start: false });
    } catch (error) {
      this.#marksDue = true;
      throw error;
    }
  }

  async #writeStatus(status) {
    this.#took(await api.putStatus(this.index, this.#version, status));
    if (this.#statusDue === status) this.#statusDue = null;
  }

  #took(written) {
    this.#version = written.version;
    this.#listen.onWritten(this.index, written);
  }

  #isConflict(error) {
    return error.status === 409 && error.version !== null && error.version !== this.#version;
  }

  /** Whether a conflict is with an earlier write of this page itself, whose answer was lost: then it is none. */
  async #isOwn(error) {
    if (!this.#isConflict(error)) return false;
    const theirs = await this.theirs().catch(() => null);
    const same = theirs !== null && this.#isHere(theirs);
    if (same) this.#version = theirs.version;
    return same;
  }

  #isHere({ values }) {
    return values.every((value, i) => value === this.#history.committed[i]);
  }

  #fail(error, status) {
    if (this.#isConflict(error)) {
      this.#tell("conflict", "another tab or program has changed this image");
      return;
    }
    // A status that the server will not have is given up; marks are kept, and tried again if that may help.
    if (status !== null && !error.passing) this.#statusDue = null;
    this.#tell(this.#marksDue || this.#statusDue !== null ? "failed" : "saved", error.message);
    if (error.passing || error.status === undefined) {
      this.#timer = setTimeout(() => this.#run(), this.#wait);
      this.#wait = Math.min(2 * this.#wait, LAST_RETRY);
    }
  }

  #tell(state, reason = "") {
    this.state = state;
    this.reason = reason;
    this.#listen.onState(this);
  }
}
