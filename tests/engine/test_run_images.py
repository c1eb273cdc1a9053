"""What a trained run needs to look at images again."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lookright.data import read_annotations
from lookright.engine.features import FeatureStore
from lookright.engine.run_images import cell_evidence, images_of, matching, pick_device, stored_trunk
from lookright.engine.trained_run import open_run
from lookright.errors import ConfigError, DataError
from lookright.types import Task


def test_classes_in_another_order_are_matched_by_name(finished: Path) -> None:
    run = open_run(finished)
    known = read_annotations(run.config)
    turned = replace(
        known,
        classes=tuple(reversed(known.classes)),
        items=tuple(replace(item, label=9 - item.label) for item in known.items),
    )
    assert matching(turned, run).items == known.items
    assert matching(turned, run).classes == run.classes


def test_a_class_that_the_run_does_not_know(finished: Path) -> None:
    run = open_run(finished)
    known = read_annotations(run.config)
    other = replace(known, classes=(*known.classes[:-1], "cat"))
    with pytest.raises(DataError, match=r"the run knows the classes .*, not cat; name the class"):
        matching(other, run)


def test_images_are_those_of_the_split(finished: Path) -> None:
    run = open_run(finished)
    found, images = images_of(run, "test", run.config)
    assert {item.split for item in found.items} == {"test"}
    assert len(images) == len(found.items) == 20


def test_features_are_kept_where_the_run_says(finished: Path) -> None:
    run = open_run(finished)
    _, images = images_of(run, "test", run.config)
    frozen = replace(run, config=replace(run.config, train="last-stage"))
    trunk = stored_trunk(frozen, [run.explainer], images, FeatureStore())
    assert trunk is not None
    assert trunk.serves(images)
    nowhere = replace(run, config=replace(run.config, cache_features=False))
    assert stored_trunk(nowhere, [run.explainer], images) is None


def test_cells_of_one_class_per_image_are_told(finished: Path) -> None:
    run = open_run(finished)
    assert cell_evidence(run) is not None
    assert cell_evidence(replace(run, output=replace(run.output, task=Task.MULTI_LABEL))) is None


def test_no_such_device() -> None:
    with pytest.raises(ConfigError, match="device: 'abacus' is not available here"):
        pick_device("abacus")


def test_the_best_device_there_is() -> None:
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        assert pick_device("auto").type == "cpu"
    assert pick_device("cpu").type == "cpu"
