"""What an explanation constraint does to a class of linear models: bound and truth side by side.

Writes two tables between the markers of docs/theory.md, which states and proves the bound, and a picture:

python examples/rademacher.py --page docs/theory.md --picture docs/pictures/rademacher.png
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from lookright.errors import DataError
from lookright.files import replacing

Array = NDArray[np.float64]

MARKS = "<!-- rademacher: begin -->", "<!-- rademacher: end -->"
INSIDE, OUTSIDE = 10, 40  # features
RADIUS = 2.0  # B
SIZES = (25, 50, 100, 200, 400)
LIMITS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, RADIUS)  # tau
SHOWN = (0.0, 0.2, 0.5, RADIUS)
TRAINED_ON = 100
SIGNAL_INSIDE, SIGNAL_OUTSIDE = 1.0, 1.5  # distance of a class from 0
ALIGNED = 0.95  # share of the training images whose background goes with the class
TESTS = {"as in training": ALIGNED, "background random": 0.5, "background reversed": 1 - ALIGNED}


def spread(features: Array) -> float:
    """S = sqrt(sum_i |x_i|^2) of the rows."""
    return math.sqrt(float((features**2).sum()))


def random_sums(inside: Array, outside: Array, draws: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw a = |sum_i s_i x_i,in| and b = |sum_i s_i x_i,out|, s_i = +-1 at random; (draws,) each."""
    signs = rng.choice((-1.0, 1.0), size=(draws, len(inside)))
    return np.linalg.norm(signs @ inside, axis=1), np.linalg.norm(signs @ outside, axis=1)


def supremum(a: Array | float, b: Array | float, radius: float, limit: float) -> Array:
    """Largest w_in . u + w_out . v over |w| <= B, |w_out| <= tau, for |u| = a, |v| = b.

    B sqrt(a^2 + b^2), or sqrt(B^2 - tau^2) a + tau b where the second constraint binds.
    """
    a, b, limit = np.asarray(a), np.asarray(b), min(limit, radius)
    whole = np.hypot(a, b)
    binds = radius * b > limit * whole
    return np.where(binds, math.sqrt(radius**2 - limit**2) * a + limit * b, radius * whole)


@dataclass(frozen=True)
class Sample:
    """Labels in {-1, 1} and the features of objects and backgrounds."""

    label: Array
    inside: Array
    outside: Array


def draw(n: int, aligned: float, rng: np.random.Generator) -> Sample:
    """Draw images: the object shows the class, the background goes with it in a share of the images."""
    label = rng.choice((-1.0, 1.0), size=n)
    background = np.where(rng.random(n) < aligned, label, -label)
    inside, outside = rng.standard_normal((n, INSIDE)), rng.standard_normal((n, OUTSIDE))
    inside[:, 0] += SIGNAL_INSIDE * label
    outside[:, 0] += SIGNAL_OUTSIDE * background
    return Sample(label, inside, outside)


def fit(sample: Sample, radius: float, limit: float, steps: int = 500) -> tuple[Array, Array]:
    """Logistic regression with |w| <= B and |w_out| <= tau, by accelerated projected gradient descent.

    Beck & Teboulle, SIAM J. Imaging Sciences 2009 (FISTA): the step is 1 / L, L the largest curvature.
    """
    features = np.hstack([sample.inside, sample.outside]) * sample.label[:, None]
    step = 4 * len(features) / np.linalg.norm(features, 2) ** 2
    split = sample.inside.shape[1]
    w = ahead = np.zeros(features.shape[1])
    momentum = 1.0
    for _ in range(steps):
        gradient = -features.T @ (1 / (1 + np.exp(features @ ahead))) / len(features)
        moved = ahead - step * gradient
        moved = project(moved[:split], moved[split:], radius, limit)
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + (momentum - 1) / following * (moved - w)
        w, momentum = moved, following
    return w[:split], w[split:]


def project(inside: Array, outside: Array, radius: float, limit: float) -> Array:
    """The nearest (w_in, w_out) with |w| <= B and |w_out| <= tau.

    Onto |w| <= B first; where |w_out| is still too large, w_out gets the length tau and w_in what is left.
    """
    a, b = float(np.linalg.norm(inside)), float(np.linalg.norm(outside))
    scale = min(1.0, radius / max(math.hypot(a, b), 1e-12))
    if scale * b <= limit:
        return scale * np.concatenate([inside, outside])
    left = math.sqrt(max(radius**2 - limit**2, 0.0))
    return np.concatenate([inside * min(1.0, left / max(a, 1e-12)), outside * (limit / b)])


def error(model: tuple[Array, Array], sample: Sample) -> float:
    """Share of the images that a model gets wrong."""
    return float((sample.label * (sample.inside @ model[0] + sample.outside @ model[1]) <= 0).mean())


def ramp(model: tuple[Array, Array], sample: Sample) -> float:
    """Mean of the ramp loss, 1 - margin kept within [0, 1]: 1-Lipschitz, as the bound wants it."""
    margin = sample.label * (sample.inside @ model[0] + sample.outside @ model[1])
    return float(np.clip(1 - margin, 0, 1).mean())


def complexities(seeds: int, draws: int) -> dict[tuple[int, float], Array]:
    """(n, tau) -> (seeds, 2): the empirical Rademacher complexity and its bound."""
    found: dict[tuple[int, float], list[list[float]]] = {}
    for seed in range(seeds):
        for n in SIZES:
            rng = np.random.default_rng([seed, n])
            sample = draw(n, ALIGNED, rng)
            sums = random_sums(sample.inside, sample.outside, draws, rng)
            sizes = spread(sample.inside), spread(sample.outside)
            for limit in LIMITS:
                row = [float(supremum(a, b, RADIUS, limit).mean()) / n for a, b in (sums, sizes)]
                found.setdefault((n, limit), []).append(row)
    return {key: np.array(rows) for key, rows in found.items()}


def errors(seeds: int) -> dict[float, Array]:
    """Tau -> (seeds, 2 + tests): error in training and in each test, then what ramp loss a test adds.

    That test is the first one, on images like those of training.
    """
    found: dict[float, list[list[float]]] = {limit: [] for limit in LIMITS}
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 1])
        sample = draw(TRAINED_ON, ALIGNED, rng)
        tests = [draw(10_000, aligned, rng) for aligned in TESTS.values()]
        for limit in LIMITS:
            model = fit(sample, RADIUS, limit)
            gap = ramp(model, tests[0]) - ramp(model, sample)
            found[limit].append([*(error(model, part) for part in (sample, *tests)), gap])
    return {limit: np.array(rows) for limit, rows in found.items()}


def _cell(values: Array, digits: int = 3) -> str:
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def tables(complexity: dict[tuple[int, float], Array], wrong: dict[float, Array]) -> str:
    """Both tables as Markdown."""
    lines = ["| n | tau | truth | bound | bound / truth |", "|---|---|---|---|---|"]
    for (n, limit), rows in complexity.items():
        if limit in SHOWN and n in (SIZES[0], TRAINED_ON, SIZES[-1]):
            truth, bound = rows.T
            lines.append(f"| {n} | {limit:g} | {_cell(truth)} | {_cell(bound)} | {_cell(bound / truth)} |")
    head = ("error in training", *(f"test, {name}" for name in TESTS))
    more = ("ramp loss, test - training", "2 x bound")
    lines += ["", f"| tau | {' | '.join((*head, *more))} |", "|---|" + "---|" * len(head + more)]
    for limit, rows in wrong.items():
        columns = [*rows.T, 2 * complexity[TRAINED_ON, limit][:, 1]]
        lines.append(f"| {limit:g} | {' | '.join(_cell(column) for column in columns)} |")
    return "\n".join(lines)


def plot(complexity: dict[tuple[int, float], Array], wrong: dict[float, Array], path: Path) -> None:
    """Left: complexity against n, bound (lines) and truth (dots). Right: error against tau."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for i, limit in enumerate(SHOWN):
        rows = np.array([complexity[n, limit].mean(axis=0) for n in SIZES])
        left.plot(SIZES, rows[:, 1], color=f"C{i}", label=f"tau = {limit:g}")
        left.plot(SIZES, rows[:, 0], "o", color=f"C{i}", markersize=5)
    left.set(xscale="log", yscale="log", xlabel="images n", ylabel="empirical Rademacher complexity")
    left.set_xticks(SIZES, [str(n) for n in SIZES])
    ticks = (0.25, 0.5, 1.0, 2.0, 4.0)
    left.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    left.minorticks_off()
    left.set_title("bound (lines), truth (dots)")
    left.legend()
    place = np.arange(len(LIMITS))
    for i, name in enumerate(("the training images", *(f"test, {name}" for name in TESTS))):
        columns = np.array([wrong[limit][:, i] for limit in LIMITS])
        right.errorbar(
            place, columns.mean(axis=1), columns.std(axis=1, ddof=1), marker="o", capsize=3, label=name
        )
    right.set_xticks(place, [f"{limit:g}" for limit in LIMITS])
    right.set(xlabel="tau", ylabel="error", ylim=(0, None))
    right.set_title(f"logistic regression on {TRAINED_ON} images")
    right.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def around(page: Path, marks: tuple[str, str] = MARKS) -> tuple[str, str]:
    """What stands before and behind two markers of a page.

    Raises:
        DataError: no such page, or it lacks them.
    """
    try:
        before, begin, rest = page.read_text(encoding="utf-8").partition(marks[0])
    except OSError as error:
        raise DataError(f"{page}: cannot be read ({error.strerror})") from error
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise DataError(f"{page}: lacks the lines {' and '.join(marks)}, between which the table goes")
    return before, after


def write_between(page: Path, text: str, marks: tuple[str, str] = MARKS) -> None:
    """Replace what stands between two markers of a page."""
    before, after = around(page, marks)
    with replacing(page) as temporary:
        temporary.write_text(f"{before}{marks[0]}\n{text}\n{marks[1]}{after}", encoding="utf-8")


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--page", type=Path, help="page with the markers; by default the tables are printed")
    parser.add_argument("--picture", type=Path, help="the picture, a .png")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--draws", type=int, default=2000, help="draws of the signs")
    return parser


def main() -> None:
    """Simulate, then write the tables and the picture."""
    options = make_parser().parse_args()

    start = time.process_time()
    try:
        if options.page is not None:
            around(options.page)  # before anything is computed
        complexity, wrong = complexities(options.seeds, options.draws), errors(options.seeds)
        text = (
            f"Mean ± sd over {options.seeds} seeds, {options.draws} draws of the signs each, B = {RADIUS:g}, "
            f"{INSIDE} features inside and {OUTSIDE} outside; the background goes with the class in "
            f"{ALIGNED:.0%} of the images. Errors: after training on {TRAINED_ON} images.\n\n"
            f"{tables(complexity, wrong)}"
        )
        if options.page is None:
            print(text)
        else:
            write_between(options.page, text)
        if options.picture is not None:
            plot(complexity, wrong, options.picture)
    except DataError as problem:
        make_parser().exit(1, f"{problem}\n")
    print(f"{time.process_time() - start:.0f} s of CPU time")


if __name__ == "__main__":
    main()
