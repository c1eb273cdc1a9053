"""The faithfulness of a trained run as plain numbers, for those who need no evaluation folder."""

from __future__ import annotations

from pathlib import Path

from lookright.config import DataConfig
from lookright.engine.channels_last import place
from lookright.engine.faithfulness import FaithfulnessOptions, check_supported, measure_faithfulness
from lookright.engine.inference import infer
from lookright.engine.run_images import images_of, pick_device
from lookright.engine.trained_run import TrainedRun, open_run


def faithfulness_figures(
    run: TrainedRun | Path,
    *,
    split: str = "test",
    data: DataConfig | None = None,
    options: FaithfulnessOptions | None = None,
    batch_size: int = 32,
    device: str = "auto",
    workers: int = 0,
    progress: bool = False,
) -> dict[str, float]:
    """Measure whether a trained run uses what people marked, and whether its maps say so.

    `lookright.engine.evaluate.evaluate` with `faithfulness` writes the same figures beside all others.

    Args:
        run: opened, or its folder
        split: which images
        data: other data than the run's, with the same classes
        options: how images are changed; by default those of `FaithfulnessOptions()`
        batch_size: images per pass of the network
        device: auto, cpu, cuda or mps
        workers: processes that load images for the first pass, that explains them
        progress: show bars

    Returns:
        each of `lookright.metrics.FAITHFULNESS`, worst_group_background_swap_accuracy where images have
        groups, and faithfulness_images, how many were changed; NaN where no image defines a figure

    Raises:
        CheckpointError, DataError: no such run or split, or no image that can be changed.
        ConfigError: another task than one class per image, or images in a stream.
    """
    opened = run if isinstance(run, TrainedRun) else open_run(run)
    _, dataset = images_of(opened, split, opened.config if data is None else data)
    photos = check_supported(dataset, opened.output)
    where = pick_device(device)
    network = place(opened.classifier.network, where)
    result = infer(
        opened.explainer,
        photos,
        batch_size=batch_size,
        device=where,
        workers=workers,
        progress=split if progress else None,
        figures=(),
    )
    found = measure_faithfulness(
        network,
        photos,
        result,
        opened.classes,
        options,
        batch_size=batch_size,
        progress="faithfulness" if progress else None,
    )
    return found.numbers()
