// Somebody else has changed the image that is open.

import * as api from "./api.js";
import { byId, choose, say } from "./dom.js";

/** Ask what is to be done, and do it, if `isStill()` says that it is still to be done then. */
export async function settle(saver, editor, isStill) {
  const answer = await choose(byId("conflict"));
  if (!answer || !isStill()) return;
  try {
    const theirs = await saver.theirs();
    if (answer === "mine") {
      if (await saver.overwrite(theirs.version)) say("Your marks were written over theirs");
    } else {
      // As a step of the history: what was drawn here comes back with undo. Accepted after it: nothing is to be written.
      const { status, start } = await api.image(saver.index);
      editor.replace(theirs.values);
      saver.accept({ version: theirs.version, status, start });
      say("Their marks were loaded; undo brings yours back");
    }
  } catch (error) {
    say(`Nothing was changed: ${error.message}`);
  }
}
