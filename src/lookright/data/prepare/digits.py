"""Decoy digits as `lookright demo` has them."""

from __future__ import annotations

import csv
from collections import Counter

from lookright.data.prepare.output import Prepared
from lookright.data.toy import MARKER, Decoy, write_decoy_digits
from lookright.errors import ConfigError
from lookright.files import open_csv
from lookright.prepare_config import DigitsConfig


def prepare_digits(config: DigitsConfig) -> Prepared:
    """Write scikit-learn's handwritten digits as a decoy problem; see `lookright.data.write_decoy_digits`.

    Raises:
        ConfigError: no folder was named, it is in use, or an option is out of its range.
        DataError: the folder holds something else, or cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     few = {"per_class_train": 2, "per_class_val": 1, "per_class_test": 1}
        ...     prepare_digits(DigitsConfig(out=Path(folder, "digits"), **few)).groups["train"]
        {'aligned': 20}
    """
    out = config.out
    if out is None:
        raise ConfigError("out: missing; give the data folder to write")
    if (out / MARKER).is_file() and not config.overwrite:
        raise ConfigError(f"out: {out} exists; choose another folder, or --overwrite it")
    decoy = Decoy(config.patch, config.contrast, config.noise)
    write_decoy_digits(
        out,
        per_class_train=config.per_class_train,
        per_class_val=config.per_class_val,
        per_class_test=config.per_class_test,
        seed=config.seed,
        decoy=decoy,
    )
    groups: dict[str, Counter[str]] = {}
    with open_csv(out / "split.csv") as table:
        for row in csv.DictReader(table):
            groups.setdefault(row["split"], Counter())[row["group"]] += 1
    counted = {split: dict(sorted(counter.items())) for split, counter in groups.items()}
    return Prepared(out, counted, sum(map(Counter.total, groups.values())), ())
