"""One side decodes in every epoch, the other in the first."""

from pathlib import Path

import pytest
import torch

from lookright.bench.evaluation import write_photos
from lookright.bench.loading import loading_figures, loading_rate, make_dataset
from lookright.bench.settings import QUICK


@pytest.mark.parametrize(("cache_bytes", "decoded"), [(0, 6), (1 << 20, 3)])
def test_decodes_once_or_always(
    cache_bytes: int, decoded: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lookright.data import dataset as module

    own, opened = module.open_picture, []
    monkeypatch.setattr(module, "open_picture", lambda path: opened.append(path) or own(path))
    dataset = make_dataset(
        write_photos(tmp_path, count=3, image_size=64), image_size=32, cache_bytes=cache_bytes
    )
    rate = loading_rate(dataset, batch_size=2)
    assert rate() > 0
    assert rate() > 0
    assert len(opened) == decoded


def test_figures() -> None:
    figures = list(loading_figures(QUICK, torch.device("cpu")))
    assert [figure.over for figure in figures] == [("from memory", "plain step"), ("decoding", "plain step")]
    assert [figure.target is None for figure in figures] == [False, True]
