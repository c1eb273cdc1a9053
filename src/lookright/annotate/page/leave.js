// Leaving an image, with everything saved.

import { byId, choose } from "./dom.js";

/** Whether everything of an image is saved, or is to be given up; `decide()` asks in a conflict. */
export async function leave(saver, decide) {
  while (saver && !(await saver.flush())) {
    if (saver.state === "conflict") {
      await decide();
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
