"""Pascal VOC xml files: boxes, one file per image."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

from lookright.config import DataConfig
from lookright.data.annotations import Marks, Problem, Shapes
from lookright.data.layout import Photos
from lookright.data.readers.sources import Categories, Drawn, annotation_files, one_file_each, read_xml
from lookright.data.shapes import Shape, box
from lookright.errors import DataError


def read_voc(photos: Photos, config: DataConfig) -> tuple[dict[str, Marks], list[Problem]]:
    """Read boxes of Pascal VOC (Everingham et al., IJCV 2010): `Annotations/**.xml` or `config.annotations`.

    Coordinates are 1-based and inclusive, as in VOC's development kit: xmin 1, xmax 10 are ten pixels. An
    image is annotated if its file holds at least one object of a wanted category.

    Raises:
        DataError: there is no xml file.
    """
    categories = Categories.of(config)
    top, files = annotation_files(config, photos, ".xml", ("Annotations", "annotations"))
    return one_file_each(photos, top, files, partial(_read_file, categories=categories), categories)


def _read_file(file: Path, categories: Categories) -> Drawn | Problem:
    root = read_xml(file)
    if isinstance(root, Problem):
        return root
    return Drawn(
        names=[root.findtext("filename", "")],
        categories={node.findtext("name", "").strip() for node in root.iter("object")},
        shapes=partial(_read_objects, file, root, categories),
    )


def _read_objects(
    file: Path, root: ET.Element, categories: Categories, photo_id: str
) -> tuple[Shapes | None, list[Problem]]:
    try:
        width, height = (int(float(root.findtext(f"size/{side}", ""))) for side in ("width", "height"))
        if width < 1 or height < 1:
            raise ValueError("no size")
    except (ValueError, OverflowError):
        what = "no usable size/width and size/height"
        return None, [Problem(file, what, "write the size of the image in pixels there", fatal=True)]
    sides: dict[int, list[Shape]] = {1: [], -1: [], 0: []}
    problems = []
    for number, node in enumerate(root.iterfind("object"), start=1):
        sign = categories.sign(node.findtext("name", "").strip())
        edges = [node.findtext(f"bndbox/{edge}", "nothing") for edge in ("xmin", "ymin", "xmax", "ymax")]
        try:
            left, top, right, bottom = map(float, edges)
            sides[sign].append(box(left - 1, top - 1, right, bottom))
        except (DataError, ValueError) as error:
            what = f"object {number}: {error}"
            problems.append(Problem(file, what, "it is left out: draw it again or delete it"))
    if not sides[1] and not sides[-1]:
        return None, problems
    return Shapes(height, width, tuple(sides[1]), tuple(sides[-1]), f"{file} ({photo_id})"), problems
