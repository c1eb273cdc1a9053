"""`lookright data prepare` as typed: data sets of others' files, and what newcomers get wrong."""

from pathlib import Path

import numpy as np
import pytest
from commands_typed import Type, is_one_line
from PIL import Image


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """RES's scene folder."""
    root = tmp_path / "places"
    for number, place in enumerate(f"{s}/{c}" for s in ("train", "val", "test") for c in ("nature", "urban")):
        (root / place).mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / place / f"{number}.jpg")
    (root / "attention_label").mkdir()
    (root / "attention_label" / "factual.csv").write_text('img_idx,attention,img_check\n0,"[[1, 0]]",good\n')
    return root


def test_scenes_are_prepared_checked_and_told(typed: Type, places: Path, tmp_path: Path) -> None:
    outcome = typed("data", "prepare", "scene", "--from", places, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert f"{tmp_path / 'out'}: 6 images, 1 of them annotated. Next: lookright check" in outcome.out
    assert typed("check", tmp_path / "out").code == 0


def test_the_help_lists_every_data_set(typed: Type) -> None:
    told = " ".join(typed("data", "prepare", "--help").out.split())
    assert "gender take photos of COCO whose captions name a man or a woman" in told
    assert "scene take nature and urban scenes of Places365" in told


MISTAKES = {
    "no json": ("gender --images {empty} --out {new}", "from: missing; give the folder of COCO's json files"),
    "no photos": ("gender --from {empty} --out {new}", "images: missing; give the folder of COCO's photos"),
    "empty folder": (
        "gender --from {empty} --images {empty} --out {new}",
        "holds none of captions_train2014.json",
    ),
    "no such year": ("gender --from {empty} --year 2015", "year: got 2015, choose one of '2014', '2017'"),
    "no number": ("gender --from {empty} --people many", "people: got many, need a whole number"),
    "an option of another set": ("gender --from {empty} --nature x", "unknown option --nature"),
    "no scenes": ("scene --out {new}", "from: missing; give RES's folder with attention_label/ in it"),
    "no labels": ("scene --from {empty} --out {new}", "no csv file there, nor in attention_label/"),
    "download where to": ("scene --from {places} --out {new} --download", "images: missing; name the folder"),
    "no such data set": ("scenes", "invalid choice: 'scenes'"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(case: str, typed: Type, places: Path, tmp_path: Path) -> None:
    command, message = MISTAKES[case]
    (tmp_path / "empty").mkdir()
    folders = {"empty": tmp_path / "empty", "places": places, "new": tmp_path / "new"}
    outcome = typed("data", "prepare", *(word.format(**folders) for word in command.split()))
    assert outcome.code == 2
    assert is_one_line(outcome.err), outcome.err
    assert message in outcome.err
    assert not (tmp_path / "new").exists()


def test_without_a_network_one_line_says_what_to_do(
    typed: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody is there
    json, images = tmp_path / "json", tmp_path / "photos"
    command = ("--from", json, "--images", images, "--out", tmp_path / "out", "--download")
    outcome = typed("data", "prepare", "gender", *command)
    assert outcome.code == 2
    assert is_one_line(outcome.err)
    for part in ("annotations_trainval2014.zip", "253 MB", "md5 0a379c", "by hand", f"put it into {json}"):
        assert part in outcome.err
