"""CVAT for images against annotations by hand, and what it says of broken files."""

from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from data_files import save_photo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from lookright.config import DataConfig
from lookright.data import read_annotations
from lookright.data.readers import scan
from lookright.errors import DataError

WIDTH, HEIGHT = 60, 40
HEAD = """<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task><labels>
<label><name>animal</name></label><label><name>sky</name></label></labels></task></meta>"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("cat/a.jpg", "cat/0.jpg", "dog/0.jpg", "dog/b.jpg"):
        save_photo(tmp_path / "images" / name, (WIDTH, HEIGHT))
    return tmp_path


def image(shapes: str, name: str = "a.jpg", size: str = f'width="{WIDTH}" height="{HEIGHT}"') -> str:
    return f'<image id="0" name="{name}" {size}>{shapes}</image>'


def write(root: Path, *images: str, head: str = HEAD) -> DataConfig:
    (root / "annotations.xml").write_text(f"{head}{''.join(images)}</annotations>")
    return DataConfig(data=root, format="cvat", negative_categories=["sky"])


def marks(config: DataConfig, name: str = "cat/a.jpg") -> np.ndarray:
    return next(item.marks for item in read_annotations(config).items if item.id == f"images/{name}").render()


def remarks(config: DataConfig) -> str:
    return "\n".join(map(str, scan(config).problems))


def area(rows: slice, columns: slice) -> np.ndarray:
    marked = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    marked[rows, columns] = 1
    return marked


def test_boxes_and_sides(root: Path) -> None:
    animal = (
        '<box label="animal" source="manual" occluded="0" xtl="10.00" ytl="5.00" xbr="20.00" ybr="15.00" '
        'z_order="0"><attribute name="a">1</attribute></box>'
    )
    sky = '<box label="sky" xtl="30" ytl="0" xbr="60" ybr="4" z_order="3"></box><tag label="animal"/>'
    config = write(root, image(animal + sky), image(animal, "photos/cat/0.jpg"), image("", "dog/b.jpg"))
    expected = area(slice(5, 15), slice(10, 20)) - area(slice(0, 4), slice(30, 60))
    np.testing.assert_array_equal(marks(config), expected)
    np.testing.assert_array_equal(marks(config, "cat/0.jpg"), expected.clip(min=0))
    assert [item.id for item in read_annotations(config).items if item.marks] == [
        "images/cat/0.jpg",
        "images/cat/a.jpg",
    ]


def test_a_turned_box_turns_about_its_centre(root: Path) -> None:
    box = '<box label="animal" xtl="20" ytl="16" xbr="40" ybr="24" rotation="90.00"/>'
    np.testing.assert_array_equal(marks(write(root, image(box))), area(slice(10, 30), slice(26, 34)))


def test_a_mask_runs_along_the_rows_of_its_box(root: Path) -> None:
    part = np.random.default_rng(1).random((7, 9)) > 0.5
    flat = part.ravel().tolist()
    runs, value = [], False
    while flat:  # by hand: the first run is unmarked, and may be empty
        run = next((i for i, pixel in enumerate(flat) if pixel != value), len(flat))
        runs.append(run)
        flat, value = flat[run:], not value
    mask = f'<mask label="animal" rle="{", ".join(map(str, runs))}" left="50" top="30" width="9" height="7"/>'
    expected = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    expected[30:37, 50:59] = part
    np.testing.assert_array_equal(marks(write(root, image(mask))), expected)


def test_polygons_ellipses_and_lines_agree_with_pillow(root: Path) -> None:
    corners = [(5.0, 5.0), (50.0, 8.0), (40.0, 35.0), (12.0, 30.0)]
    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in corners)
    line = [(5, 20), (30, 10), (55, 30)]
    drawn = Image.new("L", (4 * WIDTH, 4 * HEIGHT))
    pen = ImageDraw.Draw(drawn)
    for shape, draw in {
        f'<polygon label="animal" points="{points}"/>': lambda: pen.polygon(
            [(4 * x, 4 * y) for x, y in corners], fill=255
        ),
        '<ellipse label="animal" cx="30" cy="20" rx="20" ry="8"/>': lambda: pen.ellipse(
            (40, 48, 200, 112), fill=255
        ),
        f'<polyline label="animal" points="{";".join(f"{x},{y}" for x, y in line)}"/>': lambda: pen.line(
            [(4 * x, 4 * y) for x, y in line], fill=255, width=round(4 * 0.03 * WIDTH)
        ),
    }.items():
        pen.rectangle((0, 0, 4 * WIDTH, 4 * HEIGHT), fill=0)
        draw()
        share = np.asarray(drawn.reduce(4)) / 255
        found = marks(write(root, image(shape)))
        assert found[share > 0.9].all(), shape
        assert not found[share == 0].sum() > 6, shape  # round ends, and a rounded corner


def test_an_ellipse_turns_clockwise(root: Path) -> None:
    found = marks(
        write(root, image('<ellipse label="animal" cx="30" cy="20" rx="18" ry="3" rotation="45"/>'))
    )
    assert found[30, 40] == found[10, 20] == 1
    assert found[30, 20] == found[10, 40] == 0


def test_points_and_skeletons_are_discs(root: Path) -> None:
    points = '<points label="animal" points="10.5,10.5;30.5,30.5"/>'
    skeleton = (
        '<skeleton label="sky"><attribute name="x">1</attribute>'
        '<points label="1" outside="0" points="50.5,10.5"/><points label="2" outside="1" points="20.5,5.5"/>'
        "</skeleton>"
    )
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    radius2 = (0.03 * WIDTH) ** 2
    disc = {at: (x - at[0]) ** 2 + (y - at[1]) ** 2 <= radius2 for at in ((10, 10), (30, 30), (50, 10))}
    expected = disc[10, 10].astype(np.float32) + disc[30, 30] - disc[50, 10]
    np.testing.assert_array_equal(marks(write(root, image(points + skeleton))), expected)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            '<box label="animal" xtl="1" ytl="1" xbr="5"/>',
            "image a.jpg: shape 1: a coordinate that is no number",
        ),
        ('<box label="animal" xtl="1" ytl="1" xbr="1" ybr="9"/>', "a box without area"),
        ('<polygon label="animal" points="1,1;2,2"/>', "a polygon of 2 points"),
        ('<polygon label="animal" points="1,1;2"/>', "shape 1: "),
        ('<polygon label="animal"/>', "a polygon of 0 points"),
        ('<points label="animal" points="1e9,1"/>', "far outside"),
        ('<ellipse label="animal" cx="1" cy="1" rx="0" ry="1"/>', "an ellipse without area"),
        ('<mask label="animal" rle="1, 2" left="0" top="0" width="2" height="2"/>', "do not add up to 2 x 2"),
        (
            '<mask label="animal" rle="-1, 5" left="0" top="0" width="2" height="2"/>',
            "do not add up to 2 x 2",
        ),
        (
            '<mask label="animal" rle="9" left="0" top="0" width="99" height="2"/>',
            "a mask of 99 x 2 in an image",
        ),
        ('<mask label="animal" rle="" left="0" top="0" width="2" height="2"/>', "shape 1: "),
        ('<cuboid label="animal" xtl1="1"/>', "a cuboid, which is not known"),
    ],
)
def test_a_broken_shape_is_left_out(root: Path, shape: str, message: str) -> None:
    config = write(root, image(shape + '<box label="animal" xtl="0" ytl="0" xbr="2" ybr="2"/>'))
    assert message in remarks(config)
    np.testing.assert_array_equal(marks(config), area(slice(0, 2), slice(0, 2)))


BOX = '<box label="animal" xtl="0" ytl="0" xbr="2" ybr="2"/>'
END = "</annotations>"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{HEAD}\n<image", "broken xml in line 3"),
        ("<annotation><object/></annotation>", r"not CVAT for images: <annotation> without any <image>"),
        (f"{HEAD}</annotations>", "without any <image>"),
        (f'{HEAD}<track id="0" label="animal"/></annotations>', "tracks of a video.*CVAT for images 1.1"),
        (f"{HEAD}{image(BOX, size='')}</annotations>", "image a.jpg: height None, width None"),
        (HEAD + image(BOX, size='width="0" height="9"') + END, "height '9', width '0'"),
        (HEAD + image(BOX, size='width="99999" height="99999"') + END, "width '99999'"),
        (f"{HEAD}{image(BOX, 'gone.jpg')}</annotations>", "1 of 1 images are not in .* gone.jpg; the name"),
        (f"{HEAD}{image(BOX, '0.jpg')}</annotations>", "'0.jpg' can mean 2 images"),
        (f"{HEAD}{image(BOX)}{image(BOX)}</annotations>", "has another image entry already"),
        (
            f"{HEAD}{image(BOX)}</annotations>".replace("sky", "cloud"),
            "no category 'sky'; those there are: an",
        ),
        (f'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>{HEAD[38:]}&e;</annotations>', "xml"),
    ],
)
def test_broken_files(root: Path, content: str, message: str) -> None:
    (root / "annotations.xml").write_text(content)
    with pytest.raises(DataError, match=message):
        read_annotations(DataConfig(data=root, format="cvat", negative_categories=["sky"]))


def test_two_files_and_none(root: Path) -> None:
    config = write(root, image(BOX))
    (root / "annotations").mkdir()
    (root / "annotations.xml").rename(root / "annotations/first.xml")
    assert marks(config).sum() == 4
    (root / "annotations/second.xml").write_text((root / "annotations/first.xml").read_text())
    with pytest.raises(DataError, match="annotated in another xml file already"):
        read_annotations(config)
    zipped = root / "task.zip"
    zipped.touch()
    with pytest.raises(DataError, match=r"task.zip is packed; unpack it and give the .xml file in it"):
        read_annotations(DataConfig(data=root, format="cvat", annotations=zipped))


def test_an_image_that_is_not_there_is_passed_over(root: Path) -> None:
    config = write(root, image(BOX), image(BOX, "gone.jpg"))
    assert "1 of 2 images are not in" in remarks(config)
    assert marks(config).sum() == 4


ATTRIBUTES = ("name", "width", "height", "label", "xtl", "points", "rle", "left", "cx", "rotation")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(ATTRIBUTES), st.text())
def test_no_attribute_that_is_something_else_is_a_traceback(root: Path, name: str, text: str) -> None:
    shapes = (
        '<box label="sky" xtl="0" ytl="0" xbr="2" ybr="2" rotation="1"/>'
        '<polygon label="sky" points="1,1;2,2;3,1"/>'
        '<mask label="sky" rle="1, 2" left="0" top="0" width="3" height="1"/>'
        '<ellipse label="sky" cx="1" cy="1" rx="1" ry="1" rotation="0"/>'
    )
    content = ET.fromstring(f"<annotations>{image(shapes)}</annotations>")
    for node in content.iter():
        if name in node.attrib:
            node.set(name, text)
    ET.ElementTree(content).write(root / "annotations.xml", "utf-8")
    with suppress(DataError):
        for item in scan(DataConfig(data=root, format="cvat")).items:
            if item.marks:
                item.marks.render()
