// The image in the page's address, and how many images of this tab lie before it in the browser's history: what lies before
// these is another site.

const address = (index) => `#image-${index}`;
const depth = () => history.state?.depth ?? 0;

let here = depth(); // it outlives a reload

/** The index of the image in the page's address, or null. */
export function addressed() {
  const found = /^#image-(\d+)$/.exec(location.hash);
  return found ? Number(found[1]) : null;
}

/** Whether the browser's "Back" leads to an image. */
export function hasBefore() {
  return here > 0;
}

/** An image was opened: an entry of the history, which for the `first` one of this tab is there already. */
export function enter(index, first) {
  if (first || addressed() === index) history.replaceState({ depth: here }, "", address(index));
  else history.pushState({ depth: ++here }, "", address(index));
}

/** The person went back or forward, or has written an address. */
export function moved() {
  if (history.state === null) history.replaceState({ depth: here + 1 }, "");
  here = depth();
}
