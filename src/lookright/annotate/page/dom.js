// Small helpers for the document.

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** A new element: attributes by name (false and null leave one out), then children, text among them. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** One of the icons drawn at the top of index.html, for the eye only. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Say what happened, to the eye and to a screen reader. */
export function say(text) {
  const line = byId("message");
  // The same words twice would not be read twice: an empty line between makes them new.
  if (line.textContent === text) line.textContent = "";
  requestAnimationFrame(() => (line.textContent = text));
}

/** The radio buttons of a name. */
export const radios = (name) => [...document.querySelectorAll(`input[name="${name}"]`)];

/** A text of at most `most` letters: of a longer one, the middle is left out. */
export function shortened(text, most = 24) {
  const letters = [...text];
  if (letters.length <= most) return text;
  const end = Math.floor((most - 1) / 2);
  return `${letters.slice(0, most - 1 - end).join("")}…${letters.slice(-end).join("")}`;
}

/** Open a dialog and wait: the data-answer of the button that closed it, "" if it was left with Escape. */
export function choose(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const answer = (event) => {
      const button = event.target.closest("[data-answer]");
      if (button) dialog.close(button.dataset.answer);
    };
    dialog.addEventListener("click", answer);
    dialog.addEventListener("close", () => {
      dialog.removeEventListener("click", answer);
      resolve(dialog.returnValue);
    }, { once: true });
  });
}

/** 0.734 as "73 %". */
export function percent(share) {
  return `${Math.round(share * 100)} %`;
}
