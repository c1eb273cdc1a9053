"""`lookright demo`: see a shortcut being unlearned, on data that a dependency ships.

The handwritten digits of scikit-learn become the field's classic decoy problem (Ross et al., IJCAI 2017): a
patch in a corner whose grey level tells the class in training, and lies in the test.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lookright.config import TrainConfig
from lookright.data import Decoy, write_decoy_digits
from lookright.engine.evaluate import evaluate
from lookright.engine.train import train
from lookright.errors import ConfigError
from lookright.report import build_report
from lookright.report.compare import MethodRuns, group_by_method
from lookright.report.headline import DECOY_SPLIT, SHORTCUT_WARNING, headline
from lookright.report.runs import read_runs

METHODS = ("baseline", "gradia", "haics", "res-g", "res-l", "evidence")
MARKER = "demo.json"

DECOY = Decoy(patch=6, contrast=0.5, noise=10.0)
"""Strong enough that plain training falls for it: 6 of 32 pixels wide, beside faint, noisy digits."""


def run_demo(
    out: Path,
    *,
    seeds: int = 2,
    short: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None],
) -> Path:
    """Train every method on decoy digits, print a table, write a report.

    Args:
        out: folder to write
        seeds: how many seeds
        short: one seed and few images and epochs, to see that everything runs
        overwrite: replace an earlier demo in `out`; anything else there is left alone
        say: where the table goes

    Returns:
        the report

    Raises:
        ConfigError: `out` holds something that is not an earlier demo, or `overwrite` is not set.
    """
    started = time.perf_counter()
    _clear(out, overwrite)
    seeds = 1 if short else seeds
    data = write_decoy_digits(
        out / "data",
        per_class_train=10 if short else 60,
        per_class_val=5 if short else 10,
        per_class_test=10 if short else 40,
        decoy=DECOY,
    )
    runs = [
        _run(data, out / "runs" / f"{method}-{seed}", method, seed, epochs=2 if short else 15)
        for seed in range(seeds)
        for method in METHODS
    ]
    report = build_report(runs, out / "report.html", gallery=24, overwrite=True)
    say(format_table(group_by_method(read_runs(runs)), seeds))
    say(f"{time.perf_counter() - started:.0f} s. Look at {report}")
    return report


def format_table(methods: Sequence[MethodRuns], seeds: int) -> str:
    """Lay out for a terminal what the report says: accuracy with the decoy kept and random, IoU, time."""
    verdicts = {verdict.label: verdict for verdict in headline(methods)}
    lines = [
        f"Decoy digits, {seeds} seed{'s' if seeds > 1 else ''}: a corner patch tells the class in training.",
        "",
        f"{'':<10}  {'accuracy, decoy':^24}  {'explanation':>11}  {'seconds':>8}",
        f"{'method':<10}  {'kept':>11}  {'random':>11}  {'IoU':>11}  {'a run':>8}",
    ]
    for method in methods:
        spreads = method.spread("accuracy", DECOY_SPLIT), method.spread("accuracy"), method.spread("iou")
        cells = "  ".join(f"{f'{s.mean:.2f} ± {s.sd:.2f}':>11}" for s in spreads)
        remark = SHORTCUT_WARNING if verdicts[method.label].keeps_shortcut else ""
        lines.append(f"{method.label:<10}  {cells}  {method.seconds().mean:>8.0f}  {remark}".rstrip())
    return "\n".join(lines)


def _run(data: Path, out: Path, method: str, seed: int, epochs: int) -> Path:
    config = TrainConfig(
        data=data,
        out=out,
        method=method,
        seed=seed,
        epochs=epochs,
        backbone="small_cnn",
        weights="none",
        train="all",
        image_size=32,
        batch_size=50,
        lr=3e-3,
        flip=False,  # a mirrored digit is another digit
        best="last",  # the validation images hold the decoy too: they cannot tell
        accelerator="cpu",
    )
    train(config, "lookright demo")
    for split in ("test", DECOY_SPLIT):
        evaluate(out, split=split, device="cpu", progress=False)
    return out


def _clear(out: Path, overwrite: bool) -> None:
    """Make room for the demo; touches nothing that a demo did not write."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARKER).exists():
            raise ConfigError(f"out: {out} exists and holds no demo; choose another folder")
        if not overwrite:
            raise ConfigError(f"out: {out} holds an earlier demo; --overwrite it, or choose another folder")
        for name in ("data", "runs"):
            shutil.rmtree(out / name, ignore_errors=True)
        (out / "report.html").unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).write_text('{"written by": "lookright demo"}\n', encoding="utf-8")
