"""The real server over photos drawn here, with a stand-in for a model, and a page of it in a browser."""

import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import numpy as np
import uvicorn
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lookright.annotate.app import create_app
from lookright.annotate.correct import Corrections
from lookright.annotate.hosts import host_headers, is_everywhere
from lookright.annotate.open_project import open_project
from lookright.annotate.order import Prediction
from lookright.annotate.project import Project
from lookright.annotate.security import Access
from lookright.config import DataConfig
from lookright.report.overlay import heat

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTH, HEIGHT = 120, 90
CLASSES = ("boat", "house")
ANNOTATOR = "anna"

WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 360, "height": 740}

Pixels = NDArray[np.uint8]


def draw_photo(seed: int, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Sky, ground and a house or a boat: something that has regions."""
    random = np.random.default_rng(seed)
    photo = Image.new("RGB", (width, height), tuple(int(v) for v in random.integers(150, 220, 3)))
    draw = ImageDraw.Draw(photo)
    ground = int(height * random.uniform(0.6, 0.75))
    draw.rectangle((0, ground, width, height), fill=tuple(int(v) for v in random.integers(40, 110, 3)))
    left, wide = int(width * random.uniform(0.2, 0.5)), width // 4
    wall = tuple(int(v) for v in random.integers(90, 255, 3))
    draw.rectangle((left, ground - wide, left + wide, ground), fill=wall)
    draw.polygon(
        [
            (left - wide // 5, ground - wide),
            (left + wide // 2, ground - 2 * wide),
            (left + wide, ground - wide),
        ],
        fill=(150, 60, 50),
    )
    noisy = np.asarray(photo).astype(int) + random.integers(-9, 10, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def write_photos(folder: Path, per_class: int = 3) -> Path:
    """`per_class` photos of each class; positions go boat00, boat01, ..., house00, ..."""
    for row, name in enumerate(CLASSES):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(per_class):
            draw_photo(100 * row + number).save(folder / "images" / name / f"{name}{number:02d}.png")
    return folder


def write_boxes(data: Path, file: Path, wrong: int | None = None) -> DataConfig:
    """A box on each photo, as marks to start with; those of the wrong one do not fit it."""
    content: dict[str, list[Any]] = {"images": [], "annotations": []}
    content["categories"] = [{"id": 1, "name": "thing"}]
    for number, photo in enumerate(sorted((data / "images").rglob("*.png"))):
        name, width = str(photo.relative_to(data)), WIDTH + 50 * (number == wrong)
        content["images"].append({"id": number, "file_name": name, "width": width, "height": HEIGHT})
        content["annotations"].append({"image_id": number, "category_id": 1, "bbox": [20, 20, 50, 40]})
    file.write_text(json.dumps(content), encoding="utf-8")
    return DataConfig(annotations=file, format="coco")


class FakeModel:
    """Says `boat` of everything, and looks at the upper left quarter of each photo."""

    def __init__(self, project: Project) -> None:
        self.images = project.images
        self.classes = project.images.classes
        self.is_predicting = False
        self.unreasonable: dict[int, float] = {}
        self.ways: dict[int, int] = {}
        self.predictions = {index: Prediction(0, 0.9) for index in range(len(project.items))}

    def is_right(self, index: int) -> bool:
        return self.images.items[index].label == 0

    def map(self, index: int, size: tuple[int, int]) -> bytes:
        return _png(heat(self._looks(size).astype(np.float32), size))

    def region(self, index: int, size: tuple[int, int], share: float) -> bytes:
        return _png(Image.fromarray(self._looks(size).astype(np.uint8) * 255))

    def _looks(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        looks = np.zeros((size[1], size[0]), dtype=bool)
        looks[: size[1] // 2, : size[0] // 2] = True
        return looks


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Served:
    """A running server."""

    url: str
    project: Project
    model: Any

    def mask(self, index: int) -> Pixels | None:
        """What is on the disk, or None."""
        path = self.project.layer.path(self.project.items[index].id)
        return np.asarray(Image.open(path)) if path.is_file() else None

    def get(self, path: str) -> Any:
        with urlopen(f"{self.url}{path}") as answer:
            return json.load(answer)

    def status(self, index: int) -> str:
        return str(self.get(f"/api/images/{index}")["status"])


@contextmanager
def served(
    data: Path,
    *,
    model: bool = False,
    port: int = 0,
    start: DataConfig | None = None,
    annotator: str = ANNOTATOR,
) -> Iterator[Served]:
    """Run a server over a folder until the end of the block."""
    project = open_project(data, annotator=annotator, start=start)
    try:
        with running(project, FakeModel(project) if model else None, port=port) as server:
            yield server
    finally:
        project.close()


@contextmanager
def running(
    project: Project,
    looking: Any,
    *,
    corrections: Corrections | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
) -> Iterator[Served]:
    """Run a server over a project until the end of the block."""
    config = uvicorn.Config(
        SimpleNamespace(), host=host, port=port, log_level="warning", ws="none", lifespan="off"
    )
    listener = config.bind_socket()
    port = listener.getsockname()[1]
    access = Access(host_headers(host, port), token, is_everywhere(host))
    config.app = create_app(project, access, looking, corrections=corrections)
    config.loaded = False
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Served(f"http://127.0.0.1:{port}", project, looking)
    finally:
        server.should_exit = True
        server.force_exit = True  # a browser keeps its connections
        thread.join(timeout=10)
        with suppress(OSError):
            listener.close()


@contextmanager
def held_port() -> Iterator[int]:
    """A port for servers one after the other: nobody else is given it in between."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # they may bind it beside this one
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


class Tab:
    """The page in a browser, and what was wrong on it."""

    def __init__(self, browser: "Browser", served: Served, **context: Any) -> None:
        self.served = served
        self.context = browser.new_context(**({"viewport": WIDE} | context))
        self.listen()

    def listen(self) -> None:
        """Make the tab, and note what goes wrong on it and whom it asks."""
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))

    def _heard(self, said: Any) -> None:
        # The browser reports a 409 in the console, whatever the page does about it.
        if said.type == "error" and "409 (Conflict)" not in said.text:
            self.errors.append(said.text)

    def _asked(self, url: str) -> None:
        if url.startswith("http"):
            self.hosts.add(url.split("/")[2])

    def open(self, index: int | None = 0) -> "Tab":
        """Open the page, at an image."""
        self.page.goto(self.served.url + ("/" if index is None else f"/#image-{index}"))
        self.wait_open(index)
        return self

    def wait_open(self, index: int | None) -> None:
        """Wait until an image is shown (any, if None)."""
        self.wait("document.querySelector('#saved').textContent === 'Saved'")
        self.wait("!document.querySelector('#stage').hasAttribute('aria-busy')")
        self.wait("document.querySelector('#canvas').dataset.view")
        self.wait("document.querySelector('#list li')")
        if index is not None:
            self.wait(f"location.hash === '#image-{index}'")

    def wait(self, expression: str, seconds: float = 20) -> None:
        """Wait until an expression holds; Playwright's own way is `eval`, which the page forbids."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"{expression}; the page says: {self.message()}"
            self.page.wait_for_timeout(30)

    def message(self) -> str:
        return self.page.locator("#message").inner_text()

    def close(self) -> None:
        """Close it: nothing may have gone wrong on it, and nothing may have been asked of anybody else."""
        self.context.close()
        self.check()

    def renew(self) -> None:
        """A new tab over the same photos, without marks: quicker than another server and browser window."""
        for page in self.context.pages:
            clear = "localStorage.clear()"  # what was chosen, which the page keeps when it goes
            if page.url.startswith("http"):
                page.evaluate(f"{clear}; addEventListener('pagehide', () => {clear})")
            page.close()
        layer = self.served.project.layer
        for item in self.served.project.items:
            if layer.version(item.id):
                layer.put_marks(item.id, unmarked(), layer.version(item.id))
        self.listen()

    def check(self) -> None:
        """See that nothing has gone wrong."""
        assert self.errors == []
        assert self.hosts <= {self.served.url.removeprefix("http://")}

    def another(self) -> "Tab":
        """Another tab of the same browser."""
        tab = Tab.__new__(Tab)
        tab.served, tab.context = self.served, self.context
        tab.listen()
        return tab

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a place of the photo is in the window."""
        return tuple(
            self.page.evaluate(
                """([x, y]) => {
              const canvas = document.getElementById("canvas");
              const [scale, left, top] = canvas.dataset.view.split(" ").map(Number);
              const box = canvas.getBoundingClientRect();
              return [box.left + left + x * scale, box.top + top + y * scale];
            }""",
                [x, y],
            )
        )

    def drag(self, *points: tuple[float, float]) -> None:
        """Draw with the mouse through places of the photo."""
        places = [self.at(*point) for point in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place)
        self.page.mouse.up()

    def click(self, x: float, y: float) -> None:
        self.page.mouse.click(*self.at(x, y))

    def wait_saved(self) -> None:
        """Wait until the page says that everything is saved."""
        self.wait("document.querySelector('#saved').textContent === 'Saved'")

    def wait_message(self, text: str) -> None:
        self.wait(f"document.querySelector('#message').textContent.includes({json.dumps(text)})")

    def choose(self, value: str) -> None:
        """Take a tool or an ink."""
        self.page.locator(f"input[value={value}]").check()

    def size(self, pixels: int) -> None:
        """Set the width of the brush with its slider."""
        slider = self.page.locator("#size")
        slider.press("Home")
        self.wait("document.querySelector('#size-shown').textContent === '1 px'")
        while self.page.locator("#size-shown").inner_text() != f"{pixels} px":
            slider.press("ArrowRight")
            self.page.wait_for_timeout(20)


@contextmanager
def opened(browser: "Browser", folder: Path, *, per_class: int = 3, **options: Any) -> Iterator[Tab]:
    """A tab with the first of some new photos; options are those of `served` and of the browser's context."""
    model = options.pop("model", False)
    with served(write_photos(folder / "data", per_class), model=model) as server:
        tab = Tab(browser, server, **options).open()
        yield tab
        tab.close()


def unmarked(width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    return np.full((height, width), 128, dtype=np.uint8)
