import importlib.util
import pathlib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lookright.errors import ConfigError, DataError
from lookright.models import SmallCNN, create, export_onnx, export_state_dict


def test_state_dict_loads_without_us(tmp_path: pathlib.Path) -> None:
    timm = pytest.importorskip("timm")
    network = create("mobilenetv3_small_050", num_classes=3, image_size=32).network
    path = export_state_dict(network, tmp_path / "weights.safetensors")
    plain = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=3)
    plain.load_state_dict(load_file(path))
    assert all(torch.equal(v, plain.state_dict()[name]) for name, v in network.state_dict().items())
    assert [file.name for file in tmp_path.iterdir()] == ["weights.safetensors"]


def test_shared_weights_are_written_too(tmp_path: pathlib.Path) -> None:
    shared = nn.Linear(4, 4)
    path = export_state_dict(nn.Sequential(shared, shared), tmp_path / "w.safetensors")
    assert set(load_file(path)) == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_existing_file_is_kept(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "w"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        export_state_dict(SmallCNN(2), path)
    with pytest.raises(ConfigError, match="exists already"):
        export_onnx(SmallCNN(2), 32, path)
    assert path.read_text() == "mine"
    export_state_dict(SmallCNN(2), path, overwrite=True)
    assert "head.bias" in load_file(path)


def test_full_disk_leaves_nothing(tmp_path: pathlib.Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(DataError, match=r"cannot be written .*make room"):
            export_state_dict(SmallCNN(2), tmp_path / "w")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("backbone", ["small_cnn"])
def test_onnx_equals_torch_for_any_batch(tmp_path: pathlib.Path, backbone: str) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    import onnxruntime

    torch.manual_seed(0)
    classifier = create(backbone, num_classes=3, image_size=32)
    network = classifier.network.train()
    network(torch.randn(8, 3, 32, 32))  # statistics that matter
    path = export_onnx(network, 32, tmp_path / "net.onnx", classifier.mean, classifier.std)
    assert network.training
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    network.eval()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (classifier.mean, classifier.std))
    for batch in (1, 2, 5):
        image = torch.rand(batch, 3, 32, 32)
        (logits,) = session.run(["logits"], {"image": image.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(logits, network((image - mean) / std).numpy(), atol=1e-4)


def test_onnx_without_the_extra(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name)
    )
    with pytest.raises(ConfigError, match=r"onnxscript: pip install 'lookright\[onnx\]'"):
        export_onnx(SmallCNN(2), 32, tmp_path / "net.onnx")


def test_network_that_onnx_cannot_hold(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("onnxscript")

    class Undecided(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image.mean((2, 3)) if image.sum().item() > 0 else image.amax((2, 3))

    network = Undecided()
    with pytest.raises(ConfigError, match="cannot be exported to ONNX"):
        export_onnx(network, 8, tmp_path / "net.onnx")
    assert network.training
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="mean and std: give both"):
        export_onnx(network, 8, tmp_path / "net.onnx", mean=(0.5, 0.5, 0.5))
