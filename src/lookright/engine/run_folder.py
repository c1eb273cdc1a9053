"""A run on disk: options, state, log and checkpoints, and nothing that needs to be unpickled.

RUN/config.yaml               every option, readable by `lookright train --config`
RUN/run.json                  what came out: classes, layer, epochs, versions, command
RUN/log.csv                   one row per epoch
RUN/checkpoints/best.safetensors, last.safetensors
RUN/evaluation*/              written by `lookright evaluate`
"""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from lookright.config import INCIDENTAL, PRETRAINED, TrainConfig, option_name
from lookright.data.shards import is_sharded
from lookright.engine.option_kinds import fits
from lookright.errors import CheckpointError, ConfigError
from lookright.files import replacing

# Where a run lies and whether it is being continued do not belong to what it is.
_NOT_STORED = ("resume",)


class RunFolder:
    """The files of one run.

    Args:
        path: the folder

    Example:
        >>> RunFolder("runs/one").best.name
        'best.safetensors'
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.yaml"
        self.facts_file = self.path / "run.json"
        self.log_file = self.path / "log.csv"
        self.best = self.path / "checkpoints" / "best.safetensors"
        self.last = self.path / "checkpoints" / "last.safetensors"

    def evaluation(self, split: str) -> Path:
        """Folder of the evaluation of a split: `evaluation` for test, `evaluation-<split>` for others."""
        return self.path / ("evaluation" if split == "test" else f"evaluation-{split}")

    @property
    def resume_command(self) -> str:
        """What to type to continue the run."""
        return shlex.join(["lookright", "train", "--config", str(self.config_file), "--resume"])

    def create(self, config: TrainConfig) -> None:
        """Start a run, or continue one with `config.resume`.

        Raises:
            ConfigError: the folder is in use and `resume` is not set; there is no run to resume; the stored
                options differ from those given.
        """
        if config.resume:
            stored = self.config()
            if stored.data is None or _comparable(stored) != _comparable(config):
                raise ConfigError(self._difference(stored, config))
            return
        self.check_free()
        # Absolute paths, so that the run can be resumed and evaluated from any folder.
        options = to_options(replace(config, **_places(config)))
        text = yaml.safe_dump(options, sort_keys=False, allow_unicode=True)
        with replacing(self.config_file) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def check_free(self) -> None:
        """Refuse a folder in which there is something already.

        Raises:
            ConfigError: it is in use.
        """
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            what = "holds a run already" if self.config_file.exists() else "exists and is not empty"
            raise ConfigError(
                f"out: {self.path} {what}; choose another folder, or continue a run with "
                f"{self.resume_command}"
            )

    def _difference(self, stored: TrainConfig, given: TrainConfig) -> str:
        old, new = _comparable(stored), _comparable(given)
        changed = [f"{option_name(k)} {old[k]} -> {new[k]}" for k in old if old[k] != new[k]]
        return (
            f"resume: the options differ from those of {self.path} ({'; '.join(changed)}); continue with "
            f"{self.resume_command}, or start a new run with another --out"
        )

    def config(self) -> TrainConfig:
        """Read the options.

        Raises:
            CheckpointError: this is no run folder, or its options are damaged.
        """
        if not self.config_file.is_file():
            raise CheckpointError(
                f"{self.path}: not a run folder (no config.yaml); give the --out of a lookright train"
            )
        try:
            return from_options(yaml.safe_load(self.config_file.read_text(encoding="utf-8")))
        except (yaml.YAMLError, TypeError, UnicodeDecodeError) as error:
            raise CheckpointError(
                f"{self.config_file}: damaged ({error}); put back what lookright train wrote there"
            ) from error

    def facts(self) -> dict[str, Any]:
        """Read run.json.

        Raises:
            CheckpointError: it is missing or damaged.
        """
        try:
            facts: dict[str, Any] = json.loads(self.facts_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{self.facts_file}: missing or damaged ({error}); train the run again"
            ) from error
        return facts

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Write run.json."""
        with replacing(self.facts_file) as temporary:
            temporary.write_text(json.dumps(dict(facts), indent=2) + "\n", encoding="utf-8")

    def mark_failed(self) -> None:
        """Say in run.json that the run failed, unless it says already how the run ended.

        For a process that is not the one that writes: it calls this last of all, before it ends.
        """
        facts = self.facts()
        if facts.get("status") == "running":
            self.write_facts(facts | {"status": "failed"})

    def write_log(self, rows: Sequence[Mapping[str, float | int | None]]) -> None:
        """Write log.csv: the union of the rows' columns, empty where a row has none."""
        columns = list(dict.fromkeys(column for row in rows for column in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with replacing(self.log_file) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")


def to_options(config: TrainConfig) -> dict[str, Any]:
    """Turn options into what YAML can hold, under their names on the command line."""
    return {
        option_name(name): str(value) if isinstance(value, Path) else value
        for name, value in asdict(config).items()
        if name not in _NOT_STORED
    }


def from_options(options: Mapping[str, Any]) -> TrainConfig:
    """Turn what `to_options` gave back into options.

    Raises:
        TypeError: an option that there is not, or a value of the wrong kind.
    """
    hints = {option_name(name): hint for name, hint in get_type_hints(TrainConfig).items()}
    if unknown := [name for name in options if name not in hints]:
        raise TypeError(f"unknown option {', '.join(map(str, unknown))}")
    values: dict[str, Any] = {}
    for f in fields(TrainConfig):
        name = option_name(f.name)
        if name in options:
            values[f.name] = options[name]
            if not fits(options[name], hints[name]):
                raise TypeError(f"{name}: {options[name]!r}")
    return TrainConfig(**values)


def _comparable(config: TrainConfig) -> dict[str, Any]:
    # The order of images that are streamed depends on which process reads which shard.
    kept = ("workers",) if is_sharded(config) else ()
    options = asdict(config) | _places(config)
    return {k: v for k, v in options.items() if k not in INCIDENTAL or k in kept}


def _places(config: TrainConfig) -> dict[str, Any]:
    """The options that name a place on the disk, absolute."""
    found: dict[str, Any] = {k: v.resolve() for k, v in vars(config).items() if isinstance(v, Path)}
    file = Path(config.weights).expanduser()
    if config.weights not in ("none", *PRETRAINED) and file.is_file():
        found["weights"] = str(file.resolve())
    return found
