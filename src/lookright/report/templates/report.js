"use strict";
// Sorting and filtering of the gallery. Without this script every image stays visible, in its first order.
(() => {
  const source = document.getElementById("gallery-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const list = document.querySelector(".cards");
  const cards = [...list.children];
  const form = document.querySelector(".controls");
  const control = (id) => document.getElementById(id);
  const [method, sort, cell, label] = ["by-method", "sort", "by-cell", "by-class"].map(control);
  const [opacity, outlines, shown, gallery] = ["opacity", "outlines", "shown", "gallery"].map(control);

  // null (no figure) goes last, whichever way the order runs.
  const by = (value, sign) => (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (x - y);
  };
  const figure = (name) => (image) => (method.value === "" ? image[name] : image.methods[method.value][name]);
  const orders = {
    "iou-worst": by(figure("iou"), 1),
    "iou-best": by(figure("iou"), -1),
    "probability-low": by(figure("probability"), 1),
    "probability-high": by(figure("probability"), -1),
    "name": (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
    "disagreement": by((image) => image.disagreement, -1),
  };

  const inCell = (image) => {
    if (cell.value === "") return true;
    const looks = method.value === "" ? image.methods : [image.methods[method.value]];
    return looks.some((look) => look.cell === cell.value);
  };

  function update() {
    const order = data.map((_, index) => index).sort((a, b) => orders[sort.value](data[a], data[b]) || a - b);
    list.append(...order.map((index) => cards[index]));
    let count = 0;
    data.forEach((image, index) => {
      const visible = inCell(image) && (label.value === "" || image.label === label.value);
      cards[index].hidden = !visible;
      count += visible;
    });
    for (const look of document.querySelectorAll(".look")) {
      look.classList.toggle("chosen", look.dataset.method === method.value);
    }
    let whole = "";
    for (const link of document.querySelectorAll("a.cell")) {
      const current = link.dataset.method === method.value && link.dataset.cell === cell.value;
      if (current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
      if (current) whole = ` The cell holds ${link.querySelector("b").textContent} of the split.`;
    }
    shown.textContent = `${count || "None"} of the ${data.length} images here.${whole}`;
    list.style.setProperty("--heat", opacity.value / 100);
    list.classList.toggle("no-outlines", !outlines.checked);
  }

  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(update));
  for (const link of document.querySelectorAll("a.cell")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      method.value = link.dataset.method;
      cell.value = link.dataset.cell;
      label.value = "";
      update();
      gallery.scrollIntoView();
      gallery.focus({ preventScroll: true });
    });
  }
  form.hidden = false;
  form.reset();
  update();
})();
