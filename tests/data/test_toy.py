import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookright.config import DataConfig
from lookright.data import Decoy, check, read_annotations, write_decoy_digits
from lookright.errors import ConfigError, DataError

SMALL = {"per_class_train": 5, "per_class_val": 2, "per_class_test": 6}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_decoy_digits(tmp_path_factory.mktemp("toy") / "digits", **SMALL)


def patch_level(path: Path) -> int:
    """Grey level under the negative marks, which have to be a corner of 4 x 4."""
    image = np.asarray(Image.open(path))
    patch = np.asarray(Image.open(str(path).replace("/images/", "/negatives/")))
    assert patch.sum() == 16
    assert patch[[0, 0, -1, -1], [0, -1, 0, -1]].sum() == 1
    assert len(np.unique(image[patch])) == 1
    return int(image[patch][0])


def test_layout_is_one_that_we_read_without_problem(digits: Path) -> None:
    report = check(DataConfig(data=digits), progress=False)
    assert report.problems == ()
    assert report.sizes == {(32, 32): 190}
    counts = Counter(item.split for item in read_annotations(DataConfig(data=digits)).items)
    assert counts == {"train": 50, "val": 20, "test": 60, "test_decoy": 60}


def test_patch_tells_the_class_except_in_test(digits: Path) -> None:
    told: dict[str, list[bool]] = {}
    with (digits / "split.csv").open() as table:
        for row in csv.DictReader(table):
            aligned = patch_level(digits / row["file"]) == 255 - 20 * int(row["class"])
            assert row["group"] == ("aligned" if aligned else "conflicting")
            told.setdefault(row["split"], []).append(aligned)
    assert all(told["train"] + told["val"] + told["test_decoy"])
    assert 0 < np.mean(told["test"]) < 0.3


def test_test_and_test_decoy_show_the_same_digits(digits: Path) -> None:
    for decoy in digits.glob("images/*/*_decoy.png"):
        plain = decoy.with_name(decoy.name.replace("_decoy", ""))
        one, other = np.asarray(Image.open(plain)), np.asarray(Image.open(decoy))
        np.testing.assert_array_equal(one[4:-4, 4:-4], other[4:-4, 4:-4])


def test_digit_is_marked_and_brighter_than_its_surroundings(digits: Path) -> None:
    for mask in sorted(digits.glob("masks/*/*.png"))[:20]:
        marked = np.asarray(Image.open(mask))
        patch = np.asarray(Image.open(str(mask).replace("/masks/", "/negatives/")))
        image = np.asarray(Image.open(str(mask).replace("/masks/", "/images/")))
        assert not (marked & patch).any()
        assert image[marked].min() > image[~marked & ~patch].max() - 1


def test_same_seed_same_files(digits: Path, tmp_path: Path) -> None:
    again, other = (write_decoy_digits(tmp_path / str(seed), seed=seed, **SMALL) for seed in (0, 1))
    files = [file.relative_to(digits) for file in digits.rglob("*") if file.is_file()]
    assert all((again / file).read_bytes() == (digits / file).read_bytes() for file in files)
    assert (other / "split.csv").read_text() != (digits / "split.csv").read_text()


def test_strength_of_the_shortcut(tmp_path: Path) -> None:
    few = {"per_class_train": 1, "per_class_val": 1, "per_class_test": 1}
    folder = write_decoy_digits(tmp_path / "d", decoy=Decoy(patch=7, contrast=0.25, noise=5), **few)
    file = next(folder.glob("images/0/*.png"))
    patch = np.asarray(Image.open(str(file).replace("/images/", "/negatives/")))
    image = np.asarray(Image.open(file))
    assert patch.sum() == 49
    assert image[~patch].max() < 32 + 0.25 * 223 + 25
    assert image[~patch].std() > 4


def test_only_its_own_folder_is_overwritten(tmp_path: Path) -> None:
    few = {"per_class_train": 1, "per_class_val": 1, "per_class_test": 1}
    out = tmp_path / "new" / "digits"
    write_decoy_digits(out, **few)
    write_decoy_digits(out, seed=1, **few)
    assert sorted(path.name for path in out.parent.iterdir()) == ["digits"]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("x")
    with pytest.raises(DataError, match="holds something else"):
        write_decoy_digits(mine, **few)
    assert (mine / "thesis.txt").read_text() == "x"


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"per_class_train": 1, "per_class_val": 1, "per_class_test": 1}
    out = write_decoy_digits(tmp_path / "digits", **few)
    before = (out / "split.csv").read_text()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DataError, match="No space left"):
        write_decoy_digits(out, seed=1, **few)
    assert (out / "split.csv").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


@pytest.mark.parametrize("options", [{"patch": 0}, {"contrast": 0.0}, {"noise": -1.0}], ids=str)
def test_decoy_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="got"):
        Decoy(**options)


def test_more_digits_than_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at most 174 together"):
        write_decoy_digits(tmp_path / "d", per_class_train=150, per_class_val=20, per_class_test=20)
