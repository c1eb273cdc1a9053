// Which image comes next.

import * as api from "./api.js";

export class Turn {
  #passed = new Set(); // indices of the images that were left for the next one

  /**
   * The open image that teaches most: {index or null, again}. `here` is left for it, if it is an index. Those that
   * were left so come `again` once no other is open.
   */
  async next(here) {
    const left = here === null ? [] : [here];
    for (const index of left) this.#passed.add(index);
    const index = await api.next([...this.#passed]);
    if (index !== null) return { index, again: false };
    this.#passed = new Set(left);
    return { index: await api.next(left), again: true };
  }
}

/** Skip an image that could not be opened, or open it again: its rows of the list before and after. */
export async function skipUnopened(index) {
  const { images: [before] } = await api.images(index, 1, {}); // more of it may not be to be had
  const { status } = await api.putStatus(index, before.version, before.status === "skipped" ? "open" : "skipped");
  return [before, { ...before, status }];
}
