"""The simulation of docs/theory.md: its formulas against enumeration, a solver, and points of the class."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from scipy.optimize import minimize

Example = Callable[[str], ModuleType]
LIMITS = (0.0, 0.3, 1.0, 2.0)


@pytest.mark.parametrize("limit", LIMITS)
def test_the_supremum_is_the_largest_value_in_the_class(example: Example, limit: float) -> None:
    """Against many w: random ones of the class stay below, and a fine grid of lengths reaches it."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        u, v = rng.standard_normal(3), rng.standard_normal(4) * rng.uniform(0, 3)
        a, b = np.linalg.norm(u), np.linalg.norm(v)
        highest = float(example("rademacher").supremum(a, b, 2.0, limit))
        w = rng.standard_normal((2000, 7))
        w *= (2 * rng.random(2000) ** 0.2 / np.linalg.norm(w, axis=1))[:, None]
        w[:, 3:] *= np.minimum(1, limit / np.linalg.norm(w[:, 3:], axis=1))[:, None]
        assert (w @ np.concatenate([u, v])).max() <= highest + 1e-9
        q = np.linspace(0, limit, 2001)
        assert (np.sqrt(4 - q**2) * a + q * b).max() == pytest.approx(highest, rel=1e-5)


@pytest.mark.parametrize("limit", LIMITS)
def test_the_bound_holds_and_is_at_most_the_root_of_two_too_large(example: Example, limit: float) -> None:
    """Exactly: over all signs of eight images, most of them alike, for which the bound is loose."""
    module = example("rademacher")
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=8)))
    ratios = []
    for seed, alike in itertools.product(range(5), (False, True)):
        rng = np.random.default_rng(seed)
        inside, outside = rng.standard_normal((8, 3)), rng.standard_normal((8, 5))
        if alike:  # two images alone count: the worst case of Khinchine's inequality
            inside[2:], outside[2:] = 0, 0
            inside[1], outside[1] = inside[0], outside[0]
        sums = (np.linalg.norm(signs @ inside, axis=1), np.linalg.norm(signs @ outside, axis=1))
        truth = float(module.supremum(*sums, 2.0, limit).mean())
        bound = float(module.supremum(module.spread(inside), module.spread(outside), 2.0, limit))
        ratios.append(bound / truth)
    assert min(ratios) >= 1 - 1e-12
    assert max(ratios) == pytest.approx(math.sqrt(2))


def test_drawn_signs_are_signs(example: Example) -> None:
    """Their mean square is known: E |sum_i s_i x_i|^2 = S^2."""
    module, rng = example("rademacher"), np.random.default_rng(0)
    inside, outside = rng.standard_normal((20, 3)), rng.standard_normal((20, 5))
    for drawn, features in zip(
        module.random_sums(inside, outside, 20000, rng), (inside, outside), strict=True
    ):
        assert (drawn**2).mean() == pytest.approx(module.spread(features) ** 2, rel=0.03)


@pytest.mark.parametrize("limit", [0.0, 0.2, 2.0])
def test_the_model_is_the_best_of_its_class(example: Example, limit: float) -> None:
    """Against scipy's SLSQP."""
    module = example("rademacher")
    sample = module.draw(40, 0.95, np.random.default_rng(0))
    sample = module.Sample(sample.label, sample.inside[:, :3], sample.outside[:, :2])
    features = np.hstack([sample.inside, sample.outside]) * sample.label[:, None]

    def loss(w: np.ndarray) -> float:
        return float(np.logaddexp(0, -features @ w).mean())

    ours = np.concatenate(module.fit(sample, 2.0, limit))
    assert np.linalg.norm(ours) <= 2 + 1e-9
    assert np.linalg.norm(ours[3:]) <= limit + 1e-9
    theirs = minimize(
        loss,
        np.full(5, 0.01 if limit else 0.0),
        method="SLSQP",
        constraints=[
            {"type": "ineq", "fun": lambda w: 4 - w @ w},
            {"type": "ineq", "fun": lambda w: limit**2 - w[3:] @ w[3:]},
        ]
        if limit
        else [{"type": "ineq", "fun": lambda w: 4 - w @ w}, {"type": "eq", "fun": lambda w: w[3:]}],
    )
    assert loss(ours) == pytest.approx(theirs.fun, abs=1e-5)


def test_the_projection_is_the_nearest_point(example: Example) -> None:
    module, rng = example("rademacher"), np.random.default_rng(0)
    w = rng.standard_normal((4000, 4))
    w *= (2 * rng.random(4000) ** 0.25 / np.linalg.norm(w, axis=1))[:, None]
    w = w[np.linalg.norm(w[:, 2:], axis=1) <= 0.8]
    for _ in range(50):
        point = rng.standard_normal(4) * 2
        found = module.project(point[:2], point[2:], 2.0, 0.8)
        assert np.linalg.norm(found) <= 2 + 1e-9
        assert np.linalg.norm(found[2:]) <= 0.8 + 1e-9
        assert np.linalg.norm(found - point) <= np.linalg.norm(w - point, axis=1).min() + 1e-9


def test_the_command_writes_between_the_markers_the_same_twice(
    run: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, picture = tmp_path / "theory.md", tmp_path / "pictures" / "rademacher.png"
    before = "above\n<!-- rademacher: begin -->\nold\n<!-- rademacher: end -->\nbelow\n"
    page.write_text(before, encoding="utf-8")
    texts = []
    for also in ((), ("--picture", picture)):
        run("rademacher", "--page", page, "--seeds", 2, "--draws", 20, *also)
        texts.append(page.read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    above, table, below = texts[0].partition("<!-- rademacher: begin -->\n")[0], texts[0], texts[0][-6:]
    assert (above, below) == ("above\n", "below\n")
    assert "old" not in table
    assert "Mean ± sd over 2 seeds, 20 draws" in table
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    ratios = [float(row[4].split()[0]) for row in rows if len(row) == 5 and row[0].isdigit()]
    assert len(ratios) == 12
    assert all(0.9 < ratio < math.sqrt(2) for ratio in ratios)  # of 20 draws the mean is rough
    assert len([row for row in rows if len(row) == 7 and row[0] != "tau"]) == 7
    assert Image.open(picture).size == (1000, 400)
    assert "CPU time" in capsys.readouterr().out


def test_a_page_without_the_markers_is_left_alone(
    run: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("mine\n", encoding="utf-8")
    with pytest.raises(SystemExit):
        run("rademacher", "--page", page)
    assert page.read_text(encoding="utf-8") == "mine\n"
    assert "rademacher: begin" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("rademacher", "--page", tmp_path / "none.md")
    assert "cannot be read" in capsys.readouterr().err
