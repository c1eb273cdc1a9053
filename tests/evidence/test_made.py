"""Data sets that a grid makes of others' files."""

from pathlib import Path

import pytest
from PIL import Image

from lookright.errors import ConfigError, DataError
from lookright.evidence.made import check_recipe, make_sets


def test_a_grid_makes_scenes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACES", str(tmp_path / "places"))
    for number, place in enumerate(f"{s}/{c}" for s in ("train", "val", "test") for c in ("nature", "urban")):
        (tmp_path / "places" / place).mkdir(parents=True)
        Image.new("RGB", (12, 8), (number, 0, 0)).save(tmp_path / "places" / place / f"{number}.jpg")
    labels = tmp_path / "places" / "labels.csv"
    labels.write_text('img_idx,attention,img_check\n0,"[[1, 0]]",good\n')
    recipes = {"scenes": check_recipe("scenes", {"set": "scene", "from": "$PLACES"})}
    make_sets(recipes, tmp_path / "data")
    split = tmp_path / "data" / "scenes" / "split.csv"
    assert len(split.read_text().splitlines()) == 7
    labels.unlink()
    make_sets(recipes, tmp_path / "data")  # it is there


def test_digits_are_a_set_like_the_others(tmp_path: Path) -> None:
    few = {"per_class_train": 1, "per_class_val": 1, "per_class_test": 1}
    recipes = {"a": check_recipe("a", {"set": "digits", **few})}
    make_sets(recipes, tmp_path / "data")
    assert len((tmp_path / "data" / "a" / "split.csv").read_text().splitlines()) == 41
    with pytest.raises(ConfigError, match="prepare: c: there is no option 'from'"):
        check_recipe("c", {"set": "digits", "from": "photos"})
    with pytest.raises(ConfigError, match="prepare: a: patch: got 40"):
        make_sets({"a": {**recipes["a"], "patch": 40}}, tmp_path / "data")


def test_what_is_wrong_with_gender_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="prepare: g: there is no option 'persons'"):
        check_recipe("g", {"set": "gender", "persons": 2})
    recipe = check_recipe("g", {"set": "gender", "from": str(tmp_path), "people": 2, "year": "2017"})
    with pytest.raises(ConfigError, match="prepare: g: images: missing"):
        make_sets({"g": recipe}, tmp_path / "data")
    with pytest.raises(DataError, match="holds none of captions_train2017"):
        make_sets({"g": {**recipe, "images": str(tmp_path)}}, tmp_path / "data")
