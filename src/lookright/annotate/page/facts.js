// What is said of the image that is open, in a line above it.

import { byId, element, percent, shortened } from "./dom.js";

/** Show it; `source` is what marks to start with are from. */
export function showFacts({ label, start, predicted, probability, right, width, height, others }, source) {
  const facts = [label === null ? null : element("span", {}, "Class ", element("b", { title: label }, shortened(label, 20)))];
  if (start) facts.push(element("span", { id: "start" }, `Marks from ${source}, not yet yours`));
  if (predicted !== null) {
    const sure = probability === null ? "" : ` ${percent(probability)}`;
    const verdict = right === null ? "" : right ? " (right)" : " (wrong)";
    const tone = right === null ? "" : right ? "right" : "wrong";
    facts.push(element("span", {}, "Model: ", element("b", { class: tone, title: predicted }, `${shortened(predicted, 20)}${sure}${verdict}`)));
  }
  facts.push(element("span", { class: "extent" }, `${width} × ${height}`));
  if (others.length) {
    const each = others.map(({ annotator, agreement }) =>
      agreement === null ? annotator : `${annotator} (${percent(agreement)} overlap)`);
    facts.push(element("span", {}, `Also marked by ${each.join(", ")}`));
  }
  byId("facts").replaceChildren(...facts.filter(Boolean));
}
