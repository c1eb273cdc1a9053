"""Every method that examples/all_methods.py trains has a loss to measure, or is known to have none."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from lookright.config import TrainConfig
from lookright.losses import build_objective, parse_method


def test_a_method_has_a_loss_or_is_not_measured(example: Callable[[str], ModuleType]) -> None:
    script = example("all_methods")
    for method in {*script.PUBLISHED, *script.photos(Path("photos"))[1], *script.NO_MEASURE}:
        config = TrainConfig(method=method)
        parse_method(config)
        objective = build_objective(config, 4, ("a", "b"))
        assert bool(objective.terms) != (method in script.NO_MEASURE), method
