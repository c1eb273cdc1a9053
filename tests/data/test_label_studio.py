"""Label Studio exports against annotations by hand, and what the reader says of broken ones."""

import base64
import io
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from data_files import save_photo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from brush_runs import encode, rgba
from lookright.config import DataConfig
from lookright.data import check, read_annotations
from lookright.data.readers import scan
from lookright.errors import DataError

WIDTH, HEIGHT = 50, 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("cat/a.jpg", "cat/0.jpg", "dog/0.jpg", "dog/my photo (1).jpg"):
        save_photo(tmp_path / "images" / name, (WIDTH, HEIGHT))
    return tmp_path


def region(kind: str, labels: list[str] | None = None, /, **value: object) -> dict:
    """A result of a kind; with labels as the kind's own tag writes them."""
    if labels is not None:
        kind += "labels"
        value[kind] = labels
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {"type": kind, "from_name": "x", "to_name": "image", "value": value, **size}


def rectangle(left: float, top: float, width: float, height: float, *labels: str, **more: object) -> dict:
    """In pixels."""
    value = {"x": 100 * left / WIDTH, "y": 100 * top / HEIGHT}
    value |= {"width": 100 * width / WIDTH, "height": 100 * height / HEIGHT, "rotation": 0}
    return region("rectangle", list(labels) or ["animal"], **(value | more))


def task(
    *results: dict, image: str = "/data/upload/1/0a1b2c3d-a.jpg", number: int = 1, **more: object
) -> dict:
    annotation = {"id": 10 * number, "completed_by": 1, "was_cancelled": False, "result": results, **more}
    return {
        "id": number,
        "data": {"image": image},
        "annotations": [annotation],
        "predictions": [{"result": 1}],
    }


def write(root: Path, content: object, **options: object) -> DataConfig:
    file = root / "export.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return DataConfig(
        data=root, annotations=file, format="label-studio", negative_categories=["sky"], **options
    )


def rendered(config: DataConfig) -> dict[str, np.ndarray]:
    found = scan(config)
    return {item.id.removeprefix("images/"): item.marks.render() for item in found.items if item.marks}


def remarks(config: DataConfig) -> str:
    return "\n".join(map(str, scan(config).problems))


def area(rows: slice, columns: slice) -> np.ndarray:
    marked = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    marked[rows, columns] = 1
    return marked


SKY = rectangle(40, 0, 10, 3, "sky")
SQUARE = area(slice(10, 20), slice(5, 15))
ABOVE = area(slice(0, 3), slice(40, 50))


def test_rectangles_in_percent(root: Path) -> None:
    config = write(root, [task(rectangle(5, 10, 10, 10), SKY)])
    np.testing.assert_array_equal(rendered(config)["cat/a.jpg"], SQUARE - ABOVE)
    assert not scan(config).problems


def test_a_rectangle_turns_about_its_upper_left_corner(root: Path) -> None:
    found = rendered(write(root, [task(rectangle(25, 10, 12, 6, rotation=90), SKY)]))["cat/a.jpg"]
    np.testing.assert_array_equal(found, area(slice(10, 22), slice(19, 25)) - ABOVE)


def test_an_ellipse_lies_about_its_centre(root: Path) -> None:
    oval = region("ellipse", ["animal"], x=50, y=50, radiusX=20, radiusY=10, rotation=90)
    found = rendered(write(root, [task(oval, SKY)]))["cat/a.jpg"] + ABOVE
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    np.testing.assert_array_equal(found, ((x - 25) / 4) ** 2 + ((y - 20) / 10) ** 2 <= 1)


def test_a_polygon_and_a_keypoint(root: Path) -> None:
    polygon = region("polygon", ["animal"], points=[[20, 25], [60, 25], [60, 75], [20, 75]], closed=True)
    keypoint = region("keypoint", ["animal"], x=81, y=51.25, width=0.5)
    found = rendered(write(root, [task(polygon, keypoint, SKY)]))["cat/a.jpg"] + ABOVE
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    disc = (x - 40) ** 2 + (y - 20) ** 2 <= (0.03 * WIDTH) ** 2
    np.testing.assert_array_equal(found, area(slice(10, 30), slice(10, 30)) + disc)


def test_brush_and_bitmask(root: Path) -> None:
    marked = np.random.default_rng(0).random((HEIGHT, WIDTH)) > 0.7
    brush = region(
        "brush", ["animal"], format="rle", rle=encode(rgba(255 * marked), (2, 3, 5, 12), [7, 99, 800])
    )
    found = rendered(write(root, [task(brush, SKY)]))["cat/a.jpg"]
    np.testing.assert_array_equal(found, marked - ABOVE)
    black = np.zeros((HEIGHT, WIDTH, 4), dtype=np.uint8)
    black[..., 3] = 255 * marked
    stored = io.BytesIO()
    Image.fromarray(black).save(stored, "PNG")
    address = "data:image/png;base64," + base64.b64encode(stored.getvalue()).decode()
    found = rendered(write(root, [task(region("bitmask", ["animal"], imageDataURL=address), SKY)]))[
        "cat/a.jpg"
    ]
    np.testing.assert_array_equal(found, marked - ABOVE)


def test_labels_that_have_a_result_of_their_own(root: Path) -> None:
    shape = {
        key: value for key, value in rectangle(5, 10, 10, 10)["value"].items() if key != "rectanglelabels"
    }
    plain = {**region("rectangle", **shape), "id": "one"}
    labels = {**region("labels", **shape, labels=["sky"]), "id": "one"}
    choice = {"type": "choices", "id": "one", "value": {"choices": ["animal"]}}
    relation = {"type": "relation", "from_id": "one", "to_id": "two"}
    config = write(root, [task(plain, choice, labels, relation)])
    np.testing.assert_array_equal(rendered(config)["cat/a.jpg"], -SQUARE)
    assert not scan(config).problems
    alone = write(root, [task(labels)])  # without the result of its shape
    np.testing.assert_array_equal(rendered(alone)["cat/a.jpg"], -SQUARE)
    unlabelled = DataConfig(data=root, annotations=root / "export.json", format="label-studio")
    write(root, [task(plain)])
    np.testing.assert_array_equal(rendered(unlabelled)["cat/a.jpg"], SQUARE)


def test_only_wanted_labels_count(root: Path) -> None:
    config = write(root, [task(rectangle(5, 10, 10, 10, "animal", "pet"), SKY)])
    np.testing.assert_array_equal(rendered(config)["cat/a.jpg"], SQUARE - ABOVE)
    file = config.annotations
    for wanted, expected in ((["pet"], SQUARE), (["sky"], ABOVE), (["animal", "sky"], SQUARE + ABOVE)):
        config = DataConfig(data=root, annotations=file, format="label-studio", positive_categories=wanted)
        np.testing.assert_array_equal(rendered(config)["cat/a.jpg"], expected)
    with pytest.raises(DataError, match="no category 'dog'; those there are: animal, pet, sky"):
        read_annotations(
            DataConfig(data=root, annotations=file, format="label-studio", positive_categories=["dog"])
        )


@pytest.mark.parametrize(
    ("image", "photo"),
    [
        ("/data/upload/1/0a1b2c3d-a.jpg", "cat/a.jpg"),
        ("/data/upload/1/0a1b2c3d-my_photo_1.jpg", "dog/my photo (1).jpg"),
        ("s3://bucket/all/cat/0.jpg", "cat/0.jpg"),
        ("https://example.org/dog/0.jpg?signature=ab%2Fcd", "dog/0.jpg"),
        ("/data/local-files/?d=photos/dog/my%20photo%20(1).jpg", "dog/my photo (1).jpg"),
        (r"C:\photos\images\dog\0.jpg", "dog/0.jpg"),
        ("a.png", "cat/a.jpg"),
    ],
)
def test_names_of_images(root: Path, image: str, photo: str) -> None:
    assert set(rendered(write(root, [task(SKY, image=image)]))) == {photo}


def test_an_upload_that_kept_its_name(root: Path) -> None:
    save_photo(root / "images" / "cat" / "0a1b2c3d-a.jpg", (WIDTH, HEIGHT))
    assert set(rendered(write(root, [task(SKY)]))) == {"cat/0a1b2c3d-a.jpg"}


def test_cancelled_and_superseded_annotations(root: Path) -> None:
    one = task(rectangle(5, 10, 10, 10), SKY, updated_at="2024-01-02")
    old = {**one["annotations"][0], "id": 5, "updated_at": "2024-01-01", "result": [rectangle(0, 0, 9, 9)]}
    cancelled = {**old, "id": 6, "updated_at": "2024-01-03", "was_cancelled": True}
    one["annotations"] += [old, cancelled]
    np.testing.assert_array_equal(rendered(write(root, [one]))["cat/a.jpg"], SQUARE - ABOVE)


@pytest.mark.parametrize(("combine", "value"), [("majority", 1), ("agreement", 2 / 3), ("mean", 2 / 3)])
def test_people_are_annotators(root: Path, combine: str, value: float) -> None:
    square = rectangle(5, 10, 10, 10)
    both = task(square, SKY)
    for number, person in enumerate(({"id": 2, "email": "ben@example.org"}, 3), start=20):
        results = [square] if number == 20 else [rectangle(0, 30, 5, 5)]
        both["annotations"].append({"id": number, "completed_by": person, "result": results})
    config = write(root, [both, task(square, image="cat/0.jpg", number=2)], combine=combine)
    found = rendered(config)
    assert found["cat/a.jpg"][15, 10] == pytest.approx(value)
    assert found["cat/a.jpg"][32, 2] == pytest.approx(1 / 3 if combine == "mean" else 0)
    assert found["cat/0.jpg"][15, 10] == 1
    report = check(config, progress=False)
    assert report.annotators == {"1": 2, "3": 1, "ben@example.org": 1}
    assert report.by_several == 1


def test_nobody_is_named(root: Path) -> None:
    tasks = [task(rectangle(5, 10, 10, 10), SKY), task(SKY, image="cat/0.jpg", number=2)]
    for one in tasks:
        del one["annotations"][0]["completed_by"]
    config = write(root, tasks)
    assert check(config, progress=False).annotators == {}
    np.testing.assert_array_equal(rendered(config)["cat/a.jpg"], SQUARE - ABOVE)
    tasks[0]["annotations"].append({"id": 9, "result": [SKY]})
    assert check(write(root, tasks), progress=False).by_several == 1


def test_json_min(root: Path) -> None:
    def flat(result: dict) -> dict:
        return {**result["value"], "original_width": WIDTH, "original_height": HEIGHT}

    rows = [
        {
            "image": "/data/upload/1/0a1b2c3d-a.jpg",
            "id": 1,
            "boxes": [flat(rectangle(5, 10, 10, 10)), flat(SKY)],
            "choice": "animal",
            "annotator": 1,
            "annotation_id": 1,
            "created_at": "2024-01-01",
        },
        {"image": "s3://x/dog/0.jpg", "id": 2, "annotator": 1, "annotation_id": 2, "lead_time": 1.5},
    ]
    config = write(root, rows)
    assert set(rendered(config)) == {"cat/a.jpg"}
    np.testing.assert_array_equal(rendered(config)["cat/a.jpg"], SQUARE - ABOVE)
    rows.append({**rows[0], "annotator": 2, "annotation_id": 3, "boxes": [flat(rectangle(5, 10, 10, 10))]})
    assert check(write(root, rows), progress=False).by_several == 1


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (rectangle(1, 1, 0, 5), "task 1, region 1: a box without area"),
        (rectangle(1, 1, 5, 5, x="a"), "a coordinate that is no number"),
        (rectangle(1, 1, 5, 5, rotation="a"), "no number: 'a'"),
        (region("rectangle", ["animal"], x=1, y=1), "no 'width'"),
        (region("polygon", ["animal"], points=[[1, 1], [2, 2]]), "a polygon of 2 points"),
        (region("polygon", ["animal"], points=[[1, 1], [2]]), "region 1: "),
        (region("polygon", ["animal"], points=7), "region 1: "),
        (region("ellipse", ["animal"], x=1, y=1, radiusX=0, radiusY=1), "an ellipse without area"),
        (region("keypoint", ["animal"], x=1e9, y=1), "far outside"),
        (region("brush", ["animal"], format="rle", rle=[1, 2]), "end too soon"),
        (region("brush", ["animal"], format="png"), "a brush of format 'png'"),
        (region("brush", ["animal"], format="rle"), "no 'rle'"),
        (region("bitmask", ["animal"], imageDataURL="?"), "a damaged mask"),
        (region("spline", ["animal"], x=1), "a region of type 'splinelabels', which is not known"),
        ({**rectangle(1, 1, 5, 5), "original_width": None}, "original_width None: write the size"),
        ({**rectangle(1, 1, 5, 5), "original_width": -1, "original_height": -1}, "original_width -1"),
        ({**rectangle(1, 1, 5, 5), "original_width": 10**9}, "original_width 1000000000"),
        ({**rectangle(1, 1, 5, 5), "original_width": WIDTH + 1}, "region 2: drawn at 50 x 40, others at 51"),
        ({**rectangle(1, 1, 5, 5), "image_rotation": 90}, "turned by 90 degrees"),
        ({**rectangle(1, 1, 5, 5), "item_index": 2}, "drawn on image 2 of a task of several"),
        ({**rectangle(1, 1, 5, 5), "value": 3}, "region 1: "),
        ("text", "region 1: not a region but str"),
    ],
)
def test_a_broken_region_is_left_out(root: Path, broken: dict, message: str) -> None:
    config = write(root, [task(broken, SKY)])
    assert message in remarks(config)
    if "others" not in message:
        np.testing.assert_array_equal(rendered(config)["cat/a.jpg"], -ABOVE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "broken json in line 1"),
        ("[1]", "not a Label Studio export"),
        ({"shapes": [], "imagePath": "a.jpg"}, "not a Label Studio export"),
        ({"images": [], "annotations": [], "categories": []}, "not a Label Studio export"),
        ([task(SKY, image="gone.jpg")], r"1 of 1 images are not in .* gone.jpg; the image of each task"),
        ([task(SKY, image="0.jpg")], "task 1: '0.jpg' can mean 2 images"),
        ([task(SKY), task(SKY, number=2)], "task 2: images/cat/a.jpg has another task already"),
        ([task(rectangle(0, 0, 5, 5))], "no category 'sky'; those there are: animal"),
        ([{**task(SKY), "data": {"text": "no image"}}], "which names no image file"),
    ],
)
def test_broken_exports(root: Path, content: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_annotations(write(root, content))


def test_other_tasks_are_passed_over(root: Path) -> None:
    several = task(SKY, number=2)
    several["data"] = {"left": "cat/0.jpg", "right": "dog/0.jpg"}
    waiting = {"id": 3, "data": {"image": "nowhere.jpg"}, "annotations": []}
    config = write(root, [task(SKY), several, waiting, task(SKY, image="gone.jpg", number=4)])
    assert set(rendered(config)) == {"cat/a.jpg"}
    assert "task 2: a task of 2 images: images/cat/0.jpg, images/dog/0.jpg" in remarks(config)
    assert "1 of 3 images are not in" in remarks(config)


def test_one_file_per_task(root: Path) -> None:
    (root / "annotations").mkdir()
    for number, image in ((1, "cat/0.jpg"), (2, "dog/0.jpg")):
        content = json.dumps(task(SKY, image=image, number=number))
        (root / "annotations" / f"{number}.json").write_text(content)
    config = DataConfig(data=root, format="label-studio")
    assert set(rendered(config)) == {"cat/0.jpg", "dog/0.jpg"}


def paths(value: object, before: tuple = ()) -> list[tuple]:
    """Where every part of a json value is."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [before, *(path for key, part in inner for path in paths(part, (*before, key)))]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "x"]), inner, max_size=2)
    ),
    max_leaves=3,
)


def test_true_is_no_size(root: Path) -> None:
    wrong = region("polygon", ["animal"], points=[[1, 1], [2, 2], [3, 1]]) | {"original_width": True}
    found = scan(write(root, [task(wrong)]))
    assert any("original_width True" in problem.what for problem in found.problems)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_part_that_is_something_else_is_a_traceback(root: Path, data: st.DataObject) -> None:
    brush = region("brush", ["animal"], format="rle", rle=encode(rgba(np.zeros((2, 2))), (2, 3, 5, 12), []))
    shapes = [SKY, brush, region("polygon", ["animal"], points=[[1, 1], [2, 2], [3, 1]])]
    content = json.loads(json.dumps([task(*shapes), task(SKY, image="cat/0.jpg", number=2)]))
    path = data.draw(st.sampled_from([path for path in paths(content) if path]))
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = data.draw(JUNK)
    with suppress(DataError):
        rendered(write(root, content))
