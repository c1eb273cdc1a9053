"""What the tests of annotate share: photos, a client that knows the token, marks as PNG, a network."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient
from torch import Tensor, nn

from lookright.annotate.app import create_app
from lookright.annotate.correct import Corrections
from lookright.annotate.hosts import host_headers
from lookright.annotate.look import Looking
from lookright.annotate.project import Project
from lookright.annotate.security import Access

HOST = "127.0.0.1:8017"
SIZES = {
    "images/cat/a.jpg": (48, 32),
    "images/cat/b.png": (33, 21),
    "images/cat/turned.jpg": (40, 24),  # stored as 24 x 40, upright by its EXIF orientation
    "images/dog/a.png": (20, 30),
    "images/dog/clear.png": (16, 16),
    "images/dog/grey.png": (25, 10),
}
"""photo id -> (width, height) as people see it, in the order of the indices"""

Grey = NDArray[np.uint8]


def write_photos(folder: Path) -> Path:
    """Photos of two classes, each of another kind."""
    generator = np.random.default_rng(0)
    for name, (width, height) in SIZES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        photo = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
        options: dict[str, Any] = {}
        if file.stem == "turned":
            photo = photo.transpose(Image.Transpose.ROTATE_90)
            exif = Image.Exif()
            exif[0x0112] = 6
            options["exif"] = exif
        if file.stem == "clear":
            photo.putalpha(128)
        if file.stem == "grey":
            photo = photo.convert("L")
        photo.save(file, **options)
    return folder


def random_marks(size: tuple[int, int], seed: int = 0) -> Grey:
    """Every pixel one of the three values."""
    width, height = size
    return np.random.default_rng(seed).choice([0, 128, 255], (height, width)).astype(np.uint8)


def png(pixels: NDArray[np.generic], mode: str | None = None) -> bytes:
    """A PNG of pixels, converted to a mode first."""
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(content: bytes) -> NDArray[np.uint8]:
    """The pixels of a PNG or JPEG."""
    return np.asarray(Image.open(io.BytesIO(content)))


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises many pixels, and whose body gives zeros."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


class Page:
    """A page's side of the API, in its own words."""

    def __init__(
        self,
        project: Project,
        looking: Looking | None = None,
        corrections: Corrections | None = None,
        **access: Any,
    ) -> None:
        self.project = project
        self.access = Access(host_headers("127.0.0.1", 8017), **access)
        app = create_app(project, self.access, looking, corrections=corrections)
        self.http = TestClient(app, base_url=f"http://{HOST}")

    def get(self, path: str, **query: object) -> Any:
        """Parsed JSON of an answer that has to be fine."""
        answer = self.http.get(f"/api/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def next(self, *left_out: int) -> Any:
        """The index of the next image."""
        answer = self.post_next(list(left_out))
        assert answer.status_code == 200, answer.text
        return answer.json()["index"]

    def order(self) -> list[int]:
        """All open images as they come, one passed over after the other."""
        found: list[int] = []
        while (index := self.next(*found)) is not None:
            found.append(index)
        return found

    def post_next(self, body: object) -> Any:
        """The answer to the question for it, whatever it is."""
        return self.http.post("/api/next", json=body, headers={"X-Token": self.access.write_token})

    def content(self, path: str, **query: object) -> bytes:
        """Bytes of an answer that has to be fine."""
        answer = self.http.get(f"/api/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.content

    def put(self, path: str, content: bytes, version: object = 0, **headers: str | bytes) -> Any:
        """The answer to a write, whatever it is."""
        usual: dict[str, str | bytes] = {
            "If-Match": f'"{version}"',
            "X-Token": self.access.write_token,
            "Content-Type": "image/png",
            "Origin": f"http://{HOST}",
        }
        usual |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.put(f"/api/{path}", content=content, headers=usual)

    def put_marks(self, index: int, marks: Grey, version: int = 0) -> Any:
        """Save marks."""
        return self.put(f"images/{index}/marks", png(marks), version)

    def put_status(self, index: int, status: object, version: int = 0) -> Any:
        """Save a status."""
        return self.http.put(
            f"/api/images/{index}/status",
            json={"status": status},
            headers={"If-Match": f'"{version}"', "X-Token": self.access.write_token},
        )

    def marks(self, index: int) -> tuple[Grey, int]:
        """Marks and their version."""
        answer = self.http.get(f"/api/images/{index}/marks")
        assert answer.status_code == 200, answer.text
        return pixels(answer.content), int(answer.headers["etag"].strip('"'))


SIDE = 32
CELL = 8


class Cells(nn.Conv2d):
    """Brightness of the cells, of the left half in one channel, of the right half in the other."""

    where: Tensor

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image).relu() * self.where


class Sides(nn.Module):
    """Says which half of the image is brighter: class 0 the left one, class 1 the right one."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = Cells(3, 2, CELL, stride=CELL, bias=False)
        where = torch.zeros(2, 1, SIDE // CELL)
        where[0, :, : SIDE // CELL // 2] = 1
        where[1, :, SIDE // CELL // 2 :] = 1
        self.cells.register_buffer("where", where)
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.cells.weight.fill_(1 / self.cells.weight[0].numel())
            self.head.weight.copy_(torch.tensor([[4.0, -4.0], [-4.0, 4.0]]))
            self.head.bias.zero_()

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.cells(image).mean(dim=(2, 3)))


def sides(num_classes: int) -> nn.Module:
    """The backbone `annotate_made:sides`."""
    return Sides()
