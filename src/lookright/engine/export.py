"""Taking a trained network elsewhere: plain weights and ONNX that need no lookright."""

from __future__ import annotations

import json
from pathlib import Path

from lookright.engine.trained_run import open_run
from lookright.errors import ConfigError
from lookright.files import replacing
from lookright.models import export_onnx, export_state_dict
from lookright.types import Task

_MEANING = {
    Task.SINGLE_LABEL: "(B, classes) logits",
    Task.MULTI_LABEL: "(B, classes) logits: the sigmoid of each is the probability that the class is present",
    Task.REGRESSION: "(B, 1): times {0.std!r} plus {0.mean!r} is the number",
}


def export_run(
    path: Path, out: Path | None = None, *, onnx: bool = True, overwrite: bool = False
) -> list[Path]:
    """Write the best checkpoint of a run for use without lookright.

    Args:
        path: the run folder
        out: folder to write, by default RUN/export
        onnx: write network.onnx as well (extra 'onnx')
        overwrite: replace files of an earlier export

    Returns:
        the files: weights.safetensors (a plain state dict of the backbone, head included), network.json (how
        to build it and what its input and output mean), and network.onnx

    Raises:
        CheckpointError: no such run.
        ConfigError: a file exists already, or the ONNX exporter is not installed.

    Example:
        >>> import tempfile
        >>> from lookright.data import write_decoy_digits
        >>> from lookright.config import TrainConfig
        >>> from lookright.engine.train import train
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = write_decoy_digits(
        ...         Path(folder, "digits"), per_class_train=1, per_class_val=1, per_class_test=1
        ...     )
        ...     network = {"backbone": "small_cnn", "weights": "none", "train": "all", "image_size": 32}
        ...     run = train(TrainConfig(data=data, out=Path(folder, "run"), epochs=1, **network)).path
        ...     [file.name for file in export_run(run, onnx=False)]
        ['weights.safetensors', 'network.json']
    """
    run = open_run(path)
    folder = path / "export" if out is None else out
    weights, description, graph = (
        folder / n for n in ("weights.safetensors", "network.json", "network.onnx")
    )
    written = [weights, description, *([graph] if onnx else [])]
    if there := [file for file in written if file.exists() and not overwrite]:
        raise ConfigError(f"out: {there[0]} exists; choose another folder, or --overwrite it")
    if onnx:  # first: it may fail, and then nothing else is in the way of a second try
        export_onnx(run.classifier.network, run.config.image_size, graph, overwrite=overwrite)
    export_state_dict(run.classifier.network, weights, overwrite=overwrite)
    facts = {
        "backbone": run.classifier.backbone,
        "classes": list(run.classes),
        "image_size": run.config.image_size,
        "resize": "to a square, bilinear with antialiasing, aspect ratio not kept",
        "mean": list(run.classifier.mean),
        "std": list(run.classifier.std),
        "input": "(B, 3, image_size, image_size) RGB in [0, 1], minus mean, divided by std",
        "output": _MEANING[run.output.task].format(run.output),
    }
    with replacing(description) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return written
