"""The table is means and paired differences; a run is annotated where its order says, and nowhere else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from lookright.config import TrainConfig
from lookright.data import write_decoy_digits
from lookright.engine.run_data import choose, read_data

Example = Callable[[str], ModuleType]


def test_differences_are_paired_by_seed(example: Example) -> None:
    generator = np.random.default_rng(0)
    random, page = generator.uniform(0.6, 0.8, (2, 10))
    rows = [{"set": "people", "seed": "0", "order": "plain", "budget": "0", "accuracy": "0.5"}]
    for order, values in (("at random", random), ("as the page", page), ("by clusters", random)):
        for seed, value in enumerate(values):
            rows.append(
                {
                    "set": "people",
                    "seed": str(seed),
                    "order": order,
                    "budget": "6",
                    "accuracy": str(value),
                }
            )
    line = example("annotation_order").table(rows).splitlines()[2]
    interval = stats.ttest_rel(page, random).confidence_interval()
    mean = (page - random).mean()
    assert line == (
        f"| people | 6 | accuracy | 0.500 | {random.mean():.3f} | {page.mean():.3f} "
        f"| {mean:+.3f} ({interval.low:+.3f} to {interval.high:+.3f}) "
        f"| {random.mean():.3f} | +0.000 (+0.000 to +0.000) |"
    )


def test_one_seed_from_plain_training_to_rows(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotation_order = example("annotation_order")
    data = write_decoy_digits(tmp_path / "data", per_class_train=4, per_class_val=2, per_class_test=2)
    options = TrainConfig(
        backbone="small_cnn", weights="none", train="all", image_size=32, epochs=1, train_per_class=3
    )
    monkeypatch.setattr(annotation_order, "OPTIONS", options)
    rows = annotation_order.run("digits", data, tmp_path / "out", seed=1, budgets=(4,))
    assert [(row["order"], row["budget"]) for row in rows] == [
        ("plain", "0"),
        ("at random", "4"),
        ("as the page", "4"),
        ("by clusters", "4"),
    ]
    assert all(0 <= float(row["accuracy"]) <= 1 for row in rows)
    pool = choose(read_data(replace(options, data=data, seed=1)), replace(options, seed=1)).split("train")
    names = {Path(item.id).with_suffix("").name for item in pool.items}
    for order in annotation_order.ORDERS:
        folder = tmp_path / "out" / "runs" / "digits-1" / f"marks-{order.replace(' ', '_')}-4" / "masks"
        masks = {file.stem for file in folder.rglob("*.png")}
        assert len(masks & names) == 4
        assert all(Image.open(file).size == (32, 32) for file in folder.rglob("*.png"))
    assert annotation_order.run("digits", data, tmp_path / "out", seed=1) == rows, "read, not run again"
