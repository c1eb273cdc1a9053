"""Single photos: the same prediction and map as the evaluation's, as files that nothing overwrites."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookright.engine.images import explain_images, predictions_csv
from lookright.errors import CheckpointError, DataError
from lookright.report.explanations import write_explanation


@pytest.fixture
def photos(digits: Path) -> list[Path]:
    return sorted((digits / "images").glob("*/*.png"))[:3]


def test_equal_to_the_evaluation(finished: Path, digits: Path) -> None:
    with (finished / "evaluation" / "per_image.csv").open() as file:
        rows = list(csv.DictReader(file))[:3]
    with np.load(finished / "evaluation" / "explanations.npz") as file:
        maps = file["explanation"][:3]
    explained = list(explain_images(finished, [Path(row["file"]) for row in rows], device="cpu"))
    for ours, row, expected in zip(explained, rows, maps, strict=True):
        assert ours.predicted == row["predicted"]
        assert ours.probabilities[ours.predicted] == pytest.approx(float(row["probability"]), abs=1e-5)
        np.testing.assert_allclose(ours.explanation, expected, atol=1e-5)
        assert ours.photo.size == (32, 32)


def test_csv(finished: Path, photos: list[Path]) -> None:
    rows = list(csv.DictReader(io.StringIO(predictions_csv(list(explain_images(finished, photos))))))
    assert [row["file"] for row in rows] == [str(path) for path in photos]
    for row in rows:
        probabilities = {name: float(row[name]) for name in map(str, range(10))}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)
        assert row["predicted"] == max(probabilities, key=probabilities.__getitem__)


def test_csv_of_nothing_is_its_header() -> None:
    assert predictions_csv([]) == "file,predicted\n"


def test_overlay_and_map(finished: Path, photos: list[Path], tmp_path: Path) -> None:
    (explained,) = explain_images(finished, photos[:1])
    (picture,) = write_explanation(explained, tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        f"{photos[0].stem}.npy",
        f"{photos[0].stem}.png",
    ]
    assert Image.open(picture).mode == "RGB"
    array = np.load(picture.with_suffix(".npy"), allow_pickle=False)
    np.testing.assert_array_equal(array, explained.explanation)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_a_broken_photo(finished: Path, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.png"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.png"):
        list(explain_images(finished, [file]))


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a run folder"):
        list(explain_images(tmp_path, []))
