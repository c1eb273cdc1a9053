"""Features of a run: found by what is in a file, on disk where that works, in memory where it does not."""

import errno
import logging
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import assert_close_logs, tensors
from torch import nn

from lookright.config import TrainConfig
from lookright.data import ExplanationDataset, Item, collate
from lookright.engine import feature_file
from lookright.engine.evaluate import evaluate
from lookright.engine.feature_cache import FeatureCache
from lookright.engine.feature_key import digest_of_photo, feature_key
from lookright.engine.features import Features, FeatureStore
from lookright.engine.run_folder import RunFolder
from lookright.engine.train import train
from lookright.engine.trunk import FrozenTrunk
from lookright.errors import LookrightWarning

SIDE = 8


def photos(folder: Path, count: int, *, seed: int = 0) -> list[Item]:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    items = []
    for i in range(count):
        path = folder / f"{i}.png"
        Image.fromarray(random.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
        items.append(Item(path.name, path, 0, "train"))
    return items


def dataset(items: list[Item], *, flip: bool = True) -> ExplanationDataset:
    return ExplanationDataset(items, image_size=SIDE, mean=[0.5] * 3, std=[0.5] * 3, flip=flip)


class Counting(nn.Conv2d):
    """Says how many images it has seen."""

    seen = 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen += len(image)
        return super().forward(image)


def make_network() -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(Counting(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 2))
    network[0].requires_grad_(False)
    return network.eval()


def filled(store: FeatureStore, data: ExplanationDataset, **kwargs: int) -> tuple[FrozenTrunk, int]:
    """A trunk with the features of the data; and how many images were computed for that."""
    network = make_network()
    trunk = FrozenTrunk(network, ["2"], image_size=SIDE, store=store, **kwargs)
    network[0].seen = 0
    trunk.fill([data], "cpu", batch_size=4)
    return trunk, network[0].seen


def assert_serves(trunk: FrozenTrunk, data: ExplanationDataset) -> None:
    """It gives what the network gives, and does not run the frozen part for it."""
    network = trunk.network
    for mirrored in (False, True) if data.flip else (False,):
        batch = collate([data.sample(i, mirrored=mirrored) for i in range(len(data))])
        with torch.no_grad():
            expected = network(batch.image)
            network[0].seen = 0
            with trunk.serving(batch):
                served = network(batch.image)
        assert network[0].seen == 0
        torch.testing.assert_close(served, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_the_second_run_computes_only_what_it_tries_out(cache: Path, tmp_path: Path) -> None:
    data = dataset(photos(tmp_path / "a", 6))
    trunk, computed = filled(FeatureStore(cache), data)
    again, computed_again = filled(FeatureStore(cache), data)
    assert computed >= 12
    assert computed_again <= 3 * 4, "the four that are tried out"
    keys = [(f"{i}.png", mirrored) for i in range(6) for mirrored in (False, True)]
    assert torch.equal(again.features.gather(keys), trunk.features.gather(keys))
    for one in (trunk, again):
        assert len(one.features) == 12
        assert one.features.nbytes == 12 * 4 * 36 * 4
        assert_serves(one, data)


def test_what_counts_is_what_is_in_the_file(cache: Path, tmp_path: Path) -> None:
    filled(FeatureStore(cache), dataset(photos(tmp_path / "a", 6)))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "5.png").rename(tmp_path / "b" / "renamed.png")
    photos(tmp_path / "b", 1, seed=1)  # edits 0.png
    items = [Item(path.name, path, 0, "train") for path in sorted((tmp_path / "b").iterdir())]
    data = dataset(items)
    features = FeatureStore(cache).features(make_network(), ["0"], {"image size": SIDE})
    features.know((item.id, item.path) for item in items)
    assert features.missing([(item.id, mirrored) for item in items for mirrored in (False, True)]) == [
        ("0.png", False),
        ("0.png", True),
    ]
    assert_serves(filled(FeatureStore(cache), data)[0], data)


def test_a_photo_edited_in_place_is_another_one(tmp_path: Path) -> None:
    (item,) = photos(tmp_path, 1)
    before = digest_of_photo(item.path)
    assert digest_of_photo(item.path) == before
    photos(tmp_path, 1, seed=1)
    os.utime(item.path, (1, 1))
    assert digest_of_photo(item.path) != before


def test_the_same_id_in_two_folders_is_two_images_of_one_store(tmp_path: Path) -> None:
    store = FeatureStore()
    for seed, name in enumerate("ab"):
        data = dataset(photos(tmp_path / name, 3, seed=seed))
        assert_serves(filled(store, data)[0], data)


def test_stores_in_memory_share_within_the_process(tmp_path: Path) -> None:
    store, data = FeatureStore(), dataset(photos(tmp_path, 6))
    filled(store, data)
    assert filled(store, data)[1] <= 3 * 4


def _other_weights(network: nn.Sequential) -> None:
    network[0].weight.data[0, 0, 0, 0] += 1e-3


def _other_layer_between(network: nn.Sequential) -> None:
    network[1] = nn.GELU()


def _other_convolution(network: nn.Sequential) -> None:
    network[0].padding_mode = "reflect"


def _half(network: nn.Sequential) -> None:
    network[0].half()


@pytest.mark.parametrize("change", [_other_weights, _other_layer_between, _other_convolution, _half])
def test_what_features_depend_on_is_in_their_key(change: Callable[[nn.Sequential], None]) -> None:
    network = make_network()
    before = feature_key(network, ["0"], {"image size": 8})
    assert before == feature_key(make_network(), ["0"], {"image size": 8})
    assert before != feature_key(network, ["0"], {"image size": 16})
    assert before != feature_key(network, ["0"], {"image size": 8}, "cuda")
    change(network)
    assert before != feature_key(network, ["0"], {"image size": 8})


def test_what_learns_is_not_in_the_key() -> None:
    network = make_network()
    before = feature_key(network, ["0"], {})
    network[2].weight.data.zero_()
    network[4] = nn.Linear(64, 7)
    assert before == feature_key(network, ["0"], {})


def test_the_code_of_the_network_is_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "net_of_mine.py"
    file.write_text("import torch\nclass Net(torch.nn.Conv2d):\n    pass\n")
    import net_of_mine

    network = nn.Sequential(net_of_mine.Net(3, 4, 3)).requires_grad_(False)
    before = feature_key(network, ["0"], {})
    file.write_text(file.read_text() + "# changed\n")
    assert before != feature_key(network, ["0"], {})


def test_features_of_other_code_go(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library changed what the frozen part gives, and nothing in the key tells."""
    data = dataset(photos(tmp_path / "a", 6))
    filled(FeatureStore(cache), data)
    forward = Counting.forward
    monkeypatch.setattr(Counting, "forward", lambda self, image: forward(self, image) * 1.5)
    with pytest.warns(LookrightWarning, match="does not hold what the network gives now"):
        trunk, computed = filled(FeatureStore(cache), data)
    assert computed >= 12
    assert_serves(trunk, data)
    assert filled(FeatureStore(cache), data)[1] <= 3 * 4


# What can be wrong with a disk


def runs_in_memory(cache: Path, data: ExplanationDataset, told: str) -> None:
    """One warning, and the run is right."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        trunk, _ = filled(FeatureStore(cache), data)
        assert_serves(trunk, data)
    messages = [str(w.message) for w in said if issubclass(w.category, LookrightWarning)]
    assert len(messages) == 1
    assert messages[0].startswith("cache: ")
    assert told in messages[0]
    assert not trunk.features.on_disk
    assert len(trunk.features) == 2 * len(data)


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5])
def test_a_full_disk(after: int, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first write or any later one; half of what was to be written is."""
    data, write, calls = dataset(photos(tmp_path / "a", 6)), feature_file._write_at, []

    def full(path: Path, start: int, content: bytes) -> None:
        calls.append(path)
        if len(calls) > after:
            write(path, start, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, start, content)

    with monkeypatch.context() as patch:
        patch.setattr(feature_file, "_write_at", full)
        runs_in_memory(cache, data, "No space left on device")
    trunk, _ = filled(FeatureStore(cache), data)  # there is room again: what was written is used
    assert trunk.features.on_disk
    assert_serves(trunk, data)


def test_a_full_disk_and_too_little_memory(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, write, calls = dataset(photos(tmp_path / "a", 6)), feature_file._write_at, []

    def full(path: Path, start: int, content: bytes) -> None:
        calls.append(path)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, start, content)

    monkeypatch.setattr(feature_file, "_write_at", full)
    with pytest.warns(LookrightWarning, match="No space left"):
        trunk, _ = filled(FeatureStore(cache), data, limit_bytes=1000)
    assert len(trunk.features) == 0


def test_a_folder_that_is_none(cache: Path, tmp_path: Path) -> None:
    cache.write_text("a file")
    runs_in_memory(cache, dataset(photos(tmp_path / "a", 3)), "cannot be used")


def test_a_folder_without_permission(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = Path.mkdir

    def refused(self: Path, *args: object, **kwargs: object) -> None:  # as root, modes refuse nothing
        if cache in (self, *self.parents):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        mkdir(self, *args, **kwargs)

    data = dataset(photos(tmp_path / "a", 3))
    monkeypatch.setattr(Path, "mkdir", refused)
    runs_in_memory(cache, data, "Permission denied")


def test_a_folder_that_was_made_read_only(cache: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    cache.mkdir(mode=0o500)
    runs_in_memory(cache, dataset(photos(tmp_path / "a", 3)), "Permission denied")


def test_another_version(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset(photos(tmp_path / "a", 3))
    with monkeypatch.context() as patch:
        patch.setattr(feature_file, "VERSION", 99)
        filled(FeatureStore(cache), data)
    runs_in_memory(cache, data, "another version of lookright (format 99")


def test_a_damaged_file(cache: Path, tmp_path: Path) -> None:
    data = dataset(photos(tmp_path / "a", 3))
    filled(FeatureStore(cache), data)
    (entry,) = FeatureCache(cache).entries()
    (entry.folder / "index").write_bytes(b"nothing of ours")
    runs_in_memory(cache, data, "is damaged")


def test_damaged_rows_are_computed_again(cache: Path, tmp_path: Path) -> None:
    data = dataset(photos(tmp_path / "a", 6))
    filled(FeatureStore(cache), data)
    (entry,) = FeatureCache(cache).entries()
    rows = bytearray((entry.folder / "rows").read_bytes())
    rows[100] ^= 255
    rows[-100] ^= 255
    (entry.folder / "rows").write_bytes(rows)
    with pytest.warns(LookrightWarning, match="damaged in places") as said:
        trunk, _ = filled(FeatureStore(cache), data)
    assert len(said) == 1
    assert trunk.features.on_disk
    assert_serves(trunk, data)
    assert_serves(filled(FeatureStore(cache), data)[0], data)  # without a warning


def test_what_does_not_fit_is_kept_in_memory(cache: Path, tmp_path: Path) -> None:
    data, size = dataset(photos(tmp_path / "a", 6)), 12 * 4 * 36 * 4
    for disk, memory, told, kept in (
        (2 * size, 0, None, 12),
        (size // 2, size, "do not fit into", 12),
        (size // 2, size - 1, "do not fit into", 0),
    ):
        folder = cache / str((disk, memory))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            trunk, _ = filled(FeatureStore(folder, disk), data, limit_bytes=memory)
        assert len(trunk.features) == kept
        assert trunk.features.on_disk is (told is None)
        assert [told in str(w.message) for w in said if w.category is LookrightWarning] == [True] * bool(told)


def test_a_cache_deleted_under_a_run_does_it_no_harm(cache: Path, tmp_path: Path) -> None:
    data = dataset(photos(tmp_path / "a", 3))
    for _ in range(2):  # written, and found
        trunk, _ = filled(FeatureStore(cache), data)
        assert trunk.features.on_disk
        again, _ = filled(FeatureStore(cache), data)
        shutil.rmtree(cache)
        assert_serves(trunk, data)
        assert_serves(again, data)


def test_memory_of_another_device_is_filled_once(cache: Path, tmp_path: Path) -> None:
    """On a GPU features are taken from the disk to its memory; 'meta' stands for one here."""
    items = photos(tmp_path / "a", 3)
    keys = [(item.id, False) for item in items]
    features = FeatureStore(cache).features(make_network(), ["0"], {})
    features.know((item.id, item.path) for item in items)
    features.add(keys, torch.rand(3, 4))
    features._device = torch.device("meta")
    assert features.gather(keys[1:]).device.type == "meta"
    assert not features.on_disk
    assert features.gather(keys).shape == (3, 4)


# Whole runs


def test_a_run_that_finds_all_on_disk_is_the_same_to_the_bit(
    options: Callable[..., TrainConfig], cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="lookright")
    runs = [
        train(options(out=tmp_path / name, method="res-l", train="last-stage", flip=True, **changes))
        for name, changes in (
            ("first", {"cache_dir": cache}),
            ("second", {"cache_dir": cache}),
            ("memory", {"cache_gb": 0.0}),
            ("uncached", {"cache_features": False}),
        )
    ]
    told = [record.getMessage() for record in caplog.records if "from the cache" in record.getMessage()]
    assert told == ["features: 0 of 100 images from the cache", "features: 100 of 100 images from the cache"]
    for name, tensor in tensors(runs[0]).items():
        assert torch.equal(tensor, tensors(runs[1])[name]), name
    assert_close_logs(*runs[:2])
    for run in runs[2:]:
        assert_close_logs(runs[0], run)


def test_an_evaluation_finds_what_the_one_before_computed(
    options: Callable[..., TrainConfig], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="lookright")
    run = train(options(train="head", cache_dir=cache))
    caplog.clear()
    figures = []
    for _ in range(2):
        folder = evaluate(run.path, device="cpu", progress=False)
        figures.append((folder / "per_image.csv").read_text())
    assert figures[0] == figures[1]
    assert [record.getMessage() for record in caplog.records] == [
        "features: 0 of 20 images from the cache",
        "features: 20 of 20 images from the cache",
    ]


def test_a_run_goes_on_with_another_cache(options: Callable[..., TrainConfig], tmp_path: Path) -> None:
    config = options(train="head", epochs=1)
    train(config)
    changed = replace(config, cache_dir=tmp_path / "elsewhere", cache_gb=1.0, resume=True)
    RunFolder(changed.out).create(changed)


def test_a_store_of_no_options() -> None:
    assert FeatureStore.of(TrainConfig(cache_features=False)) is None
    assert isinstance(FeatureStore.of(TrainConfig(cache_gb=0)), FeatureStore)


def test_features_need_no_files() -> None:
    features = Features()
    assert features.add([("a", False), ("b", True)], torch.tensor([[1.0], [2.0]]))
    assert features.missing([("a", True), ("b", True)]) == [("a", True)]
    assert features.gather([("b", True)]).item() == 2.0
    features.clear()
    assert len(features) == 0
