"use strict";
// Sorting of the tables, sorting and filtering of the images. Without this script everything stays visible.
(() => {
  // Nothing to compare goes last, whichever way the order runs.
  const compare = (a, b, sign) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b);
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    const value = (row, column) => {
      const cell = row.cells[column];
      if (cell.dataset.value === undefined) return cell.textContent;
      return cell.dataset.value === "" ? null : Number(cell.dataset.value);
    };
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const first = typeof value(body.rows[0], column) === "string" ? "ascending" : "descending";
        const other = first === "ascending" ? "descending" : "ascending";
        const order = head.getAttribute("aria-sort") === first ? other : first;
        for (const each of heads) each.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        body.append(...[...body.rows].sort((a, b) => compare(value(a, column), value(b, column), sign)));
      });
    });
  }

  const source = document.getElementById("image-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const list = document.querySelector(".audit-cards");
  const cards = [...list.children];
  const form = document.querySelector(".controls");
  const control = (id) => document.getElementById(id);
  const [sort, cluster, label, right] = ["sort", "by-cluster", "by-class", "by-right"].map(control);
  const [opacity, outlines, shown] = ["opacity", "outlines", "shown"].map(control);
  const orders = {
    "order": () => 0,
    "border-high": (a, b) => compare(a.border, b.border, -1),
    "moves-low": (a, b) => compare(a.moves, b.moves, 1),
    "probability-high": (a, b) => compare(a.probability, b.probability, -1),
    "probability-low": (a, b) => compare(a.probability, b.probability, 1),
    "iou-low": (a, b) => compare(a.iou, b.iou, 1),
    "name": (a, b) => compare(a.name, b.name, 1),
  };

  function update() {
    const order = data.map((_, index) => index).sort((a, b) => orders[sort.value](data[a], data[b]) || a - b);
    list.append(...order.map((index) => cards[index]));
    let count = 0;
    data.forEach((image, index) => {
      const visible =
        (cluster.value === "" || image.cluster === cluster.value) &&
        (label.value === "" || image.predicted === label.value) &&
        (right.value === "" || image.right === right.value);
      cards[index].hidden = !visible;
      count += visible;
    });
    shown.textContent = `${count || "None"} of the ${data.length} images here.`;
    for (const pictures of document.querySelectorAll(".audit-cards, .strip")) {
      pictures.style.setProperty("--heat", opacity.value / 100);
    }
    document.body.classList.toggle("no-outlines", !outlines.checked);
  }

  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(update));
  form.hidden = false;
  form.reset();
  update();
})();
