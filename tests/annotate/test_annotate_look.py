import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from annotate_made import SIDE, Page, pixels, random_marks
from PIL import Image

from lookright.annotate.look import Looking, highest, open_looking
from lookright.annotate.open_project import open_project
from lookright.annotate.order import Prediction, spread, teaching_order
from lookright.annotate.project import Project
from lookright.annotate.ways import group
from lookright.audit.images import of_split
from lookright.audit.model import open_model
from lookright.config import TrainConfig
from lookright.data import Item
from lookright.engine.channels_last import place
from lookright.engine.train import train
from lookright.errors import DataError

MODEL = "annotate_made:sides"
# name -> brightness of the left and of the right half: what the model says is told by the brighter one
PHOTOS = {
    "left/0_right.png": (220, 40),
    "left/1_wrong.png": (40, 220),
    "left/2_unsure.png": (130, 131),
    "right/3_right.png": (40, 220),
    "right/4_wrong.png": (220, 40),
}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Photos of which the model gets some wrong."""
    for name, (left, right) in PHOTOS.items():
        file = tmp_path / "data/images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        photo = np.full((SIDE, 2 * SIDE, 3), left, dtype=np.uint8)
        photo[:, SIDE:] = right
        Image.fromarray(photo).save(file)
    found = open_project(tmp_path / "data", annotator="anna")
    yield found
    found.close()


@pytest.fixture
def looking(project: Project) -> Iterator[Looking]:
    """The model beside them; it has seen nothing yet."""
    model = open_model(MODEL, folders=project.images.classes, image_size=SIDE)
    place(model.classifier.network, "cpu")
    found = Looking(model, of_split(project.images, "all", model))
    yield found
    found.close()


@pytest.fixture
def seeing(project: Project, looking: Looking) -> Page:
    """The API with that model."""
    return Page(project, looking)


def test_predictions_come_in_the_background(seeing: Page, looking: Looking) -> None:
    assert seeing.get("session")["has_model"]
    assert {image["predicted"] for image in seeing.get("images")["images"]} == {None}
    assert sorted(seeing.order()) == list(range(5))
    assert not seeing.get("session")["predicting"]
    looking.start()
    while seeing.get("session")["predicting"]:
        pass
    told = seeing.get("images")["images"]
    assert [image["predicted"] for image in told] == ["left", "right", "right", "right", "left"]
    assert [image["right"] for image in told] == [True, False, False, True, False]
    assert all(0.5 <= image["probability"] <= 1 for image in told)
    assert seeing.get("session")["predicted"] == 5
    assert seeing.get("images/1")["predicted"] == "right"


def test_wrong_and_sure_ones_come_first_then_unsure_ones(seeing: Page, looking: Looking) -> None:
    looking.predict_all()
    order = seeing.order()
    assert set(order[:2]) == {1, 4}
    assert order[2] == 2
    assert set(order[3:]) == {0, 3}


def test_those_that_are_right_for_another_reason_than_the_marks_come_before_unsure_ones(
    project: Project, looking: Looking, tmp_path: Path
) -> None:
    left = np.zeros((SIDE, 2 * SIDE), np.uint8)
    left[:, :SIDE] = 255
    data = tmp_path / "again"
    shutil.copytree(project.images.root / "images", data / "images")
    for name in ("left/0_right", "right/3_right"):  # the model looks at the right side of the second one
        file = data / "masks" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(left).save(file)
    started = open_project(data, annotator="anna", out=tmp_path / "out")
    page = Page(started, looking)
    looking.start(started.marks_to_accept)
    assert looking._thread is not None
    looking._thread.join()
    assert list(looking.unreasonable) == [3]
    order = page.order()
    assert set(order[:2]) == {1, 4}
    assert order[2:] == [3, 2, 0]
    started.close()


def test_marks_that_somebody_has_accepted_or_that_cannot_be_read_are_not_compared(looking: Looking) -> None:
    def marks(index: int) -> None:
        if index == 1:
            raise DataError("damaged")

    looking.compare_all(marks)
    assert looking.unreasonable == {}


@pytest.mark.parametrize("index", [0, 1])
def test_the_map_lies_on_the_side_that_decides(seeing: Page, index: int) -> None:
    layer = pixels(seeing.content(f"images/{index}/map"))
    assert layer.shape == (SIDE, 2 * SIDE, 4)
    left, right = layer[:, :SIDE, 3].mean(), layer[:, SIDE:, 3].mean()
    assert (left > right) == (index == 0)
    assert seeing.get(f"images/{index}")["has_map"]
    assert seeing.get(f"images/{index}")["predicted"] == ("left", "right")[index]  # told with the map


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5])
def test_the_region_is_the_highest_share_of_the_map(seeing: Page, share: float) -> None:
    region = pixels(seeing.content("images/0/region", share=share))
    assert region.shape == (SIDE, 2 * SIDE)
    assert set(np.unique(region)) <= {0, 255}
    assert region[:, SIDE + SIDE // 2 :].max() == 0
    assert (region == 255).mean() >= 0.9 * share


def test_a_region_in_a_plain_map_is_of_the_share() -> None:
    values = np.random.default_rng(0).random((20, 30)).astype(np.float32)
    found = highest(values, (30, 20), 0.15)
    assert (found == 255).sum() == 90
    assert values[found == 255].min() > values[found == 0].max()
    assert highest(np.zeros((2, 2), np.float32), (4, 4), 0.5).max() == 0


@pytest.mark.parametrize("share", ["0", "0.51", "nan", "inf", "half", "-0.1", ""])
def test_shares_out_of_range_are_refused(seeing: Page, share: str) -> None:
    answer = seeing.http.get("/api/images/0/region", params={"share": share})
    assert answer.status_code == 400


def test_a_photo_that_cannot_be_read_has_no_prediction(
    seeing: Page, looking: Looking, project: Project
) -> None:
    project.items[2].path.write_bytes(b"no photo")
    looking.predict_all()
    assert sorted(looking.predictions) == [0, 1, 3, 4]
    assert seeing.http.get("/api/images/2/map").status_code == 404
    order = seeing.order()
    assert order[-1] == 2


def test_a_map_that_is_not_finite_is_said(seeing: Page, looking: Looking) -> None:
    with torch.no_grad():
        next(looking.model.classifier.network.parameters()).fill_(torch.nan)
    answer = seeing.http.get("/api/images/0/map")
    assert answer.status_code == 404
    assert "finite" in answer.json()["error"]
    looking.predict_all()
    assert looking.predictions == {}


def test_the_background_ends_when_it_is_told_to(looking: Looking) -> None:
    looking.close()
    looking.predict_all()
    assert looking.predictions == {}


def test_hooks_and_modes_are_left_as_they_were(seeing: Page, looking: Looking) -> None:
    network = looking.model.classifier.network
    before = [module.training for module in network.modules()]
    seeing.content("images/0/map")
    looking.predict_all()
    assert [module.training for module in network.modules()] == before
    assert all(not module._forward_hooks for module in network.modules())


def test_marks_are_as_before_with_a_model(seeing: Page) -> None:
    marks = random_marks((2 * SIDE, SIDE))
    assert seeing.put_marks(0, marks).status_code == 200
    assert np.array_equal(seeing.marks(0)[0], marks)


def test_classes_that_a_run_does_not_know_are_said(digits: Path, project: Project, tmp_path: Path) -> None:
    config = TrainConfig(
        data=digits,
        out=tmp_path / "run",
        backbone="small_cnn",
        weights="none",
        train="all",
        method="baseline",
        image_size=32,
        epochs=1,
    )
    train(config)
    with pytest.raises(DataError, match="the run knows the classes"):
        open_looking(str(tmp_path / "run"), project.images, device="cpu")
    own = open_project(digits, annotator="anna", out=tmp_path / "marks")
    found = open_looking(str(tmp_path / "run"), own.images, device="cpu")
    page = Page(own, found)
    assert pixels(page.content("images/0/map")).shape == (32, 32, 4)
    assert page.get("images/0")["predicted"] in own.images.classes
    found.close()
    own.close()


def items(labels: list[int]) -> list[Item]:
    return [Item(f"{i}.png", Path(f"{i}.png"), label, "train") for i, label in enumerate(labels)]


def test_the_order_holds_every_image_once_whatever_is_known() -> None:
    random = np.random.default_rng(0)
    photos = items(random.integers(-1, 4, 300).tolist())
    known = {
        int(index): Prediction(int(random.integers(4)), float(random.uniform(0.25, 1)))
        for index in random.choice(300, 200, replace=False)
    }
    order = teaching_order(photos, known, 4)
    assert sorted(order) == list(range(300))
    assert set(order[200:]) == set(range(300)) - known.keys()
    sure = [known[i].probability > 0.625 for i in order[:200]]
    wrong = [photos[i].label not in (-1, known[i].predicted) for i in order[:200]]
    tiers = [0 if s and w else 1 if not s else 2 for s, w in zip(sure, wrong, strict=True)]
    assert tiers == sorted(tiers)


def test_the_first_ones_are_of_every_class() -> None:
    photos = items([0] * 100 + [1] * 3)
    order = teaching_order(photos, {}, 2)
    assert [photos[index].label for index in order[:6]] in ([0, 1] * 3, [1, 0] * 3)
    assert order == teaching_order(photos, {}, 2)
    assert order != sorted(order)


def test_each_class_is_shown_in_every_way_of_looking() -> None:
    known = {index: Prediction(index // 6, 0.99 - index / 1000) for index in range(12)}
    ways = {0: 0, 1: 0, 2: 0, 3: 0, 4: 1, 5: 2}  # of the first class; the others have none
    wrong = items([1] * 6 + [0] * 6)
    assert teaching_order(wrong, known, 2) == [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]
    assert teaching_order(wrong, known, 2, ways=ways) == [0, 6, 4, 7, 5, 8, 1, 9, 2, 10, 3, 11]


@pytest.fixture
def two_ways(tmp_path: Path) -> Iterator[Looking]:
    """A model beside photos that are bright at the left, in the upper half or in the lower one."""
    for number in range(32):
        photo = np.full((SIDE, SIDE, 3), 40, dtype=np.uint8)
        half = slice(0, SIDE // 2) if number % 2 else slice(SIDE // 2, SIDE)
        photo[half, : SIDE // 2] = 150 + number
        for label in ("left", "right"):
            file = tmp_path / f"data/images/{label}/{number:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo if label == "left" else np.fliplr(photo)).save(file)
    project = open_project(tmp_path / "data", annotator="anna")
    found = open_looking(MODEL, project.images, device="cpu", image_size=SIDE)
    yield found
    found.close()
    project.close()


def test_photos_are_grouped_by_where_the_model_looks(two_ways: Looking) -> None:
    two_ways.explanation(3)  # asked for before
    two_ways.predict_all()
    assert len(two_ways.ways) == 64
    for start in (0, 32):
        ways = [two_ways.ways[index] for index in range(start, start + 32)]
        assert ways == ([0, 1] * 16 if ways[0] == 0 else [1, 0] * 16)
    order = teaching_order(two_ways.images.items, two_ways.predictions, 2, ways=two_ways.ways)
    shown = {(two_ways.predictions[index].predicted, two_ways.ways[index]) for index in order[:4]}
    assert len(shown) == 4


def test_maps_that_cost_much_wait_until_they_are_asked_for(project: Project) -> None:
    found = open_looking(
        MODEL, project.images, device="cpu", image_size=SIDE, explainer="integrated-gradients"
    )
    found.predict_all()
    assert len(found.predictions) == len(PHOTOS)
    assert found.ways == {}


def test_of_many_maps_some_make_the_groups_and_the_others_join_them() -> None:
    random = torch.Generator().manual_seed(0)
    corner = torch.randint(3, (400,), generator=random)
    maps = torch.rand(400, 6, 6, generator=random) / 10
    maps[torch.arange(400), 2 * corner, 2 * corner] += 5
    maps[-1] = 0
    found = group(maps, most=100)
    assert found.tolist()[-1] == -1
    for number in range(3):
        assert len(set(found[:-1][(corner[:-1] == number).numpy()].tolist())) == 1
    assert set(found[:-1].tolist()) == {0, 1, 2}
    assert (group(-maps, most=100) == -1).all()


def test_spread_keeps_the_order_within_a_group() -> None:
    assert spread("aabbbc", lambda letter: letter) == list("abcabb")
