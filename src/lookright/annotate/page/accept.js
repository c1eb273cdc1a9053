// Marks to start with: accepting those of the image that is open, and of all images at once.

import * as api from "./api.js";
import { byId, choose, element } from "./dom.js";

const PAUSE = 500; // ms between questions how far it is

const shown = (number) => number.toLocaleString("en");
const photos = (number) => (number === 1 ? "1 photo" : `${shown(number)} photos`);

export class Accept {
  #session;
  #parts;
  #count;
  #told = { state: "none" };
  #timer = 0;

  /** `parts`: say(text), save(), whether what is drawn is saved, and changed(ended), called when images may have been accepted. */
  constructor(session, parts) {
    this.#session = session;
    this.#parts = parts;
    this.#count = session.to_accept;
    const presses = { "accept-all": () => this.#ask(), "accept-stop": () => this.#stop(), "accept-close": () => this.#close() };
    for (const [id, press] of Object.entries(presses)) byId(id).addEventListener("click", press);
    this.#show();
  }

  /** Whether an image is still to be accepted. */
  static isDue({ start, status }) {
    return start && status === "open";
  }

  /** Show a run that goes on, or what has failed: the page may have been loaded anew. */
  async resume() {
    if (!this.#session.source) return;
    const told = await api.accepted();
    if (told.state !== "running" && !told.failures) return;
    this.#told = told;
    this.#show();
    if (told.state === "running") this.#wait();
  }

  /** Another image is open: null, or its facts. The button stands in the place of "Nothing to mark". */
  open(info) {
    if (!info) return;
    const { activeElement } = document;
    const hadFocus = activeElement === byId("accept") || activeElement === byId("nothing");
    byId("accept").hidden = !info.start;
    byId("nothing").hidden = info.start;
    if (hadFocus && !activeElement.checkVisibility()) byId("next").focus();
  }

  /** The image that is open was written. A button that has the focus keeps it: the next image may need it again. */
  written(info) {
    if (document.activeElement !== byId("accept")) this.open(info);
  }

  /** So many are still to be accepted; or one more, or one less. */
  count(number, { by = 0 } = {}) {
    this.#count = Math.max((number ?? this.#count) + by, 0);
    this.#show();
  }

  async #ask() {
    const { annotator, source } = this.#session;
    byId("accept-title").textContent = `Accept the marks of ${photos(this.#count)}?`;
    byId("accept-what").textContent = `Marks from ${source} will be written, as they are, to annotators/${annotator}, `
      + "as if you had drawn them: they count for training and for Correct from then on.";
    byId("accept-yes").textContent = `Accept ${photos(this.#count)}`;
    if ((await choose(byId("accept-dialog"))) !== "yes") return;
    if (!(await this.#parts.save())) {
      this.#parts.say("Nothing was started: the image that is open could not be saved");
      return;
    }
    await this.#follow(api.startAccepting(), "Nothing was started");
    if (this.#told.state === "running") byId("accept-stop").focus();
  }

  #stop() {
    clearTimeout(this.#timer);
    return this.#follow(api.stopAccepting(), "It could not be stopped");
  }

  #wait() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#follow(api.accepted(), "It is not known how far it is"), PAUSE);
  }

  /** Show what an answer tells, and go on asking as long as it runs. */
  async #follow(answer, failure) {
    const before = this.#told;
    try {
      this.#told = await answer;
    } catch (error) {
      this.#parts.say(`${failure}: ${error.message}`);
      if (before.state === "running") this.#wait();
      else if (error.status === 409) await this.#catchUp();
      return;
    }
    const running = this.#told.state === "running";
    this.#show();
    if (running) this.#wait();
    else this.#parts.say(sentence(this.#told));
    await this.#parts.changed(!running);
  }

  /** Another tab has accepted them, or is about it. */
  async #catchUp() {
    await this.resume().catch(() => null);
    await this.#parts.changed(this.#told.state !== "running");
  }

  #close() {
    this.#told = { state: "none" };
    this.#show();
    const image = document.querySelector('#list [tabindex="0"]');
    (byId("accept-all").hidden ? image ?? byId("filter-status") : byId("accept-all")).focus();
  }

  #show() {
    const { state, photos: all, accepted, changed, failures, failed } = this.#told;
    const running = state === "running";
    const ended = state === "done" || state === "stopped";
    const hadFocus = document.activeElement === byId("accept-stop");
    byId("accept-all").hidden = running || ended || !this.#count;
    byId("accept-all").textContent = `Accept all ${photos(this.#count)} with marks to start from`;
    byId("accept-run").hidden = !running && !ended;
    byId("accept-stop").hidden = byId("accept-progress").hidden = !running;
    byId("accept-close").hidden = !ended;
    byId("accepting").hidden = byId("accept-all").hidden && byId("accept-run").hidden;
    if (hadFocus && ended) byId("accept-close").focus();
    if (!running && !ended) return;
    byId("accept-progress").max = all;
    byId("accept-progress").value = accepted + changed + failures;
    byId("accept-text").textContent = running ? `${shown(accepted)} of ${shown(all)} accepted` : sentence(this.#told);
    byId("accept-failed").hidden = failures === 0;
    const more = failures - failed.length;
    byId("accept-failed").replaceChildren(
      ...failed.map(({ name, why }) => element("li", {}, element("b", {}, name), `: ${why}`)),
      ...(more ? [element("li", {}, `and ${shown(more)} more`)] : []),
    );
  }
}

function sentence({ state, photos: all, accepted, changed, failures }) {
  const parts = [state === "stopped" ? `Stopped: ${shown(accepted)} of ${photos(all)} accepted` : `${photos(accepted)} accepted`];
  if (changed) parts.push(`${shown(changed)} left as ${changed === 1 ? "it was" : "they were"}, changed meanwhile`);
  if (failures) parts.push(`${shown(failures)} could not be accepted`);
  return `${parts.join("; ")}.`;
}
