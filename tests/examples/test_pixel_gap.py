"""The gap between cells and pixels, on networks where it is known."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from lookright.config import TrainConfig
from lookright.engine.run_images import cell_evidence
from lookright.engine.train import train
from lookright.engine.trained_run import open_run

Example = Callable[[str], ModuleType]


def trained(digits: Path, out: Path, backbone: str, seed: int = 0) -> Path:
    config = TrainConfig(
        data=digits,
        out=out,
        method="baseline",
        backbone=backbone,
        weights="none",
        train="all",
        image_size=32,
        epochs=2,
        batch_size=20,
        lr=1e-2,
        seed=seed,
        accelerator="cpu",
    )
    train(config)
    return out


@pytest.fixture(scope="module")
def patches(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(digits, tmp_path_factory.mktemp("runs") / "patches", "patch_network:patches")


@pytest.mark.parametrize("factor", [0.0, 0.4])
def test_without_overlap_scaled_pixels_are_scaled_cells(
    factor: float, patches: Path, example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where cells do not overlap and features scale with the patch, what happens is what is proved."""
    module = example("pixel_gap")
    monkeypatch.setattr(module, "REPLACEMENTS", {"scaled": lambda image: image * factor})
    # The whole patch is to be scaled, so every pixel of a cell outside counts as background.
    monkeypatch.setattr(
        module, "background", lambda annotation: torch.ones_like(annotation, dtype=torch.bool)
    )
    run = open_run(patches)
    cells = cell_evidence(run)
    assert cells is not None
    found = module.compare(run, cells, "test", 100)["scaled"]
    assert len(found.change) == 20
    assert found.change.abs().max() > 1e-3
    torch.testing.assert_close(found.inside, torch.zeros(20), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        found.change, (1 - factor) * (found.negative - found.positive), atol=1e-5, rtol=0
    )
    assert found.kept[found.certified].all()
    beyond, outside_beyond, changed = (found.figures()[i] for i in (5, 6, 8))
    assert beyond == outside_beyond == 0
    assert changed in (0.0, pytest.approx(float("nan"), nan_ok=True))


def test_where_cells_overlap_the_inside_changes_too(digits: Path, tmp_path: Path, example: Example) -> None:
    module = example("pixel_gap")
    run = open_run(trained(digits, tmp_path / "run", "small_cnn"))
    cells = cell_evidence(run)
    assert cells is not None
    for found in module.compare(run, cells, "test", 100).values():
        assert (found.inside.abs() > 1e-5).any()
        change, _, beside, inside, outside = found.figures()[:5]
        assert 0 < beside < 100
        assert change <= inside + outside + 1e-6


def test_the_limit_spreads_over_the_split(patches: Path, example: Example) -> None:
    run = open_run(patches)
    cells = cell_evidence(run)
    for limit, count in ((100, 20), (10, 10), (7, 6), (1, 1)):
        found = example("pixel_gap").compare(run, cells, "test", limit)
        assert {len(compared.change) for compared in found.values()} == {count}


def test_the_command_puts_seeds_together(
    patches: Path, digits: Path, run: Callable[..., None], tmp_path: Path
) -> None:
    other = trained(digits, tmp_path / "other", "patch_network:patches", seed=1)
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- pixel gap: begin --><!-- pixel gap: end -->below", encoding="utf-8")
    run("pixel_gap", patches, other, "--page", page)
    text = page.read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert [row[1:3] for row in rows[2:]] == [["baseline", "blur"], ["baseline", "mean colour"]]
    assert all(len(row) == 13 for row in rows)
    assert all("±" in row[4] for row in rows[2:])
    assert text.startswith("above\n<!--")
    assert text.endswith("-->below")


def test_a_folder_that_is_no_run_is_said(
    run: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run("pixel_gap", tmp_path)
    assert str(tmp_path) in capsys.readouterr().err
