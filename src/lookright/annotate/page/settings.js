// What a person has chosen on the page, kept in the browser over a reload. (The size of the brush goes with the photo.)

import { byId, radios } from "./dom.js";

const KEY = "lookright-annotate";
const CHECKS = ["letters", "map-shown"];
const VALUES = ["level", "map-opacity"];
const RADIOS = ["ink", "tool"];

/** Set the controls as they were left, and keep them from now on. To be called before anybody reads them. */
export function keepSettings() {
  const kept = read();
  for (const id of CHECKS) if (typeof kept[id] === "boolean") byId(id).checked = kept[id];
  for (const id of VALUES) if (typeof kept[id] === "string") byId(id).value = kept[id]; // a range takes what it can
  for (const name of RADIOS) {
    const chosen = radios(name).find(({ value }) => value === kept[name]);
    if (chosen) chosen.checked = true;
  }
  // Keys choose without an event: what is chosen at the end counts too.
  document.addEventListener("change", write);
  window.addEventListener("pagehide", write);
}

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {}; // no storage, or nothing that we wrote
  }
}

function write() {
  const chosen = {};
  for (const id of CHECKS) chosen[id] = byId(id).checked;
  for (const id of VALUES) chosen[id] = byId(id).value;
  for (const name of RADIOS) chosen[name] = radios(name).find(({ checked }) => checked)?.value;
  try {
    localStorage.setItem(KEY, JSON.stringify(chosen));
  } catch {
    // then they are not kept
  }
}
