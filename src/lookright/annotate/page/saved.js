// What is said of saving: the word above the photo, and what went wrong.

import { byId, icon, say } from "./dom.js";

const STATES = { saved: "Saved", saving: "Saving", failed: "Not saved", conflict: "Not saved" };

let unsaved = null; // the saver whose trouble the message tells

/** Show how far a saver is; null where there is none, as the image could not be opened. */
export function showState(saver) {
  const { state, reason } = saver ?? { state: "unopened" };
  byId("saved").className = `saved ${state}`;
  byId("saved").replaceChildren(...(saver ? [icon(`save-${state}`), STATES[state]] : []));
  byId("retry").hidden = !["failed", "conflict", "unopened"].includes(state);
  byId("retry").textContent = state === "conflict" ? "Decide" : "Try again";
  if (state === "failed" || state === "conflict") {
    unsaved = saver;
    say(`Not saved: ${reason}`);
  } else if (state === "saved" && unsaved) {
    if (saver === unsaved && !reason) say("Saved now");
    unsaved = null;
  }
}
