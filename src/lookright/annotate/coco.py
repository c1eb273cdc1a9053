"""Everything that an annotator has marked, as one COCO json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from lookright.annotate.pixels import NEGATIVE, POSITIVE
from lookright.annotate.project import Project
from lookright.annotate.store import MARKED
from lookright.data.shapes import RunLengths
from lookright.errors import DataError

LOOK_HERE, NOT_HERE = "look here", "not here"

_CATEGORIES = ({"id": 1, "name": LOOK_HERE}, {"id": 2, "name": NOT_HERE})
_SIDES = ((1, POSITIVE), (2, NEGATIVE))


def coco_parts(project: Project) -> Iterator[str]:
    """Write COCO instances piece by piece, one mask in memory at a time.

    `lookright train DATA --annotations FILE --format coco --negative-categories "not here"` reads it. Each
    side of an image is one annotation, as run lengths. Photos or masks that cannot be read are left out.

    Args:
        project: whose marks

    Returns:
        parts of the json
    """
    images: list[dict[str, Any]] = []
    number = 0
    yield f'{{"categories": {json.dumps(_CATEGORIES)}, "annotations": ['
    for index, item in enumerate(project.items):
        if project.layer.status(item.id) != MARKED:
            continue
        try:
            marks = project.marks(index)
        except (DataError, OSError):
            continue
        height, width = marks.shape
        images.append({"id": index + 1, "file_name": item.id, "height": height, "width": width})
        for category, value in _SIDES:
            where = marks == value
            if where.any():
                number += 1
                annotation = {"id": number, "image_id": index + 1, "category_id": category} | _shape(where)
                yield ("" if number == 1 else ", ") + json.dumps(annotation)
    yield f'], "images": {json.dumps(images)}}}'


def _shape(where: NDArray[np.bool_]) -> dict[str, Any]:
    counts = RunLengths.from_mask(where).counts
    runs = {"size": list(where.shape), "counts": counts}
    return {
        "segmentation": runs | {"counts": counts.decode()},
        "area": int(where.sum()),
        "bbox": coco_mask.toBbox(runs).tolist(),
        "iscrowd": 1,  # which is what COCO calls an annotation in run lengths
    }
