"""COCO's json files and photos, a few pixels large: each photo shows one person, as a rectangle."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from data_files import save_photo

WIDTH, HEIGHT = 20, 16
PERSON, DOG = 1, 18
NAMES = {"2014": "COCO_{part}2014_{id:012d}.jpg", "2017": "{id:012d}.jpg"}
MAN, WOMAN = ["A man rides a wave.", "A surfer."], ["The woman's hat.", "Somebody in a hat."]


def rectangle(left: int, top: int, right: int, bottom: int) -> list[list[float]]:
    return [[left, top, right, top, right, bottom, left, bottom]]


def runs(mask: np.ndarray) -> dict[str, Any]:
    """Uncompressed run lengths, which go down the columns and begin with what is not marked."""
    counts, value = [0], 0
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


@dataclass
class Coco:
    """One part of COCO, to be written."""

    root: Path
    part: str = "train"
    year: str = "2014"
    captions: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        id_: int,
        captions: list[str],
        people: list[Any] | None = None,
        *,
        photo: bool = True,
        size: tuple[int, int] = (WIDTH, HEIGHT),
        **also: Any,
    ) -> str:
        """Add a photo with its captions and people; its file name."""
        name = NAMES[self.year].format(part=self.part, id=id_)
        self.images.append({"id": id_, "file_name": name, "height": HEIGHT, "width": WIDTH})
        self.captions += [{"id": 0, "image_id": id_, "caption": caption} for caption in captions]
        for segmentation in [rectangle(4, 2, 12, 10)] if people is None else people:
            row = {"image_id": id_, "category_id": PERSON, "segmentation": segmentation, "iscrowd": 0}
            self.annotations.append(row | {"id": len(self.annotations)} | also)
        self.annotations.append(
            {"image_id": id_, "category_id": DOG, "segmentation": rectangle(0, 0, 20, 16), "id": 10**6 + id_}
        )
        if photo:
            save_photo(self.root / "photos" / f"{self.part}{self.year}" / name, size)
        return name

    def many(self, count: int, start: int = 1) -> "Coco":
        """As many photos of each class."""
        for number in range(count):
            self.add(start + 2 * number, MAN)
            self.add(start + 2 * number + 1, WOMAN)
        return self

    def write(self, folder: str = "json/annotations") -> Path:
        """Write the two json files; the folder that holds them, or their folder annotations."""
        place = self.root / folder
        place.mkdir(parents=True, exist_ok=True)
        images = [{"id": row["id"]} for row in self.images]
        categories = [{"id": PERSON, "name": "person"}, {"id": DOG, "name": "dog"}]
        for kind, content in (
            ("captions", {"images": images, "annotations": self.captions}),
            (
                "instances",
                {"images": self.images, "annotations": self.annotations, "categories": categories},
            ),
        ):
            (place / f"{kind}_{self.part}{self.year}.json").write_text(json.dumps(content))
        return self.root / folder.removesuffix("/annotations")
