"""Write the report: one HTML file that needs nothing but itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from lookright.errors import ConfigError
from lookright.files import write_html
from lookright.metrics import Cell
from lookright.report.compare import MethodRuns, group_by_method
from lookright.report.curves import COLOURS, dash_array, draw
from lookright.report.gallery import cards, check_gallery, choose
from lookright.report.gallery_view import gallery_view
from lookright.report.headline import SHORTCUT_WARNING, Change, headline
from lookright.report.html import TEMPLATES, environment, script_hash, style
from lookright.report.overlay import NEGATIVE, POSITIVE
from lookright.report.pictures import heat_scale
from lookright.report.runs import Run, read_runs
from lookright.report.tables import (
    MatrixCell,
    common_options,
    differences,
    faithfulness_table,
    figure_table,
    matrix,
)
from lookright.types import REASONABLE_IOU, Task

CELL_NAMES = {
    Cell.UNREASONABLE_INACCURATE: "predicted wrong, looked wrong",
    Cell.UNREASONABLE_ACCURATE: "predicted right, looked wrong",
    Cell.REASONABLE_INACCURATE: "predicted wrong, looked right",
    Cell.REASONABLE_ACCURATE: "predicted right, looked right",
}
_MATRIX_ROWS = (
    ("predicted right", (Cell.REASONABLE_ACCURATE, Cell.UNREASONABLE_ACCURATE)),
    ("predicted wrong", (Cell.REASONABLE_INACCURATE, Cell.UNREASONABLE_INACCURATE)),
)
_WHAT = {Task.SINGLE_LABEL: "class", Task.MULTI_LABEL: "classes", Task.REGRESSION: "value"}
"""What an image is labelled with."""
_EXPLAINED = {
    Task.SINGLE_LABEL: "the class that was predicted",
    Task.MULTI_LABEL: "each annotated class, or of the first class that an image without annotation shows",
    Task.REGRESSION: "the predicted number",
}
"""What explanations are of."""
_SYMBOLS = {Change.UP: "▲", Change.DOWN: "▼", Change.NONE: "=", Change.UNKNOWN: "–"}


def build_report(runs: Sequence[Path], out: Path, *, gallery: int = 48, overwrite: bool = False) -> Path:
    """Compare runs in one self-contained HTML file.

    Runs that differ in their seed alone are shown as one method, with mean and standard deviation. The file
    is written at once or not at all.

    Args:
        runs: run folders, trained and evaluated on the same images
        out: HTML file to write
        gallery: most images to show; 0 leaves the gallery out
        overwrite: replace `out` where it exists

    Returns:
        `out`

    Raises:
        ConfigError: `gallery` is negative, or `out` exists and is not to be replaced.
        DataError: a run cannot be read or compared, or `out` cannot be written.

    Example:
        >>> import tempfile
        >>> from lookright.data import write_decoy_digits
        >>> from lookright.config import TrainConfig
        >>> from lookright.engine.evaluate import evaluate
        >>> from lookright.engine.train import train
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = write_decoy_digits(
        ...         Path(folder, "digits"), per_class_train=1, per_class_val=1, per_class_test=1
        ...     )
        ...     network = {"backbone": "small_cnn", "weights": "none", "train": "all", "image_size": 32}
        ...     run = train(TrainConfig(data=data, out=Path(folder, "run"), epochs=1, **network)).path
        ...     evaluation = evaluate(run, progress=False)
        ...     build_report([run], Path(folder, "report.html")).stat().st_size > 10_000
        True
    """
    out = Path(out)
    check_gallery(gallery)
    if out.is_dir():
        raise ConfigError(f"{out}: is a folder; give the name of an HTML file")
    if out.exists() and not overwrite:
        raise ConfigError(f"{out}: exists already; choose another name, or allow overwriting")
    write_html(out, render(read_runs(runs), gallery))
    return out


def render(runs: Sequence[Run], gallery: int) -> str:
    """The report of runs that can be compared, as HTML."""
    methods = group_by_method(runs)
    pages = environment()
    pages.globals.update(swatch=_swatch, duration=_duration, kept_epoch=_kept_epoch, cell_share=_cell_share)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    first = methods[0].first
    all_cards = cards(methods)
    matrices = [matrix(method) for method in methods]
    ordered = [run for method in methods for run in method.runs]
    difference_names, difference_rows = differences(ordered)
    verdicts = headline(methods)
    return pages.get_template("report.html").render(
        title=_title(methods),
        facts=_facts(methods),
        notes=_notes(runs),
        css=style(),
        js=Markup(script),
        script_hash=script_hash(script),
        methods=methods,
        compared=any(verdict.performance for verdict in verdicts),
        verdicts=verdicts,
        not_compared=_not_compared(methods),
        symbols=_SYMBOLS,
        shortcut_warning=SHORTCUT_WARNING,
        several_seeds=any(len(method.runs) > 1 for method in methods),
        figures=figure_table(methods),
        faithfulness=faithfulness_table(methods),
        plots=draw(methods),
        colours=COLOURS,
        dashes=[dash_array(index) for index in range(len(methods))],
        matrices=matrices if any(m.images for m in matrices) else [],
        matrix_rows=_MATRIX_ROWS,
        reasonable_iou=REASONABLE_IOU,
        cell_names=CELL_NAMES,
        image_count=len(all_cards),
        split=first.evaluation.split,
        unit=first.unit,
        explained=_EXPLAINED[first.task],
        what=_WHAT[first.task],
        explanations="explained classes of images" if first.task is Task.MULTI_LABEL else "images",
        sorts_by_probability=first.task is not Task.REGRESSION,
        classes=first.classes,
        **gallery_view(methods, choose(all_cards, gallery)),
        keys={"positive": POSITIVE, "negative": NEGATIVE, "heat": heat_scale()},
        difference_names=difference_names,
        difference_rows=difference_rows,
        common=common_options(runs),
        commands=[str(run.info["command"]) for run in ordered if run.info.get("command")],
        version_sets=_version_sets(runs),
    )


def _title(methods: Sequence[MethodRuns]) -> str:
    labels = [method.label for method in methods]
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]} compared"


def _facts(methods: Sequence[MethodRuns]) -> str:
    run = methods[0].first
    data = run.config.data
    seeds = sorted({r.config.seed for method in methods for r in method.runs})
    facts = [
        f"Data: {data.name}" if data else "",
        f"split {run.evaluation.split}, {run.evaluation.images} images",
        _predicted(run),
        f"backbone {run.config.backbone}",
        f"{'seeds' if len(seeds) > 1 else 'seed'} {', '.join(map(str, seeds))}",
    ]
    return " · ".join(fact for fact in facts if fact)


def _predicted(run: Run) -> str:
    """What the runs predict."""
    if run.task is Task.REGRESSION:
        return "a number is predicted"
    names = f"classes {', '.join(run.classes)}" if len(run.classes) <= 10 else f"{len(run.classes)} classes"
    return f"several per image of {names}" if run.task is Task.MULTI_LABEL else names


def _notes(runs: Sequence[Run]) -> list[str]:
    told = []
    if runs[0].task is Task.REGRESSION:
        told.append("There is no reasonability matrix: a predicted number is neither right nor wrong.")
    return told + [
        f"Run {run.folder.name} did not finish (status: {run.info.get('status', 'unknown')}); "
        "its figures are those of the epochs that it had."
        for run in runs
        if not run.finished
    ]


def _not_compared(methods: Sequence[MethodRuns]) -> str:
    baselines = sum(method.is_baseline for method in methods)
    if baselines > 1:
        return "There are baselines of different settings among the runs, so none is judged against another."
    if baselines:
        return "Only the baseline is shown: nothing is compared."
    return "No baseline is among the runs, so nothing is judged: train one with --method baseline to compare."


def _version_sets(runs: Sequence[Run]) -> list[tuple[list[str], list[tuple[str, str]]]]:
    """Versions, each set once with the names of its runs."""
    sets: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for run in runs:
        named = {"lookright": run.info.get("lookright", "–"), **run.info.get("versions", {})}
        key = tuple((name, str(version)) for name, version in named.items())
        sets.setdefault(key, []).append(run.folder.name)
    return [(names, list(versions)) for versions, names in sets.items()]


def _swatch(index: int) -> Markup:
    """The line of a method, as in the curves."""
    return Markup(
        '<svg class="swatch" viewBox="0 0 24 8" aria-hidden="true" focusable="false">'
        '<path d="M0 4H24" stroke="var(--method-{})" stroke-dasharray="{}"/></svg>'
    ).format(index % COLOURS, dash_array(index))


def _duration(run: Run) -> str:
    """How long a run took, as people say it."""
    if not math.isfinite(run.seconds):
        return "–"
    minutes, seconds = divmod(round(run.seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{run.seconds:.1f} s"


def _kept_epoch(run: Run) -> str:
    best, done = run.info.get("best_epoch"), run.info.get("epochs_done")
    if not isinstance(best, int) or best < 0:
        return "–"
    return f"{best + 1} of {done}"


def _cell_share(cell: MatrixCell) -> str:
    if not cell.spread.defined:
        return "–"
    spread = f" ± {100 * cell.spread.sd:.0f}" if cell.spread.seeds > 1 else ""
    return f"{100 * cell.spread.mean:.0f}{spread} %"
