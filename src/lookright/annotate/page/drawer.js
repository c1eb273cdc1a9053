// The list of images on windows that have no room for it beside the photo: a button opens it.

import { byId } from "./dom.js";

const isDrawer = matchMedia("(max-width: 71.99rem)");
const isOverPhoto = matchMedia("(min-width: 48rem) and (max-width: 71.99rem)");

export class Drawer {
  constructor() {
    byId("show-images").addEventListener("click", () => this.show(!this.#isOpen));
    // Before the keys and the tools of the page hear of it.
    window.addEventListener("keydown", (event) => this.#press(event), true);
    byId("stage").addEventListener("pointerdown", (event) => this.#pressBeside(event), true);
  }

  show(open) {
    byId("show-images").setAttribute("aria-expanded", String(open));
    byId("images").classList.toggle("open", open);
  }

  get #isOpen() {
    return byId("images").classList.contains("open");
  }

  #press(event) {
    if (event.key !== "Escape" || !isDrawer.matches || !this.#isOpen || document.querySelector("dialog[open]")) return;
    if (event.target.type === "search" && event.target.value) return; // that is emptied first
    event.preventDefault();
    event.stopPropagation();
    const hadFocus = byId("images").contains(document.activeElement);
    this.show(false);
    if (hadFocus) byId("show-images").focus();
  }

  /** A press on the photo leaves the list that lies over it, and marks nothing. */
  #pressBeside(event) {
    if (!isOverPhoto.matches || !this.#isOpen) return;
    event.stopPropagation();
    this.show(false);
  }
}
