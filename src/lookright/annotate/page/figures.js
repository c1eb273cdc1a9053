// The figures of a correction, old and new beside each other.

import { element, percent } from "./dom.js";

/** The figures of both: what they are worth, and for what reason they are right. */
export function tables({ old, new: now }) {
  const photos = `On ${now.images} test photos, ${now.annotated} of them marked`;
  const changed = old && old.annotated !== now.annotated ? ` (${old.annotated} when the old model was measured)` : "";
  const found = [table(photos + changed, FIGURES, old, now)];
  const measured = total(now.reasonability);
  if (measured) {
    const caption = `Shares of the ${measured} test photos marked "look here"; on the marks: IoU of 0.5 or more`;
    // Folded where the photo would have no room beside it.
    const open = matchMedia("(min-height: 50rem), (max-width: 47.99rem)").matches;
    found.push(element("details", { open }, element("summary", {}, "Reasonability"), table(caption, CELLS, old, now)));
  }
  return found;
}

/** A table with a line for each of some figures. */
function table(caption, figures, old, now) {
  const head = (text) => element("th", { scope: "col" }, text);
  const titles = old ? ["Old", "New", "Difference"] : ["New"];
  return element("table", {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, element("td"), ...titles.map(head))),
    element("tbody", {}, ...figures.map(({ name, of, shown, change, good }) => {
      const values = [...(old ? [of(old)] : []), of(now)];
      const cells = values.map((value) => element("td", {}, value === null ? "not known" : shown(value)));
      if (old) cells.push(element("td", {}, difference(...values, change, good)));
      return element("tr", {}, element("th", { scope: "row" }, name), ...cells);
    })));
}

const points = (step) => [Math.round(100 * step), "points"];
const total = (cells) => Object.values(cells ?? {}).reduce((sum, n) => sum + n, 0);
const share = (cell) => ({ reasonability }) => (reasonability ? reasonability[cell] / total(reasonability) : null);

// `good`: whether more of it is better; that is not said of what may become better or worse.
const FIGURES = [
  { name: "Accuracy", of: ({ accuracy }) => accuracy, shown: percent, change: points, good: true },
  { name: "Overlap with marks (IoU)", of: ({ iou }) => iou, shown: (value) => value.toFixed(2), change: (step) => [step.toFixed(2), ""], good: true },
];
const CELLS = [
  { name: "Right, map on the marks", of: share("reasonable-accurate"), good: true },
  { name: "Right, map elsewhere", of: share("unreasonable-accurate") },
  { name: "Wrong, map on the marks", of: share("reasonable-inaccurate") },
  { name: "Wrong, map elsewhere", of: share("unreasonable-inaccurate") },
].map((cell) => ({ shown: percent, change: points, ...cell }));

/** A difference with its sign, and in words where more is better. */
function difference(before, after, change, good) {
  if (before === null || after === null) return "";
  const [size, unit] = change(Math.abs(after - before));
  if (Number(size) === 0) return "no difference";
  const more = after > before;
  const text = [`${more ? "+" : "−"}${size}`, unit].filter(Boolean).join(" ");
  if (!good) return text;
  return element("b", { class: more ? "right" : "wrong" }, `${text}, ${more ? "better" : "worse"}`);
}

/** The figures in a sentence. */
export function spoken({ old, new: now, note }) {
  if (!now) return note ?? "";
  const told = [...FIGURES, ...CELLS.slice(0, 2)].filter(({ of }) => of(now) !== null).map(({ name, of, shown }) =>
    `${name}: ${old && of(old) !== null ? `${shown(of(old))} before, ` : ""}${shown(of(now))} now`);
  return `${told.join(". ")}.`;
}
