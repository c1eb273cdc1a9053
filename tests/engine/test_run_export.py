"""What `lookright export` writes works without lookright."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from lookright.engine.export import export_run
from lookright.engine.images import explain_images
from lookright.errors import CheckpointError, ConfigError
from lookright.models.small_cnn import SmallCNN


@pytest.fixture(scope="module")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export")
    written = export_run(finished, out)
    assert [file.name for file in written] == ["weights.safetensors", "network.json", "network.onnx"]
    assert sorted(out.iterdir()) == sorted(written)
    return out


def prepared(photo: Path, facts: dict[str, object]) -> np.ndarray:
    """As network.json tells a stranger to do it: PIL and NumPy alone."""
    side = facts["image_size"]
    pixels = Image.open(photo).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    scaled = (np.asarray(pixels, dtype=np.float32) / 255 - np.float32(facts["mean"])) / np.float32(
        facts["std"]
    )
    return scaled.transpose(2, 0, 1)[None]


def test_onnx_and_weights_predict_what_the_run_predicts(exported: Path, finished: Path, digits: Path) -> None:
    facts = json.loads((exported / "network.json").read_text())
    photos = sorted((digits / "images").glob("*/*.png"))[::20]
    plain = SmallCNN(len(facts["classes"]))
    plain.load_state_dict(load_file(exported / "weights.safetensors"))
    plain.eval()
    session = onnxruntime.InferenceSession(exported / "network.onnx")
    for explained in explain_images(finished, photos, device="cpu"):
        image = prepared(explained.path, facts)
        with torch.no_grad():
            by_torch = plain(torch.from_numpy(image)).softmax(1)[0].numpy()
        (logits,) = session.run(["logits"], {"image": image})
        by_onnx = np.exp(logits[0]) / np.exp(logits[0]).sum()
        ours = [explained.probabilities[name] for name in facts["classes"]]
        np.testing.assert_allclose(by_torch, ours, atol=1e-5)
        np.testing.assert_allclose(by_onnx, ours, atol=1e-4)


def test_facts(exported: Path) -> None:
    facts = json.loads((exported / "network.json").read_text())
    assert facts["backbone"] == "small_cnn"
    assert facts["classes"] == [str(digit) for digit in range(10)]
    assert facts["image_size"] == 32


def test_nothing_is_overwritten_unless_asked(finished: Path, tmp_path: Path) -> None:
    first = export_run(finished, tmp_path / "out", onnx=False)
    before = [file.read_bytes() for file in first]
    with pytest.raises(ConfigError, match=r"weights\.safetensors exists; choose another folder"):
        export_run(finished, tmp_path / "out", onnx=False)
    assert [file.read_bytes() for file in first] == before
    export_run(finished, tmp_path / "out", onnx=False, overwrite=True)


def test_an_existing_description_is_not_overwritten_either(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "network.json").write_text("mine")
    with pytest.raises(ConfigError, match=r"network\.json exists; choose another folder"):
        export_run(finished, tmp_path, onnx=False)
    assert [file.name for file in tmp_path.iterdir()] == ["network.json"]
    assert (tmp_path / "network.json").read_text() == "mine"


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a run folder"):
        export_run(tmp_path)


def test_nothing_is_written_where_onnx_cannot_be(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="onnx"):
        export_run(finished, tmp_path / "export")
    assert not list(tmp_path.rglob("*.*")), "a second try, with --no-onnx or the extra, is not in its own way"
