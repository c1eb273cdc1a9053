// Which pixels a shape covers, without soft edges. Points are {x, y} in photo pixels: pixel (3, 5) has its centre
// at (3.5, 5.5). Each function writes `value` into marks, and what lies outside of the photo is left out.

/**
 * A round brush `size` pixels wide, drawn from one point to another: the pixels whose centre is at most size / 2
 * away from the line. The middle of an odd brush snaps to the centre of a pixel, that of an even one to a corner, so
 * that a brush of size 1 is one pixel and one of size 2 is two by two.
 */
export function fillLine(marks, from, to, size, value) {
  // In half pixels everything is a whole number, and the comparison below is exact.
  const snap = (x) => (size % 2 ? 2 * Math.floor(x) + 1 : 2 * Math.round(x));
  const [ax, ay, bx, by] = [from.x, from.y, to.x, to.y].map(snap);
  const [dx, dy] = [bx - ax, by - ay];
  const squared = dx * dx + dy * dy;

  const inside = (x, y) => {
    const along = (x - ax) * dx + (y - ay) * dy;
    if (along <= 0) return (x - ax) ** 2 + (y - ay) ** 2 <= size * size;
    if (along >= squared) return (x - bx) ** 2 + (y - by) ** 2 <= size * size;
    return ((x - ax) * dy - (y - ay) * dx) ** 2 <= size * size * squared;
  };

  const top = Math.max(0, Math.floor((Math.min(ay, by) - size) / 2));
  const bottom = Math.min(marks.height, Math.ceil((Math.max(ay, by) + size) / 2));
  for (let row = top; row < bottom; row++) {
    const y = 2 * row + 1;
    // The part of the line that is near enough to this row bounds the pixels to look at.
    const at = (level) => (dy === 0 ? 0 : Math.min(1, Math.max(0, (level - ay) / dy)));
    const ends = dy === 0 ? [ax, bx] : [ax + at(y - size) * dx, ax + at(y + size) * dx];
    let left = Math.max(0, Math.floor((Math.min(...ends) - size) / 2) - 1);
    let right = Math.min(marks.width, Math.ceil((Math.max(...ends) + size) / 2) + 1);
    while (left < right && !inside(2 * left + 1, y)) left++;
    while (left < right && !inside(2 * right - 1, y)) right--;
    marks.fillSpan(row, left, right, value);
  }
}

/** A polygon: the pixels whose centre lies in it (even-odd; on an edge, those to the right of it). */
export function fillPolygon(marks, corners, value) {
  const levels = corners.map((corner) => corner.y);
  const top = Math.max(0, Math.floor(Math.min(...levels)));
  const bottom = Math.min(marks.height, Math.ceil(Math.max(...levels)));
  for (let row = top; row < bottom; row++) {
    const y = row + 0.5;
    const crossings = [];
    corners.forEach((a, i) => {
      const b = corners[(i + 1) % corners.length];
      if (a.y > y !== b.y > y) crossings.push(((b.x - a.x) * (y - a.y)) / (b.y - a.y) + a.x);
    });
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      marks.fillSpan(row, Math.ceil(crossings[i] - 0.5), Math.ceil(crossings[i + 1] - 0.5), value);
    }
  }
}

/** A box: from the pixel under one point to the pixel under the other, both included. */
export function fillBox(marks, a, b, value) {
  const [left, right] = [Math.min(a.x, b.x), Math.max(a.x, b.x)].map(Math.floor);
  const [top, bottom] = [Math.min(a.y, b.y), Math.max(a.y, b.y)].map(Math.floor);
  for (let row = Math.max(0, top); row <= Math.min(bottom, marks.height - 1); row++) {
    marks.fillSpan(row, left, right + 1, value);
  }
}

/** Every pixel of `rectangle` for which `test(position in the buffer)` holds. */
export function fillWhere(marks, rectangle, test, value) {
  for (let y = rectangle.top; y < rectangle.bottom; y++) {
    const row = y * marks.width;
    for (let x = rectangle.left; x < rectangle.right; x++) {
      if (test(row + x)) marks.values[row + x] = value;
    }
  }
  marks.touch(rectangle);
}
