"""Each format against a hand-computed annotation, and what each says of broken files."""

import base64
import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from data_files import save_mask, save_photo
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from lookright.config import DataConfig
from lookright.data import AnnotationSet, check, read_annotations
from lookright.data.readers import scan
from lookright.errors import DataError

WIDTH, HEIGHT = 12, 8


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three cats and three dogs of 12 x 8 pixels, none annotated; "0" is a name in both classes."""
    for name in ("cat", "dog"):
        for number in range(3):
            save_photo(tmp_path / "images" / name / f"{name}{number}.jpg", (WIDTH, HEIGHT))
    save_photo(tmp_path / "images" / "cat" / "0.jpg")
    save_photo(tmp_path / "images" / "dog" / "0.jpg")
    return tmp_path


def rendered(found: AnnotationSet) -> dict[str, np.ndarray]:
    return {item.id.removeprefix("images/"): item.marks.render() for item in found.items if item.marks}


def remarks(config: DataConfig) -> str:
    return "\n".join(str(problem) for problem in scan(config).problems)


def area(rows: slice, columns: slice) -> np.ndarray:
    marked = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    marked[rows, columns] = 1
    return marked


# ---- folders


def test_folders_of_masks(root: Path) -> None:
    positive, negative = area(slice(0, 4), slice(0, 6)), area(slice(4, 8), slice(6, 12))
    save_mask(root / "masks" / "cat" / "0.png", positive > 0)
    save_mask(root / "negatives" / "dog" / "0.PNG", negative > 0)
    save_mask(root / "masks" / "dog" / "dog1.jpg.png", positive > 0)
    save_mask(root / "negatives" / "dog" / "dog1.png", negative > 0)
    signed = (128 + 127 * positive - 128 * negative).astype(np.uint8)
    save_mask(root / "signed" / "cat" / "cat1.png", signed)
    save_mask(root / "masks" / "cat" / "cat2.png", np.zeros((HEIGHT, WIDTH), dtype=bool))
    found = rendered(read_annotations(DataConfig(data=root)))
    assert set(found) == {"cat/0.jpg", "dog/0.jpg", "dog/dog1.jpg", "cat/cat1.jpg", "cat/cat2.jpg"}
    np.testing.assert_array_equal(found["cat/0.jpg"], positive)
    np.testing.assert_array_equal(found["dog/0.jpg"], -negative)
    np.testing.assert_array_equal(found["dog/dog1.jpg"], positive - negative)
    np.testing.assert_array_equal(found["cat/cat1.jpg"], positive - negative)
    assert not found["cat/cat2.jpg"].any()


def test_folders_of_graded_maps(root: Path) -> None:
    ramp = np.linspace(-1, 1, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.float32)
    for place, pixels in {
        "masks/cat/0.png": (ramp.clip(min=0) * 255).round().astype(np.uint8),
        "negatives/cat/0.tif": (-ramp).clip(min=0),
        "signed/cat/cat1.png": (128 + 127 * ramp).round().astype(np.uint8),
    }.items():
        save_mask(root / place, pixels)
    for place in ("masks/dog/0.jpg.npy", "signed/dog/dog1.npy"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        np.save(root / place, ramp)
    config = DataConfig(data=root)
    found = rendered(read_annotations(config))
    assert set(found) == {"cat/0.jpg", "cat/cat1.jpg", "dog/0.jpg", "dog/dog1.jpg"}
    for name, marks in found.items():
        assert marks.dtype == np.float32
        np.testing.assert_allclose(marks, ramp, atol=0 if name.startswith("dog") else 1.5 / 127)
    assert check(config, progress=False).problems == ()
    np.save(root / "masks" / "dog" / "0.jpg.npy", 255 * ramp)
    (problem,) = check(config, progress=False).fatal
    assert problem.path.name == "0.jpg.npy"
    assert "values from -255 to 255; bring them to [-1, 1]" in str(problem)


@pytest.mark.parametrize("inside", ["", "masks"])
def test_folders_elsewhere(root: Path, tmp_path_factory: pytest.TempPathFactory, inside: str) -> None:
    elsewhere = tmp_path_factory.mktemp("drawn")
    save_mask(elsewhere / inside / "cat" / "0.png", np.ones((HEIGHT, WIDTH), dtype=bool))
    assert set(rendered(read_annotations(DataConfig(data=root, annotations=elsewhere)))) == {"cat/0.jpg"}


def test_folders_flat_masks(root: Path) -> None:
    save_mask(root / "masks" / "dog2.png", np.ones((HEIGHT, WIDTH), dtype=bool))
    assert set(rendered(read_annotations(DataConfig(data=root)))) == {"dog/dog2.jpg"}
    save_mask(root / "masks" / "0.png", np.ones((HEIGHT, WIDTH), dtype=bool))
    with pytest.raises(DataError, match="can belong to 2 images"):
        read_annotations(DataConfig(data=root))


def test_folders_problems(root: Path) -> None:
    blank = np.zeros((HEIGHT, WIDTH), dtype=bool)
    save_mask(root / "masks" / "dog" / "cat1.png", blank)
    assert "masks/dog/cat1.png: a mask without image" in remarks(DataConfig(data=root))
    save_mask(root / "masks" / "cat" / "cat1.png", blank)
    save_mask(root / "signed" / "cat" / "cat1.png", blank)
    save_mask(root / "masks" / "cat" / "cat1.jpg.png", blank)
    said = remarks(DataConfig(data=root))
    assert "keep one way of marking" in said
    assert "a second mask of images/cat/cat1.jpg" in said
    with pytest.raises(DataError, match="is not a folder"):
        read_annotations(DataConfig(data=root, annotations=root / "gone"))


# ---- COCO

MASK = np.random.default_rng(0).random((HEIGHT, WIDTH)) > 0.6


def coco_content() -> dict:
    runs = coco_mask.encode(np.asfortranarray(MASK, dtype=np.uint8))
    plain = MASK.ravel(order="F")
    counts = np.diff([0, *(np.flatnonzero(np.diff(plain)) + 1), plain.size]).tolist()
    return {
        "images": [
            {"id": 1, "file_name": "train2017/cat1.jpg", "width": WIDTH, "height": HEIGHT},
            {"id": 2, "file_name": "images/dog/0.jpg", "width": WIDTH, "height": HEIGHT},
            {"id": 3, "file_name": "dog2.jpg", "width": WIDTH, "height": HEIGHT},
            {"id": 4, "file_name": "far away.jpg", "width": WIDTH, "height": HEIGHT},
            {"id": 5, "file_name": "cat2.jpg", "width": WIDTH, "height": HEIGHT},
        ],
        "categories": [{"id": 7, "name": "animal"}, {"id": 8, "name": "grass"}, {"id": 9, "name": "sky"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 7,
                "segmentation": [[2, 1, 10, 1, 10, 6, 2, 6], [0, 0, 2, 0, 2, 2]],
            },
            {"id": 2, "image_id": 1, "category_id": 8, "segmentation": [[0, 6, 12, 6, 12, 8, 0, 8]]},
            {
                "id": 3,
                "image_id": 2,
                "category_id": 7,
                "segmentation": {"size": [HEIGHT, WIDTH], "counts": runs["counts"].decode()},
            },
            {
                "id": 4,
                "image_id": 3,
                "category_id": 7,
                "iscrowd": 1,
                "segmentation": {"size": [HEIGHT, WIDTH], "counts": [0, *counts] if plain[0] else counts},
            },
            {"id": 5, "image_id": 5, "category_id": 9, "bbox": [3, 2, 4, 5]},
        ],
    }


def write_coco(root: Path, content: object) -> Path:
    file = root / "marks.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_coco_agrees_with_pycocotools(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_coco(root, coco_content())
    config = DataConfig(data=root, annotations=file, format="coco", negative_categories=["grass"])
    found = rendered(read_annotations(config))
    reference = COCO(str(file))
    masks = {n: reference.annToMask(reference.anns[n]).astype(np.float32) for n in (1, 2, 3, 4)}
    np.testing.assert_array_equal(found["cat/cat1.jpg"], masks[1] - masks[2])
    np.testing.assert_array_equal(found["dog/0.jpg"], masks[3])
    np.testing.assert_array_equal(found["dog/dog2.jpg"], masks[4])
    np.testing.assert_array_equal(found["cat/cat2.jpg"], area(slice(2, 7), slice(3, 7)))
    assert "1 of 5 images are not in" in remarks(config)


def test_coco_keypoints_where_there_is_no_segmentation(root: Path) -> None:
    content = coco_content()
    content["annotations"] = [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 7,
            "segmentation": [],
            "keypoints": [3.5, 2.5, 2, 0, 0, 0, 9.5, 6.5, 1],  # the second one is not labelled
            "bbox": [3, 2, 7, 5],
        },
        {"id": 2, "image_id": 2, "category_id": 7, "keypoints": [0, 0, 0], "bbox": [3, 2, 4, 5]},
        {"id": 3, "image_id": 3, "category_id": 7, "keypoints": [1, 2], "bbox": [3, 2, 4, 5]},
    ]
    config = DataConfig(data=root, annotations=write_coco(root, content), format="coco")
    found = rendered(read_annotations(config))
    points = area(slice(2, 3), slice(3, 4)) + area(slice(6, 7), slice(9, 10))
    np.testing.assert_array_equal(found["cat/cat1.jpg"], points)
    np.testing.assert_array_equal(found["dog/0.jpg"], area(slice(2, 7), slice(3, 7)))
    assert "annotation 3: " in remarks(config)


def test_coco_image_without_wanted_category_is_not_annotated(root: Path) -> None:
    file = write_coco(root, coco_content())
    config = DataConfig(data=root, annotations=file, format="coco", positive_categories=["sky"])
    assert set(rendered(read_annotations(config))) == {"cat/cat2.jpg"}


def test_coco_unknown_category_lists_those_there_are(root: Path) -> None:
    file = write_coco(root, coco_content())
    config = DataConfig(data=root, annotations=file, format="coco", positive_categories=["Sky"])
    with pytest.raises(DataError, match="no category 'Sky'; those there are: animal, grass, sky"):
        read_annotations(config)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [,]}', "broken json in line 1, column 13"),
        ("[1]", "not COCO instances"),
        ({"images": [], "annotations": []}, "not COCO instances"),
        ("[" * 100_000, "json"),
        ({**coco_content(), "images": [{"id": 1, "file_name": "cat1.jpg"}]}, "height None, width None"),
        (
            {**coco_content(), "images": [{"id": 1, "file_name": "cat1.jpg", "width": True, "height": 8}]},
            "height 8, width True",
        ),
        ({**coco_content(), "images": [{"id": 1, "file_name": "cat1.png.jpg"}]}, "file_name has to fit"),
        (
            {**coco_content(), "images": [{"id": 1, "file_name": "0.jpg", "width": 12, "height": 8}]},
            "'0.jpg' can mean 2 images",
        ),
    ],
)
def test_broken_coco(root: Path, content: object, message: str) -> None:
    file = write_coco(root, content)
    with pytest.raises(DataError, match=message):
        read_annotations(DataConfig(data=root, annotations=file, format="coco"))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"segmentation": [[1, 2, 3]]}, "annotation 1: "),
        ({"segmentation": [[1, 2, 3, 4]]}, "a polygon of 2 points"),
        ({"segmentation": [[0, 0, 1e9, 0, 5, 5]]}, "far outside"),
        ({"segmentation": [["a", 0, 1, 0, 5, 5]]}, "no number"),
        ({"segmentation": {"size": [3, 3], "counts": "abc"}}, "an RLE of size"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": [5]}}, "do not add up"),
        ({"segmentation": "text"}, "annotation 1: "),
        ({"segmentation": None}, "annotation 1: "),
        ({"segmentation": [], "bbox": [1, 2, 0, 4]}, "without area"),
        ({"category_id": 99}, "no category 99"),
    ],
)
def test_broken_coco_annotation_is_left_out(root: Path, broken: dict, message: str) -> None:
    content = coco_content()
    content["annotations"][0].update(broken)
    config = DataConfig(data=root, annotations=write_coco(root, content), format="coco")
    assert len(rendered(read_annotations(config))) == 4
    assert message in remarks(config)


# ---- Pascal VOC

VOC = """<annotation><filename>{name}</filename>
<size><width>12</width><height>8</height><depth>3</depth></size>
<object><name>cat</name><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>6</xmax><ymax>4</ymax></bndbox></object>
<object><name>sky</name><bndbox><xmin>7</xmin><ymin>5</ymin><xmax>12</xmax><ymax>8</ymax></bndbox></object>
</annotation>"""


def write_voc(root: Path, name: str, text: str) -> Path:
    file = root / "Annotations" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_voc_boxes(root: Path) -> None:
    write_voc(root, "whatever.xml", VOC.format(name="cat1.jpg"))
    write_voc(root, "dog/0.xml", VOC.format(name="elsewhere.jpg"))
    config = DataConfig(data=root, format="voc", negative_categories=["sky"])
    found = rendered(read_annotations(config))
    assert set(found) == {"cat/cat1.jpg", "dog/0.jpg"}
    expected = area(slice(0, 4), slice(0, 6)) - area(slice(4, 8), slice(6, 12))
    np.testing.assert_array_equal(found["cat/cat1.jpg"], expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>\n<size>", "broken xml in line 2"),
        (VOC.format(name="cat1.jpg").replace("<width>12</width>", ""), "no usable size/width"),
        (VOC.format(name="cat1.jpg").replace("<width>12", "<width>0"), "no usable size/width"),
        (VOC.format(name="gone.jpg"), "no image for 'cat7' or 'gone.jpg'"),
        (VOC.format(name="cat1.jpg").replace("<xmax>6</xmax>", ""), "object 1: "),
        (
            VOC.format(name="cat1.jpg").replace("<xmax>6</xmax>", "<xmax>0</xmax>"),
            "object 1: a box without area",
        ),
    ],
)
def test_broken_voc(root: Path, text: str, message: str) -> None:
    write_voc(root, "cat7.xml", text)
    assert message in remarks(DataConfig(data=root, format="voc"))


def test_voc_without_any_file(root: Path) -> None:
    with pytest.raises(DataError, match=r"no \.xml file in .*Annotations.*--annotations"):
        read_annotations(DataConfig(data=root, format="voc"))
    with pytest.raises(DataError, match="gone does not exist"):
        read_annotations(DataConfig(data=root, format="voc", annotations=root / "gone"))


# ---- LabelMe


def labelme(*shapes: dict, **more: object) -> str:
    content = {"shapes": shapes, "imagePath": "cat1.jpg", "imageHeight": HEIGHT, "imageWidth": WIDTH}
    return json.dumps({**content, **more})


def test_labelme_shapes(root: Path) -> None:
    stored = io.BytesIO()
    Image.fromarray(np.ones((2, 3), dtype=bool)).save(stored, "PNG")
    shapes = (
        {"label": "cat", "shape_type": "rectangle", "points": [[6, 4], [0, 0]]},
        {"label": "sky", "shape_type": "polygon", "points": [[6, 4], [12, 4], [12, 8], [6, 8]]},
        {"label": "cat", "shape_type": "spline", "points": [[1, 1]]},
        {
            "label": "cat",
            "shape_type": "mask",
            "points": [[8, 0], [10, 1]],
            "mask": base64.b64encode(stored.getvalue()).decode(),
        },
    )
    (root / "images" / "cat" / "cat1.json").write_text(labelme(*shapes))
    config = DataConfig(data=root, format="labelme", negative_categories=["sky"])
    expected = (
        area(slice(0, 4), slice(0, 6)) - area(slice(4, 8), slice(6, 12)) + area(slice(0, 2), slice(8, 11))
    )
    np.testing.assert_array_equal(rendered(read_annotations(config))["cat/cat1.jpg"], expected)
    assert "shape 3: a shape of type 'spline', which is not known" in remarks(config)


def test_labelme_points_and_lines(root: Path) -> None:
    shapes = (
        {"label": "cat", "shape_type": "point", "points": [[1.5, 1.5]], "radius": 1.5},
        {"label": "cat", "shape_type": "points", "points": [[6.5, 0.5], [8.5, 0.5]]},  # 3 % of 12: one pixel
        {"label": "sky", "shape_type": "linestrip", "points": [[1, 6], [9, 6], [9, 7]], "width": 2},
        {"label": "sky", "shape_type": "line", "points": [[11.5, 0.5], [11.5, 7.5]]},
    )
    (root / "images" / "cat" / "cat1.json").write_text(labelme(*shapes))
    config = DataConfig(data=root, format="labelme", negative_categories=["sky"])
    positive = (
        area(slice(0, 3), slice(0, 3)) + area(slice(0, 1), slice(6, 7)) + area(slice(0, 1), slice(8, 9))
    )
    # One pixel to either side of the line, and what its round ends reach.
    negative = area(slice(5, 7), slice(1, 9)) + area(slice(0, 8), slice(11, 12))
    negative[5:8, 8:10] = 1
    negative[5:7, 0] = 1
    found = rendered(read_annotations(config))["cat/cat1.jpg"]
    np.testing.assert_array_equal(found, positive - negative)
    assert not read_annotations(config).problems


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"shape_type": "point", "points": [[1, 1]], "radius": -1}, "of width -2"),
        ({"shape_type": "point", "points": [[1, 1]], "radius": "x"}, "no number: 'x'"),
        ({"shape_type": "linestrip", "points": []}, "a line without points"),
        ({"shape_type": "linestrip", "points": [[1, 1], [1e6, 1]]}, "far outside"),
        ({"shape_type": "circle", "points": [[1, 1], [1, 1]]}, "of width 0"),
    ],
)
def test_broken_labelme_points_and_lines(root: Path, shape: dict, message: str) -> None:
    (root / "images" / "cat" / "cat1.json").write_text(labelme({"label": "x", **shape}))
    assert message in remarks(DataConfig(data=root, format="labelme"))


def test_labelme_circle_has_its_area(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_photo(tmp_path / "images" / name / f"{name}.png", (100, 100))
    circle = {"label": "x", "shape_type": "circle", "points": [[50, 50], [50, 80]]}
    file = tmp_path / "b.json"
    file.write_text(labelme(circle, imagePath="b.png", imageHeight=100, imageWidth=100))
    found = rendered(read_annotations(DataConfig(data=tmp_path, format="labelme", annotations=file)))
    assert found["b/b.png"].sum() == pytest.approx(np.pi * 30**2, rel=0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "broken json in line 1"),
        ("{}", "no list 'shapes'"),
        (labelme(imageHeight=None), "imageHeight None"),
        (labelme(imageHeight=True), "imageHeight True"),
        (labelme({"label": "x", "points": [[0, 0]]}), "a polygon of 1 points"),
        (labelme({"label": "x", "points": 3}), "shape 1: "),
        (labelme({"label": "x", "shape_type": "circle", "points": [[0, 0]]}), "shape 1: "),
        (labelme({"label": "x", "shape_type": "rectangle", "points": [["a", 0], [1, 1]]}), "shape 1: "),
        (
            labelme({"label": "x", "shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": "?"}),
            "a damaged mask",
        ),
        (labelme("text"), "shape 1: "),
    ],
)
def test_broken_labelme(root: Path, text: str, message: str) -> None:
    (root / "images" / "cat" / "cat1.json").write_text(text)
    assert message in remarks(DataConfig(data=root, format="labelme"))


# ---- RES


@pytest.fixture
def res(tmp_path: Path) -> Path:
    for split in ("train", "val", "test"):
        for name in ("cat", "dog"):
            save_photo(tmp_path / split / name / f"{split}_{name}.jpg", (WIDTH, HEIGHT))
    return tmp_path


def write_res(root: Path, name: str, *rows: tuple[str, object, str]) -> Path:
    file = root / "attention_label" / name
    file.parent.mkdir(exist_ok=True)
    with file.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("img_idx", "attention", "img_check"))
        writer.writerows((i, a if isinstance(a, str) else json.dumps(a), check) for i, a, check in rows)
    return file


def test_res_layout(res: Path) -> None:
    large = np.ones((224, 224)).tolist()  # its cell is larger than the limit that csv has by default
    write_res(
        res,
        "attention.csv",
        ("train_cat.jpg", [[0, 1], [0.5, 0]], "good"),
        ("train_dog", large, "good"),
        ("val_cat.jpg", [[1]], "bad"),
        ("test_cat.jpg", [[1, 1]], "good"),
        ("test_cat.jpg", [[0, 1]], "good"),
    )
    write_res(res, "my_counterfactual.csv", ("train_cat.jpg", [[1, 0], [0, 0]], "good"))
    config = DataConfig(data=res, format="res")
    found = read_annotations(config)
    assert found.splits == ("train", "val", "test")
    assert found.classes == ("cat", "dog")
    marks = {item.path.stem: item.marks.render() for item in found.items if item.marks}
    assert {name: matrix.shape for name, matrix in marks.items()} == {
        "train_cat": (2, 2),
        "train_dog": (224, 224),
        "test_cat": (1, 2),
    }
    assert marks["train_cat"].tolist() == [[-1, 1], [0.5, 0]]
    assert marks["test_cat"].tolist() == [[0, 1]]
    assert "line 6: test/cat/test_cat.jpg was annotated further up" in remarks(config)
    assert csv.field_size_limit() == 131_072


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        ("[[1, 2", "not a JSON matrix"),
        ("[[1], [1, 0]]", "not a JSON matrix"),
        ("[1, 0]", "has to be a matrix"),
        ("[[255]]", "has to be in [0, 1]"),
        ("[[NaN]]", "has to be in [0, 1]"),
        ("", "not a JSON matrix"),
        ("[[null]]", "has to be in [0, 1]"),
    ],
)
def test_malformed_matrix_is_left_out(res: Path, attention: str, message: str) -> None:
    write_res(res, "a.csv", ("train_cat.jpg", attention, "good"), ("train_dog.jpg", [[1]], "good"))
    config = DataConfig(data=res, format="res")
    assert len(rendered(read_annotations(config))) == 1
    assert "line 2: " in remarks(config)
    assert message in remarks(config)


def test_broken_res(res: Path) -> None:
    file = write_res(res, "a.csv", ("gone.jpg", [[1]], "good"))
    config = DataConfig(data=res, format="res")
    assert "line 2: there is no image for 'gone.jpg'" in remarks(config)
    file.write_text("img_idx,mask\n")
    with pytest.raises(DataError, match="no column attention, img_check; its columns are: img_idx, mask"):
        read_annotations(config)
    file.write_bytes(b"img_idx,attention,img_check\n\xff,,\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_annotations(config)


def test_many_fatal_problems_are_summed_up(root: Path) -> None:
    (root / "split.csv").write_text(
        "file,class,split\n" + "".join(f"gone{i}.jpg,cat,train\n" for i in range(9))
    )
    with pytest.raises(DataError, match=r"(?s)gone0.*gone2.*and \d+ more.*lookright check") as caught:
        read_annotations(DataConfig(data=root))
    assert len(str(caught.value).splitlines()) == 1


# ---- json and xml that is well-formed and still makes no sense

HUGE = 10**400  # no float holds it


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("categories", 0, "id"), [1]),
        (("images", 0, "id"), {"a": 1}),
        (("images", 0, "width"), float("inf")),
        (("images", 0, "width"), True),
        (("annotations", 0, "image_id"), [1]),
        (("annotations", 0, "category_id"), {}),
        (("annotations", 0, "segmentation"), [[HUGE, 0, 1, 0, 1, 1]]),
        (("annotations", 0, "segmentation"), {"size": 3}),
        (("annotations", 0, "segmentation"), {"size": [HEIGHT, WIDTH], "counts": [HUGE, -HUGE, 96]}),
        (("annotations", 0, "segmentation"), {"size": [HEIGHT, WIDTH], "counts": "é"}),
        (("annotations", 0, "segmentation"), 7),
        (("annotations", 4, "bbox"), [HUGE, 0, 1, 1]),
        (("annotations", 4, "bbox"), [0, 0, float("inf"), 1]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_senseless_coco_is_our_error(root: Path, place: tuple, value: object) -> None:
    content = coco_content()
    content[place[0]][place[1]][place[2]] = value
    config = DataConfig(data=root, annotations=write_coco(root, content), format="coco")
    report = check(config, progress=False)
    assert any(
        problem.path.name == "marks.json" or "marks.json" in problem.what for problem in report.problems
    )


def test_json_number_of_too_many_digits(root: Path) -> None:
    file = write_coco(root, '{"images": ' + "1" * 5000 + "}")
    assert "cannot be read" in remarks(DataConfig(data=root, annotations=file, format="coco"))


@pytest.mark.parametrize(
    "shape",
    [
        {"shape_type": "circle", "points": [[0, 0], [float("inf"), 1]]},
        {"shape_type": "circle", "points": [[HUGE, 0], [1, 1]]},
        {"shape_type": "mask", "points": [[float("inf"), 0], [1, 1]], "mask": ""},
        {"shape_type": "rectangle", "points": [[HUGE, 0], [1, 1]]},
        {"shape_type": {}, "points": []},
    ],
    ids=lambda value: str(value)[:40],
)
def test_senseless_labelme_shape_is_left_out(root: Path, shape: dict) -> None:
    (root / "images" / "cat" / "cat1.json").write_text(labelme({"label": "x", **shape}))
    assert "shape 1: " in remarks(DataConfig(data=root, format="labelme"))


@pytest.mark.parametrize("size", ["inf", "nan", "1e400", ""])
def test_senseless_voc_size(root: Path, size: str) -> None:
    write_voc(root, "cat1.xml", VOC.format(name="cat1.jpg").replace("<width>12", f"<width>{size}"))
    assert "no usable size" in remarks(DataConfig(data=root, format="voc"))
