// What is said of the image that is open, in a line above it.

import { byId, element, percent, shortened } from "./dom.js";

/** Show it; `source` is what marks to start with are from, `isCompared` whether the maps of two models are shown. */
export function showFacts({ label, start, width, height, others, new: now, ...old }, source, isCompared) {
  const facts = [label === null ? null : element("span", {}, "Class ", element("b", { title: label }, shortened(label, 20)))];
  if (start) facts.push(element("span", { id: "start" }, `Marks from ${source}, not yet yours`));
  if (isCompared && now) facts.push(prediction(old, "Old: "), prediction(now, "New: "));
  else facts.push(prediction(old, "Model: "));
  facts.push(element("span", { class: "extent" }, `${width} × ${height}`));
  if (others.length) {
    const each = others.map(({ annotator, agreement }) =>
      agreement === null ? annotator : `${annotator} (${percent(agreement)} overlap)`);
    facts.push(element("span", {}, `Also marked by ${each.join(", ")}`));
  }
  byId("facts").replaceChildren(...facts.filter(Boolean));
}

function prediction({ predicted, probability, right }, who) {
  if (predicted === null) return null;
  const sure = probability === null ? "" : ` ${percent(probability)}`;
  const verdict = right === null ? "" : right ? " (right)" : " (wrong)";
  const tone = right === null ? "" : right ? "right" : "wrong";
  return element("span", {}, who, element("b", { class: tone, title: predicted }, `${shortened(predicted, 20)}${sure}${verdict}`));
}
