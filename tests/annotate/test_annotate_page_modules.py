"""The page's modules alone, in the browser: shapes and history against the plainest way to do the same."""

import io
import struct
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from served_page import Tab, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WIDTH, HEIGHT = 37, 29

DRAW = """async ([name, width, height, calls]) => {
  const { Marks } = await import("/static/marks.js");
  const shapes = await import("/static/shapes.js");
  return calls.map((given) => {
    const marks = new Marks(width, height);
    marks.uncommitted = null;
    shapes[name](marks, ...given, 255);
    const changed = marks.uncommitted;
    return [Array.from(marks.values), changed && [changed.left, changed.top, changed.right, changed.bottom]];
  });
}"""


@pytest.fixture(scope="module")
def tab(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    folder: Path = tmp_path_factory.mktemp("modules")
    with opened(browser, folder, per_class=1) as tab:
        yield tab


def draw(tab: Tab, name: str, calls: list[list[Any]]) -> Iterator[NDArray[np.bool_]]:
    for values, changed in tab.page.evaluate(DRAW, [name, WIDTH, HEIGHT, calls]):
        marks = np.array(values, dtype=np.uint8).reshape(HEIGHT, WIDTH)
        assert set(np.unique(marks)) <= {128, 255}
        drawn = marks == 255
        if drawn.any():  # what changed lies in the rectangle that is said to have changed
            left, top, right, bottom = changed
            outside = drawn.copy()
            outside[top:bottom, left:right] = False
            assert not outside.any()
        yield drawn


def centres() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return x, y


def test_random_lines(tab: Tab) -> None:
    random = np.random.default_rng(0)
    x, y = centres()
    calls, expected = [], []
    for _ in range(400):
        size = int(random.choice([1, 2, 3, 4, 7, 12, 26, 300]))
        points = random.uniform([-15, -15], [WIDTH + 15, HEIGHT + 15], (2, 2))
        calls.append([*({"x": px, "y": py} for px, py in points.tolist()), size])
        # Twice the coordinates, so that all numbers are whole.
        (ax, ay), (bx, by) = 2 * np.floor(points) + 1 if size % 2 else 2 * np.floor(points + 0.5)
        dx, dy = bx - ax, by - ay
        along = ((2 * x - ax) * dx + (2 * y - ay) * dy) / max(dx * dx + dy * dy, 1)
        along = along.clip(0, 1)
        distance = (2 * x - ax - along * dx) ** 2 + (2 * y - ay - along * dy) ** 2
        expected.append((distance, size))
    for drawn, (distance, size) in zip(draw(tab, "fillLine", calls), expected, strict=True):
        # Exactly on the edge, rounding decides here and not in the page: it counts as covered.
        np.testing.assert_array_equal(drawn, distance <= size**2 + 1e-9)


def test_random_polygons(tab: Tab) -> None:
    random = np.random.default_rng(1)
    x, y = centres()
    polygons = [
        random.uniform([-10, -10], [WIDTH + 10, HEIGHT + 10], (int(random.integers(3, 9)), 2))
        for _ in range(300)
    ]
    calls = [[[{"x": px, "y": py} for px, py in corners.tolist()]] for corners in polygons]
    for drawn, corners in zip(draw(tab, "fillPolygon", calls), polygons, strict=True):
        inside = np.zeros((HEIGHT, WIDTH), dtype=bool)
        for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            inside ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
        np.testing.assert_array_equal(drawn, inside)


def test_a_polygon_and_its_neighbour_share_no_pixel(tab: Tab) -> None:
    left = [(3, 2), (20, 2), (12, 25)]
    right = [(20, 2), (30, 20), (12, 25)]
    calls = [[[{"x": x + 0.5, "y": y + 0.5} for x, y in corners]] for corners in (left, right)]
    first, second = draw(tab, "fillPolygon", calls)
    assert first.any()
    assert second.any()
    assert not (first & second).any()


def test_random_boxes(tab: Tab) -> None:
    random = np.random.default_rng(2)
    boxes = random.uniform([-10, -10], [WIDTH + 10, HEIGHT + 10], (200, 2, 2))
    x, y = centres()
    calls = [[{"x": px, "y": py} for px, py in box.tolist()] for box in boxes]
    for drawn, box in zip(draw(tab, "fillBox", calls), np.floor(boxes), strict=True):
        (left, top), (right, bottom) = box.min(axis=0), box.max(axis=0)
        np.testing.assert_array_equal(drawn, (x > left) & (x < right + 1) & (y > top) & (y < bottom + 1))


WALK = """async ([width, height, seed, steps]) => {
  const { Marks } = await import("/static/marks.js");
  const { History } = await import("/static/history.js");
  const { fillLine, fillBox } = await import("/static/shapes.js");
  let state = seed;
  const random = (below) => (state = (state * 48271) % 2147483647) % below;
  const point = () => ({ x: random(width + 8) - 4 + 0.5, y: random(height + 8) - 4 + 0.5 });
  const marks = new Marks(width, height);
  const history = new History(marks);
  const past = [marks.values.slice()];  // every state there was, and which one it is now
  let at = 0;
  const same = () => past[at].every((v, i) => v === marks.values[i] && v === history.committed[i]);
  for (let step = 0; step < steps; step++) {
    const what = random(10);
    if (what < 5) {
      const value = [0, 128, 255][random(3)];
      if (random(2)) fillLine(marks, point(), point(), 1 + random(9), value);
      else fillBox(marks, point(), point(), value);
      if (random(5) === 0) {
        history.revert();
      } else if (history.commit()) {
        past.length = at + 1;
        past.push(marks.values.slice());
        at++;
      }
    } else if (what < 8) {
      if (history.undo() !== at > 0) return `undo at step ${step}`;
      at = Math.max(at - 1, 0);
    } else {
      if (history.redo() !== at < past.length - 1) return `redo at step ${step}`;
      at = Math.min(at + 1, past.length - 1);
    }
    if (!same()) return `other marks at step ${step}`;
    if (history.canUndo !== at > 0 || history.canRedo !== at < past.length - 1) return `step ${step}`;
  }
  return past.length > 5 ? "same" : "too little happened";
}"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_history_is_what_snapshots_would_be(tab: Tab, seed: int) -> None:
    assert tab.page.evaluate(WALK, [WIDTH, HEIGHT, seed, 800]) == "same"


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (1, 1), (1600, 1200)])
def test_png_files_are_exact(tab: Tab, size: tuple[int, int]) -> None:
    width, height = size
    marks = np.random.default_rng(3).choice([0, 128, 255], (height, width)).astype(np.uint8)
    kind, file, read = tab.page.evaluate(
        """async ([values, width, height]) => {
          const png = await import("/static/png.js");
          const { decodeGrey } = await import("/static/decode.js");
          const bytes = Uint8Array.from(atob(values), (c) => c.charCodeAt());
          const blob = await png.encodeMarks(bytes, width, height);
          const marks = await decodeGrey(blob);
          const text = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
          return [blob.type, text(new Uint8Array(await blob.arrayBuffer())), text(marks.values)];
        }""",
        [b64encode(marks.tobytes()).decode(), width, height],
    )
    assert kind == "image/png"
    assert b64decode(read) == marks.tobytes()
    with Image.open(io.BytesIO(b64decode(file))) as image:
        image.verify()  # every checksum
    with Image.open(io.BytesIO(b64decode(file))) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), marks)


def filtered(width: int, height: int, channels: int) -> bytes:
    """A PNG of random bytes under each of the filters in turn."""
    random = np.random.default_rng(channels)
    rows = random.integers(0, 256, (height, 1 + channels * width), dtype=np.uint8)
    rows[:, 0] = np.arange(height) % 5
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    body = zlib.compress(rows.tobytes())
    parts = [(b"IHDR", header), (b"IDAT", body[:50]), (b"IDAT", body[50:]), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


DECODE = """async ([name, file]) => {
  const decode = await import("/static/decode.js");
  const bytes = Uint8Array.from(atob(file), (c) => c.charCodeAt());
  try {
    const { width, height, values } = await decode[name](new Blob([bytes]));
    return [width, height, Array.from(values)];
  } catch (error) {
    return [error.name];
  }
}"""


def decoded(tab: Tab, name: str, file: bytes) -> Any:
    return tab.page.evaluate(DECODE, [name, b64encode(file).decode()])


def test_png_files_are_read_as_pillow_reads_them(tab: Tab) -> None:
    for name, channels in (("decodeGrey", 1), ("decodeNumbers", 3)):
        file = filtered(WIDTH, HEIGHT, channels)
        pixels = np.asarray(Image.open(io.BytesIO(file))).astype(int).reshape(HEIGHT, WIDTH, channels)
        expected = (pixels * 256 ** np.arange(channels)).sum(-1)
        width, height, values = decoded(tab, name, file)
        assert (width, height) == (WIDTH, HEIGHT)
        np.testing.assert_array_equal(np.reshape(values, (HEIGHT, WIDTH)), expected)


def test_what_is_no_exact_png_is_refused(tab: Tab) -> None:
    whole = filtered(WIDTH, HEIGHT, 1)
    size = whole.index(b"IHDR") + 4
    broken = [b"", whole[:40], whole[:-30], b"GIF89a" + whole, filtered(WIDTH, HEIGHT, 3)]
    broken += [whole[:size] + struct.pack(">I", WIDTH + 1) + whole[size + 4 :]]
    broken += [whole[: size + 8] + b"\x10" + whole[size + 9 :]]  # 16 bits
    assert [len(decoded(tab, "decodeGrey", file)) for file in broken] == [1] * len(broken)
    assert decoded(tab, "decodeMarks", whole) == ["Error"]  # values that are no marks
