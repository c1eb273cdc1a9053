"""A grid of runs, as a YAML file says it: what varies, what is chosen, what is compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path

from lookright.engine.faithfulness import FaithfulnessOptions
from lookright.errors import ConfigError
from lookright.evidence.made import check_recipe
from lookright.evidence.reading import (
    FACT,
    LOWER_IS_BETTER,
    MEASURES,
    OPTIONS,
    Options,
    label_of,
    mapping_of,
    measures_of,
    no_such,
    options_of,
    read_yaml,
    refuse_unknown,
    seeds_of,
    text_of,
    texts_of,
)
from lookright.evidence.table import FIXED

_KEYS = (
    *("name", "about", "base", "axes", "exclude", "choose", "compare", "baseline", "reference"),
    *("report", "tests", "splits", "prepare", "keep_checkpoints", "faithfulness", "precision_outside"),
)
_CHOOSE_KEYS = ("options", "own", "fixed", "by", "seeds")


@dataclass(frozen=True)
class Entry:
    """A value of an axis."""

    label: str
    options: Options


@dataclass(frozen=True)
class Choose:
    """Hyperparameters, and how they are chosen: on validation images alone, for each cell by itself."""

    candidates: tuple[Options, ...]
    own: Mapping[str, tuple[Options, ...]]
    """label of a compared method -> candidates of its own: as many as the others have, or a single one that
    sets nothing"""
    by: tuple[str, ...]
    """figures of the validation images; the largest mean of them wins"""
    seeds: tuple[int, ...]

    def of(self, label: str) -> tuple[Options, ...]:
        """The candidates of a compared method."""
        return self.own.get(label, self.candidates)


@dataclass(frozen=True)
class Grid:
    """What `GRID.yaml` says."""

    name: str
    about: str
    base: Options
    axes: Mapping[str, tuple[Entry, ...]]
    """without seeds"""
    seeds: tuple[int, ...]
    exclude: tuple[Mapping[str, tuple[str, ...]], ...]
    choose: Choose | None
    compare: str
    """the axis whose entries are compared"""
    baseline: str | None
    reference: str | None
    report: tuple[str, ...]
    """measures in the tables"""
    tests: tuple[str, ...]
    """measures whose differences are tested"""
    splits: tuple[str, ...]
    """evaluated after training, test first"""
    prepare: Mapping[str, Options]
    """name of a data set that is made first -> `set` and its options"""
    keep_checkpoints: bool
    faithfulness: FaithfulnessOptions | None
    """how test images are changed to see what the network uses; None leaves that out"""
    precision_outside: float | None
    """precision and F1: what lies farther than this share of the image from every positive mark counts as
    marked negative; None leaves both undefined where nobody marked negatives"""

    def cells(self) -> list[dict[str, Entry]]:
        """What varies but for seeds: axis -> entry, for every combination that is not excluded."""
        found = [dict(zip(self.axes, entries, strict=True)) for entries in product(*self.axes.values())]
        return [cell for cell in found if not any(_matches(cell, rule) for rule in self.exclude)]


def _matches(cell: Mapping[str, Entry], rule: Mapping[str, tuple[str, ...]]) -> bool:
    return all(cell[axis].label in labels for axis, labels in rule.items())


def read_grid(path: Path) -> Grid:
    """Read a grid.

    Raises:
        ConfigError: the file cannot be read, a name in it is unknown, or something does not go together.
    """
    content = read_yaml(path)
    try:
        return parse_grid(content, name=path.stem)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_grid(content: object, name: str = "grid") -> Grid:
    """Make a grid of what YAML gave.

    Raises:
        ConfigError: a name is unknown, or something does not go together.

    Example:
        >>> axes = {"method": ["baseline", "res-g"], "lr": [0.001, 0.01], "seed": [0, 1]}
        >>> grid = parse_grid({"axes": axes})
        >>> [" ".join(entry.label for entry in cell.values()) for cell in grid.cells()]
        ['baseline 0.001', 'baseline 0.01', 'res-g 0.001', 'res-g 0.01']
        >>> parse_grid({"axes": {"metod": ["baseline"]}})
        Traceback (most recent call last):
        lookright.errors.ConfigError: axes: there is no option 'metod'; did you mean method?
    """
    given = mapping_of("the grid", content)
    refuse_unknown("the grid", "entry", given, _KEYS)
    prepare = mapping_of("prepare", given.get("prepare"))
    prepare = {key: check_recipe(key, value) for key, value in prepare.items()}
    base = options_of("base", given.get("base"))
    axes_given = dict(mapping_of("axes", given.get("axes")))
    seeds = seeds_of("axes: seed", axes_given.pop("seed", [base.get("seed", 0)]))
    axes = {axis: _entries(axis, values) for axis, values in axes_given.items()}
    compare = str(given.get("compare", "method"))
    if compare not in axes:
        raise ConfigError(f"compare: {no_such('axis', compare, axes)}")
    labels = [entry.label for entry in axes[compare]]
    for key in ("baseline", "reference"):
        if given.get(key) is not None and str(given[key]) not in labels:
            raise ConfigError(f"{key}: {no_such('entry of ' + compare, str(given[key]), labels)}")
    report = given.get("report", ["accuracy", "iou", "precision", "recall", "f1"])
    report = measures_of("report", report, facts=True)
    splits = tuple(dict.fromkeys(("test", *texts_of("splits", given.get("splits", ["val"])))))
    grid = Grid(
        name=str(given.get("name", name)),
        about=" ".join(str(given.get("about", "")).split()),
        base=base,
        axes=axes,
        seeds=seeds,
        exclude=tuple(_rule(axes, rule) for rule in given.get("exclude") or ()),
        choose=_choose(given.get("choose"), axes[compare]),
        compare=compare,
        baseline=text_of(given.get("baseline")),
        reference=text_of(given.get("reference")),
        report=report,
        tests=measures_of("tests", given.get("tests", [m for m in report if m in ("accuracy", "iou")])),
        splits=splits,
        prepare=prepare,
        keep_checkpoints=bool(given.get("keep_checkpoints", False)),
        faithfulness=_faithfulness(given.get("faithfulness")),
        precision_outside=_margin(given.get("precision_outside")),
    )
    if grid.choose is not None and "val" not in splits:
        raise ConfigError("splits: lacks val, on which hyperparameters are chosen")
    if not grid.cells():
        raise ConfigError("exclude: nothing is left of the grid")
    return grid


def _faithfulness(content: object) -> FaithfulnessOptions | None:
    if content is None or content is False:
        return None
    given = {} if content is True else mapping_of("faithfulness", content)
    refuse_unknown("faithfulness", "option", given, [f.name for f in fields(FaithfulnessOptions)])
    try:
        return FaithfulnessOptions(**given)
    except (ConfigError, TypeError) as error:
        raise ConfigError(f"faithfulness: {error}") from error


def _margin(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ConfigError(f"precision_outside: got {value!r}, need a share of the image in [0, 1)")
    return float(value)


def _entries(axis: str, values: object) -> tuple[Entry, ...]:
    if not isinstance(values, list) or not values:
        raise ConfigError(f"axes: {axis}: got {values!r}, need a list of values")
    if axis in (*FIXED, *MEASURES) or axis.startswith(FACT):
        raise ConfigError(f"axes: {axis}: results.csv has a column of that name; choose another")
    if axis not in OPTIONS and not all(isinstance(value, dict) for value in values):
        raise ConfigError(f"axes: {no_such('option', axis, OPTIONS)}")
    entries = tuple(_entry(axis, value) for value in values)
    labels = [entry.label for entry in entries]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise ConfigError(f"axes: {axis}: '{twice}' is there twice; give each entry a label of its own")
    return entries


def _entry(axis: str, value: object) -> Entry:
    if not isinstance(value, dict):
        return Entry(label_of(axis, value), options_of("axes", {axis: value}))
    if "label" not in value:
        raise ConfigError(f"axes: {axis}: {value} sets several options; give it a label")
    options = {key: v for key, v in value.items() if key != "label"}
    return Entry(str(value["label"]), options_of(f"axes: {axis}: {value['label']}", options))


def _choose(content: object, compared: Iterable[Entry]) -> Choose | None:
    if content is None:
        return None
    given = mapping_of("choose", content)
    refuse_unknown("choose", "entry", given, _CHOOSE_KEYS)
    candidates = _candidates("choose: options", given.get("options"))
    own = {
        str(label): _candidates(f"choose: own: {label}", options)
        for label, options in mapping_of("choose: own", given.get("own")).items()
    }
    labels = [entry.label for entry in compared]
    for label, of_label in own.items():
        if label not in labels:
            raise ConfigError(f"choose: own: {no_such('compared entry', label, labels)}")
        if len(of_label) != len(candidates):
            raise ConfigError(
                f"choose: own: {label} has {len(of_label)} candidates, the others have {len(candidates)}; "
                "give every method as many"
            )
    for label in texts_of("choose: fixed", given.get("fixed", [])):
        if label not in labels:
            raise ConfigError(f"choose: fixed: {no_such('compared entry', label, labels)}")
        own[label] = ({},)
    by = given.get("by", "balanced_accuracy")
    measures = measures_of("choose: by", by if isinstance(by, list) else [by])
    if lower := [measure for measure in measures if measure in LOWER_IS_BETTER]:
        raise ConfigError(f"choose: by: of {lower[0]} less is better; name measures of which more is")
    return Choose(
        candidates=candidates,
        own=own,
        by=measures,
        seeds=seeds_of("choose: seeds", given.get("seeds", [0])),
    )


def _candidates(where: str, content: object) -> tuple[Options, ...]:
    given = mapping_of(where, content)
    if not given:
        raise ConfigError(f"{where}: missing; give options, each with a list of candidates")
    lists = []
    for name, values in given.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{where}: {name}: got {values!r}, need a list of candidates")
        lists.append([options_of(where, {name: value}) for value in values])
    return tuple({k: v for one in parts for k, v in one.items()} for parts in product(*lists))


def _rule(axes: Mapping[str, tuple[Entry, ...]], content: object) -> dict[str, tuple[str, ...]]:
    rule = {}
    for axis, values in mapping_of("exclude", content).items():
        if axis not in axes:
            raise ConfigError(f"exclude: {no_such('axis', axis, axes)}")
        labels = [label_of(axis, value) for value in (values if isinstance(values, list) else [values])]
        there = [entry.label for entry in axes[axis]]
        for label in labels:
            if label not in there:
                raise ConfigError(f"exclude: {no_such('entry of ' + axis, label, there)}")
        rule[axis] = tuple(labels)
    if not rule:
        raise ConfigError("exclude: an empty rule excludes everything; name an axis")
    return rule
