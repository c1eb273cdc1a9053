"""The commands: their arguments, and what they do. What they do it with is imported when they run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from jsonargparse import ActionYesNo, Namespace

from lookright.cli.annotate import annotate, annotate_arguments
from lookright.cli.audit import audit, audit_arguments
from lookright.cli.bench import bench, bench_arguments
from lookright.cli.cache import cache_arguments, show_cache
from lookright.cli.data import data, data_arguments
from lookright.cli.pack import pack, pack_arguments
from lookright.cli.parser import Parser, add_device, add_options, fail, is_first_process, read_config, say
from lookright.config import DataConfig, TrainConfig


def _train_arguments(parser: Parser) -> None:
    parser.usage = "lookright train DATA --out RUN [--method METHOD] [options]"
    add_options(parser, TrainConfig)


def _train(options: Namespace) -> None:
    from lookright.engine.train import train

    config = read_config(TrainConfig, options)
    folder = train(config, options.command_line)
    if not is_first_process():
        return
    facts = folder.facts()
    done = "1 epoch" if facts["epochs_done"] == 1 else f"{facts['epochs_done']} epochs"
    say(
        f"{folder.path}: {done} in {facts['seconds']:.0f} s, best epoch "
        f"{facts['best_epoch']}. Next: lookright evaluate {shlex.quote(str(folder.path))}"
    )


def _evaluate_arguments(parser: Parser) -> None:
    parser.usage = "lookright evaluate RUN [--data DATA] [--out FOLDER] [--split SPLIT] [options]"
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("--split", type=str, default="test", help="which images, as split.csv names them")
    parser.add_argument("--out", type=Path | None, default=None, help="folder to write (default: in RUN)")
    add_device(parser)
    parser.add_argument("--batch-size", type=int, default=32, help="images at a time")
    parser.add_argument("--workers", type=int, default=0, help="processes that load images")
    parser.add_argument(
        "--faithfulness",
        action="store_true",
        help="also delete and insert pixels, and replace backgrounds and objects: 38 more passes per image",
    )
    parser.add_argument(
        "--faithfulness-images", type=int | None, default=None, help="most images to change (default: all)"
    )
    parser.add_argument(
        "--faithfulness-steps",
        type=int,
        default=16,
        help="steps of the deletion and insertion curves; each takes two passes",
    )
    add_options(parser, DataConfig, leave_out=("image_size", "annotated_per_class", "train_per_class"))


def _evaluate(options: Namespace) -> None:
    import json

    from lookright.engine.evaluate import evaluate
    from lookright.engine.faithfulness import FaithfulnessOptions
    from lookright.metrics.localization import FIGURES

    data = read_config(DataConfig, options)
    changes = FaithfulnessOptions(steps=options.faithfulness_steps, images=options.faithfulness_images)
    if changes != FaithfulnessOptions() and not options.faithfulness:
        fail("faithfulness-images, faithfulness-steps: say how to measure it; add --faithfulness to do so")
    folder = evaluate(
        options.run,
        split=options.split,
        data=data if data != DataConfig() else None,
        out=options.out,
        batch_size=options.batch_size,
        device=options.device,
        workers=options.workers,
        faithfulness=changes if options.faithfulness else None,
    )
    figures = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    # neither tables of classes or groups, nor what it is about
    plain = {name: figure for name, figure in figures.items() if figure.keys() == {"value", "n"}}
    width = max(22, *map(len, plain))
    for name, figure in plain.items():
        value = "-" if figure["value"] is None else format(figure["value"], ".3f")
        is_by_class = name in FIGURES and figures["about"]["task"] == "multi-label"
        unit = "annotated classes of images" if is_by_class else "images"
        say(f"{name:<{width}} {value:>6}   ({figure['n']} {unit})")
    say(f"written to {folder}")


def _explain_arguments(parser: Parser) -> None:
    parser.usage = "lookright explain RUN PHOTO... --out DIR"
    _add_run_and_images(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for overlays (PNG) and maps; photos of a folder keep their place in it",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files of the same name")


def _explain(options: Namespace) -> None:
    from collections import Counter

    from lookright.engine.images import explain_images, find_photos
    from lookright.report.explanations import write_explanation

    photos = find_photos(options.images, leave_out=options.out)
    name, times = Counter(photo.name for photo in photos).most_common(1)[0]
    if times > 1:
        fail(f"photos: {times} are called {name}, as their maps would be; explain them apart")
    given = {photo.path.resolve() for photo in photos}
    if over := given & {(options.out / f"{photo.name}.png").resolve() for photo in photos}:
        fail(f"out: {min(over)} is a photo, and a map would be written over it; choose another folder")
    paths = [photo.path for photo in photos]
    explanations = explain_images(options.run, paths, device=options.device)
    for photo, explained in zip(photos, explanations, strict=True):
        written = write_explanation(explained, options.out, name=photo.name, overwrite=options.overwrite)
        found = explained.probabilities
        told = ", ".join(f"{name} ({found[name]:.2f})" for name in explained.explanations if name in found)
        say(f"{explained.path}: {told or explained.predicted} -> {', '.join(map(str, written))}")


def _predict_arguments(parser: Parser) -> None:
    parser.usage = "lookright predict RUN PHOTO... [--out FILE.csv]"
    _add_run_and_images(parser)
    parser.add_argument("--out", type=Path | None, default=None, help="csv to write (default: print it)")
    parser.add_argument("--overwrite", action="store_true", help="replace the csv")


def _predict(options: Namespace) -> None:
    from lookright.engine.images import explain_images, find_photos, predictions_csv
    from lookright.files import replacing

    if options.out is not None and options.out.exists() and not options.overwrite:
        fail(f"out: {options.out} exists; choose another, or --overwrite it")
    paths = [photo.path for photo in find_photos(options.images)]
    text = predictions_csv(explain_images(options.run, paths, device=options.device))
    if options.out is None:
        say(text.rstrip())
        return
    with replacing(options.out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    say(f"written to {options.out}")


def _export_arguments(parser: Parser) -> None:
    parser.usage = "lookright export RUN [--out DIR]"
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("--out", type=Path | None, default=None, help="folder to write (default: RUN/export)")
    parser.add_argument(
        "--onnx", action=ActionYesNo(no_prefix="no-"), default=True, help="write ONNX as well"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files of an earlier export")


def _export(options: Namespace) -> None:
    from lookright.engine.export import export_run

    for file in export_run(options.run, options.out, onnx=options.onnx, overwrite=options.overwrite):
        say(f"written {file}")


def _report_arguments(parser: Parser) -> None:
    parser.usage = "lookright report RUN [RUN ...] --out report.html"
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="evaluated run folders")
    parser.add_argument("--out", type=Path, required=True, help="html file to write")
    parser.add_argument("--markdown", type=Path | None, default=None, help="also write the table as Markdown")
    parser.add_argument("--gallery", type=int, default=48, help="how many images to show")
    parser.add_argument("--overwrite", action="store_true", help="replace the file")


def _report(options: Namespace) -> None:
    from lookright.report import build_report, write_markdown

    path = build_report(options.runs, options.out, gallery=options.gallery, overwrite=options.overwrite)
    say(f"written to {path}")
    if options.markdown is not None:
        say(f"written to {write_markdown(options.runs, options.markdown, overwrite=options.overwrite)}")


def _methods_arguments(parser: Parser) -> None:
    parser.usage = "lookright methods [NAME]"
    parser.add_argument(
        "name",
        type=str,
        nargs="?",
        default="",
        metavar="NAME",
        help="a method, an explainer, or a class of your own (module.Class): say everything about it",
    )
    parser.add_argument("--markdown", action="store_true", help="print docs/methods.md instead: > FILE")


def _methods(options: Namespace) -> None:
    from lookright.describe import find_entry, format_entry, format_overview, write_document

    if options.markdown:
        say(write_document().rstrip())
    else:
        say(format_entry(find_entry(options.name)) if options.name else format_overview())


def _backbones_arguments(parser: Parser) -> None:
    parser.usage = "lookright backbones [NAME]"
    parser.add_argument(
        "name", type=str, nargs="?", default="", metavar="NAME", help="part of a name, or one exact name"
    )


def _backbones(options: Namespace) -> None:
    from lookright.models import describe_backbone, format_backbone, format_backbones, list_backbones

    found = list_backbones(options.name or "")
    if any(backbone.name == options.name for backbone in found):
        say(format_backbone(describe_backbone(options.name)))
    else:
        say(format_backbones(found, options.name or ""))


def _check_arguments(parser: Parser) -> None:
    parser.usage = "lookright check DATA [--annotations PATH --format FORMAT] [options]"
    add_options(parser, DataConfig, leave_out=("annotated_per_class", "train_per_class"))


def _check(options: Namespace) -> None:
    from lookright.data import check, format_report

    report = check(read_config(DataConfig, options))
    say(format_report(report))
    if any(problem.fatal for problem in report.problems):
        sys.exit(2)


def _demo_arguments(parser: Parser) -> None:
    parser.usage = "lookright demo [--out DIR]"
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to write")
    parser.add_argument("--seeds", type=int, default=2, help="how many seeds")
    parser.add_argument("--short", action="store_true", help="one seed and few epochs: does everything run?")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier demo in that folder")


def _demo(options: Namespace) -> None:
    from lookright.demo import run_demo

    run_demo(options.out, seeds=options.seeds, short=options.short, overwrite=options.overwrite, say=say)


def _add_run_and_images(parser: Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("images", type=Path, nargs="+", metavar="PHOTO", help="photos, or folders of them")
    add_device(parser)


COMMANDS: dict[str, tuple[str, Callable[[Parser], None], Callable[[Namespace], None]]] = {
    "demo": ("see a shortcut being unlearned, on digits that need no download", _demo_arguments, _demo),
    "check": ("say what is in a data folder and what is wrong with it", _check_arguments, _check),
    "train": ("train a classifier to look at the right place", _train_arguments, _train),
    "evaluate": ("measure performance and reasonability of a run", _evaluate_arguments, _evaluate),
    "audit": ("see where a classifier looks, and what looks like a shortcut", audit_arguments, audit),
    "annotate": ("mark in a browser where a classifier should look", annotate_arguments, annotate),
    "report": ("compare evaluated runs in one HTML file", _report_arguments, _report),
    "explain": ("show where a run looks in photos", _explain_arguments, _explain),
    "predict": ("write classes and probabilities of photos as csv", _predict_arguments, _predict),
    "export": ("write plain weights and ONNX that need no lookright", _export_arguments, _export),
    "bench": ("run an experiment: a grid of runs, and its report", bench_arguments, bench),
    "methods": ("list the ways to supervise explanations", _methods_arguments, _methods),
    "backbones": ("list networks; with an exact NAME, its layers", _backbones_arguments, _backbones),
    "pack": ("write a data folder as tar files to be streamed (WebDataset)", pack_arguments, pack),
    "data": ("make data sets: data prepare NAME", data_arguments, data),
    "cache": ("say what is kept between runs, where and how large; delete it", cache_arguments, show_cache),
}
"""name -> (help, its arguments, what it does)"""
