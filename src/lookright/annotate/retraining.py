"""What a correction trains: on which photos and marks, and with which options."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookright.annotate.project import Project
from lookright.annotate.refused import RefusedError
from lookright.config import PRETRAINED, DataConfig, option_name
from lookright.data.annotations import AnnotationSet
from lookright.data.readers import read_annotations
from lookright.errors import DataError
from lookright.types import Task

if TYPE_CHECKING:  # with a model alone: its libraries take seconds to load
    from lookright.annotate.look import Looking

FEWEST = 2
"""Marked photos in the training split."""

PROTOCOL = {"epochs": 15, "lr": 0.001}
"""Of the recommended method, where no run says how it was trained."""

_NETWORK = ("backbone", "weights", "start", "image_size", "explainer", "target_layer")
_TRAINING = (
    *("train", "batchnorm", "epochs", "batch_size", "accumulate", "flip"),
    *("optimizer", "lr", "weight_decay", "schedule", "warmup"),
)


class Retraining:
    """A new run of a project's photos, with the options of the old model.

    Args:
        project: what is annotated
        old: the old model; None for the usual network
        device: auto, cpu, cuda or mps
    """

    def __init__(self, project: Project, old: Looking | None, device: str) -> None:
        self.project = project
        self.old = old
        self.device = device

    @property
    def has_classes(self) -> bool:
        """Whether photos have one class each, of two or more: others cannot be trained on."""
        images = self.project.images
        return images.task is Task.SINGLE_LABEL and len(images.classes) >= 2

    @property
    def old_run(self) -> Path | None:
        """Folder of the old model, where it is a run."""
        folder = getattr(self.old.model, "folder", None) if self.old is not None else None
        return None if folder is None else folder.path.resolve()

    def read(self) -> AnnotationSet:
        """Read photos and the marks of everybody.

        Raises:
            RefusedError: 409, they cannot be trained on.
        """
        if not self.has_classes:
            raise RefusedError(
                409, "a correction needs photos in class folders, one class per photo and two classes or more"
            )
        data, base = self._folders()
        try:
            found = read_annotations(DataConfig(data=data, annotations=base))
        except DataError as error:
            raise RefusedError(409, str(error)) from error
        marked = [item for item in found.items if item.annotated]
        if len(marked) < FEWEST:
            raise RefusedError(409, f"{len(marked)} photos are marked; mark {FEWEST} or more")
        in_training = sum(item.split == "train" for item in marked)
        if in_training < FEWEST:
            raise RefusedError(
                409,
                f"{in_training} of the {len(marked)} marked photos are in the training split, and "
                f"{FEWEST} are needed; mark more",
            )
        training = Counter(item.label for item in found.items if item.split == "train")
        for label, name in enumerate(found.classes):
            if not training[label]:
                raise RefusedError(409, f"the class {name} has no photo in the training split; add some")
        return found

    def options(self, found: AnnotationSet) -> dict[str, Any]:
        """Options of the new run: those of the old one where there is one.

        Args:
            found: of `read`

        Raises:
            RefusedError: 409, the old model has outputs of other classes, or marks cannot be read.
        """
        options: dict[str, Any] = {"method": "auto" if _is_anything_positive(found) else "evidence"}
        options |= PROTOCOL
        if self.old is not None:
            config = self.old.model.config
            self._refuse_other_outputs(self.old, found)
            names = _NETWORK if self.old_run is None else _NETWORK + _TRAINING
            options |= {name: value for name in names if (value := getattr(config, name)) is not None}
        best = "performance" if "val" in found.splits else "last"
        return options | {"accelerator": self.device, "best": best}

    def _refuse_other_outputs(self, old: Looking, found: AnnotationSet) -> None:
        """Refuse a model whose last layer would be taken over, with its outputs for other classes."""
        if self.old_run is not None or old.model.config.weights in PRETRAINED:
            return  # a new run has its own
        theirs = [item.label for item in old.images.items]
        if len(old.classes) == len(found.classes) and theirs != [item.label for item in self.project.items]:
            raise RefusedError(
                409,
                f"the outputs of the old model are {', '.join(old.classes)}, and the class folders "
                f"{', '.join(found.classes)}: its last layer would begin as that of other classes; name the "
                "folders so that they sort as its outputs do, or start without --run",
            )

    def data_arguments(self) -> list[str]:
        """Where photos and marks are, as a command takes it."""
        data, base = self._folders()
        return ["--data", str(data), *(["--annotations", str(base)] if base is not None else [])]

    def _folders(self) -> tuple[Path, Path | None]:
        """Photos, and marks where these lie elsewhere."""
        base, data = self.project.base.resolve(), self.project.images.root.resolve()
        return data, base if base != data else None


def _is_anything_positive(found: AnnotationSet) -> bool:
    """Whether a photo of the training split is marked *look here* anywhere."""
    of_training = (item.marks for item in found.split("train").items if item.marks is not None)
    try:
        return any(bool((marks.sides()[0] > 0).any()) for marks in of_training)
    except DataError as error:
        raise RefusedError(409, str(error)) from error


def arguments(options: Mapping[str, Any]) -> list[str]:
    """Options as `lookright train` takes them.

    Example:
        >>> arguments({"epochs": 15, "target_layer": "blocks.6", "flip": False})
        ['--epochs=15', '--target-layer=blocks.6', '--no-flip']
    """
    return [_argument(name, value) for name, value in options.items()]


def _argument(name: str, value: object) -> str:
    flag = option_name(name).replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag}={value}"
